"""Feed: what changes in Redis, as it changes, with what is different inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.access.feed import FeedEvent
from console.bridge import Live
from console.terminal.text import safe
from screens.details import Details, Fact, Title
from screens.frame import DeckScreen
from screens.no_keys import refuse_key
from widgets.feed import FeedView
from widgets.filter_bar import FilterBar
from widgets.spark import spark
from widgets.theme import State

_WORDS = {"published_model_info": "published", "api_key": "api_key", "sync": "syncs"}


class FeedLines:
    """The ring of events as lines to show."""

    def __init__(self, live: Live) -> None:
        self._live = live

    @property
    def first(self) -> int:
        return self._live.events.first

    @property
    def last(self) -> int:
        return self._live.events.end - 1

    @property
    def dropped(self) -> int:
        """Notifications that came faster than they could be read, so that nobody knows what they were."""
        link = self._live.link
        return link.overflows if link is not None else 0

    def line(self, seq: int) -> Text:
        event = self._live.events.get(seq)
        return event_line(event) if event is not None else Text("dropped", style="muted")


def event_line(event: FeedEvent) -> Text:
    """``02:41:07.412  SET  api_key:9f3c…e1  k7f3 gen 2  3 models  by op@bastion keys.rotate``."""
    text = Text(f"{event.at.astimezone():%H:%M:%S.%f}"[:-3], style="muted")
    paint = {"faulty": "bad", "del": "warn", "expired": "warn", "evicted": "bad", "resync": "warn"}.get(event.event, "")
    word = event.event.upper() + (f"×{event.writes}" if event.writes > 1 else "")
    text.append(f"  {safe(word):<8}", style=paint or "strong")
    text.append(f" {safe(event.key):<20}", style="accent")
    text.append(f"  {safe(', '.join(event.changes)) or 'no visible change'}")
    text.append(f"  {safe(event.by)}", style="muted")
    return text


class FeedScreen(DeckScreen):
    """Live events; a filter; the details of the one under the cursor."""

    VIEW = "feed"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", id="feed.filter", key_display="/"),
        Binding("c", "copy", "copy", id="feed.copy"),
        Binding("C", "copy_command", "copy command", show=False, id="feed.copy_command"),
    ]
    DEFAULT_CSS = """
    FeedScreen #details { height: auto; max-height: 8; border-top: solid $foreground 30%; display: none; }
    FeedScreen #details.-open { display: block; }
    """

    def body(self) -> Iterable[Widget]:
        yield FilterBar(placeholder="a model, a key id, a name", things="events", refuse=refuse_key, id="filter")
        yield FeedView(FeedLines(self.bridge.live), id="main")
        yield Details(id="details")

    @property
    def feed(self) -> FeedView:
        return self.query_one("#main", FeedView)

    async def load(self) -> None:
        self._advance()

    def live_changed(self) -> None:
        super().live_changed()
        self._advance()

    def tick(self) -> None:
        self._advance()

    def _advance(self) -> None:
        self.feed.set_summary(summary(self.bridge.live))
        self.feed.advance()

    def on_prompt_changed(self, event: FilterBar.Changed) -> None:
        wanted = event.text.casefold().split()
        events = self.bridge.live.events

        def matches(seq: int) -> bool:
            found = events.get(seq)
            return found is not None and all(word in str(found).casefold() for word in wanted)

        self.feed.set_filter(matches if wanted else None)
        self.query_one(FilterBar).show_count(self.feed.shown, len(events))

    def on_prompt_submitted(self) -> None:
        self.feed.focus()

    def on_prompt_left(self) -> None:
        self.feed.focus()

    def on_feed_view_opened(self, event: FeedView.Opened) -> None:
        details = self.query_one("#details", Details)
        details.toggle_class("-open")
        self._show_details(event.seq)

    def on_feed_view_moved(self, event: FeedView.Moved) -> None:
        self._show_details(event.seq)

    def _show_details(self, seq: int) -> None:
        event = self.bridge.live.events.get(seq)
        if event is not None:
            self.query_one("#details", Details).show(_facts(event))

    def action_filter(self) -> None:
        self.query_one(FilterBar).focus()

    def action_copy(self) -> None:
        seq = self.feed.cursor_seq
        event = self.bridge.live.events.get(seq) if seq is not None else None
        if event is not None:
            self.deck.copy_text(str(event), "event")

    def action_copy_command(self) -> None:
        self.deck.copy_command("feed", {})


def summary(live: Live) -> Text:
    """The line above: how the link is, and the rates."""
    link = live.link
    if link is None:
        return Text.assemble(State.PENDING.text("no feed yet"), (f"  {safe(live.problem)}", "muted"))
    if link.state == "lost":
        return Text.assemble(State.REFUSED.text("Redis is lost"), (f"  {safe(link.problem)}", "bad"))
    rates = live.rates()
    last = sum((counts for counts in rates[-10:]), Counter())
    if link.state == "starting":
        text = State.PENDING.text("loading")
    elif link.state == "polled":
        text = State.PARTIAL.text("polled: keyspace events are off")
    else:
        text = Text(f"{sum(last.values()) / 10:.1f} ev/s", style="strong")
    for prefix, count in sorted(last.items()):
        text.append(f"  {safe(_WORDS.get(prefix, prefix))} {count / 10:.1f}", style="muted")
    text.append("  " + spark([sum(counts.values()) for counts in rates], 20), style="accent")
    if link.reconnects:
        when = f"{datetime.fromtimestamp(link.last_load).astimezone():%H:%M:%S}" if link.last_load else "…"
        text.append(f"  complete again since {when}, reconnect {link.reconnects}", style="muted")
    return text


def _facts(event: FeedEvent) -> Iterable[Fact]:
    yield Title(f"{event.event.upper()} {event.key}")
    for number, change in enumerate(event.changes or ("no visible change",)):
        yield Fact("changed" if not number else "", change)
    yield Fact("by", event.by)
    if event.operation:
        yield Fact("operation", event.operation)
    if event.writes > 1:
        yield Fact("writes", f"{event.writes} notifications between two readings: what is shown is the sum of them")
