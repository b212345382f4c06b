"""The feed follows, pauses, and never moves what is being read."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from widgets.feed import FeedView


class Lines:
    """A ring of numbered lines."""

    def __init__(self, size: int = 20) -> None:
        self._size = size
        self.first, self.last, self.dropped = 1, 0, 0

    def add(self, count: int) -> None:
        self.last += count
        self.first = max(self.first, self.last - self._size + 1)

    def line(self, seq: int) -> str:
        assert self.first <= seq <= self.last, "only lines that are there are asked for"
        return f"event {seq:04}"


async def test_it_follows_until_one_looks_back_and_then_counts_what_comes(stage: Any) -> None:
    ring = Lines()
    app = stage(lambda: [FeedView(ring)])
    async with app.run_test(size=(60, 7), message_hook=app.posted.append) as pilot:
        feed = app.query_one(FeedView)
        assert "nothing has happened yet" in app.lines()[2]
        ring.add(10)
        feed.advance()
        await pilot.pause()
        assert app.lines()[0].startswith(" ▶ following")
        assert [line.strip("▸ ") for line in app.lines()[1:]] == [f"event {n:04}" for n in range(5, 11)]
        await pilot.press("k")
        assert (feed.following, feed.cursor_seq) == (False, 9)
        ring.add(4)
        ring.dropped = 1200
        feed.advance()
        await pilot.pause()
        assert app.lines()[0].split() == ["‖", "paused", "4", "new", "▼", "1,200", "dropped"]
        assert [line.strip("▸ ") for line in app.lines()[1:]] == [f"event {n:04}" for n in range(5, 11)]
        await pilot.press("G")
        assert (feed.following, feed.cursor_seq, feed.unread) == (True, 14, 0)
        assert [message.following for message in app.take(FeedView.FollowChanged)] == [False, True]


async def test_its_keys_move_pause_and_open(stage: Any) -> None:
    ring = Lines(100)
    ring.add(50)
    app = stage(lambda: [FeedView(ring)])
    async with app.run_test(size=(60, 11), message_hook=app.posted.append) as pilot:
        feed = app.query_one(FeedView)
        feed.advance()
        for key, seq in [
            ("k", 49), ("up", 48), ("j", 49), ("pageup", 39), ("ctrl+b", 29), ("ctrl+d", 34), ("ctrl+u", 29),
            ("pagedown", 39), ("g", 1), ("home", 1), ("down", 2), ("end", 50),
        ]:  # fmt: skip
            await pilot.press(key)
            assert feed.cursor_seq == seq, key
        for key, following in [("space", False), ("space", True), ("f", False), ("f", True)]:
            await pilot.press(key)
            assert feed.following is following
        app.take(FeedView.Opened)
        await pilot.press("k", "enter")
        assert [message.seq for message in app.take(FeedView.Opened)] == [49]
        await pilot.click(FeedView, offset=(4, 2))
        assert feed.cursor_seq == 42
        await pilot.click(FeedView, offset=(4, 2))
        assert [message.seq for message in app.take(FeedView.Opened)] == [42]


async def test_a_filter_keeps_the_line_or_takes_the_next(stage: Any) -> None:
    ring = Lines(100)
    ring.add(50)
    app = stage(lambda: [FeedView(ring)])
    async with app.run_test(size=(60, 11)) as pilot:
        feed = app.query_one(FeedView)
        feed.advance()
        await pilot.press("g", "J", "j", "j")
        assert feed.cursor_seq == 3
        feed.set_filter(lambda seq: seq % 5 == 0)
        assert (feed.cursor_seq, feed.shown) == (5, 10)
        feed.set_filter(lambda seq: False)
        await pilot.pause()
        assert "no line passes the filter" in app.lines()[2]
        feed.set_filter(None)
        assert feed.shown == 50


STEPS = st.lists(
    st.tuples(st.just("add"), st.integers(0, 8))
    | st.tuples(st.just("move"), st.integers(-4, 4))
    | st.tuples(st.just("page"), st.sampled_from([-1, -0.5, 0.5, 1]))
    | st.tuples(st.sampled_from(["follow", "oldest", "newest"]), st.none())
    | st.tuples(st.just("filter"), st.sampled_from([0, 2, 3])),
    max_size=20,
)


async def test_what_is_read_does_not_move_while_it_is_there(stage: Any) -> None:
    app = stage(lambda: [FeedView(Lines())])
    async with app.run_test(size=(40, 7)) as pilot:
        feed = app.query_one(FeedView)

        @settings(max_examples=300, deadline=None)
        @given(STEPS)
        def anything(steps: list[tuple[str, Any]]) -> None:
            ring = Lines()
            feed.set_filter(None)
            feed.set_ring(ring)
            feed._set_following(True)
            for name, argument in steps:
                reading = [line.strip("▸ ") for line in text(feed)]
                if name == "add":
                    following = feed.following
                    ring.add(argument)
                    feed.advance()
                    now = [line.strip("▸ ") for line in text(feed)]
                    if not following and reading and int(reading[0][-4:]) >= ring.first:
                        assert now[: len(reading)] == reading
                elif name == "filter":
                    feed.set_filter((lambda seq, n=argument: seq % n == 0) if argument else None)
                else:
                    getattr(feed, f"action_{name}")(*([] if argument is None else [argument]))
                assert len([line for line in text(feed) if line.startswith("▸")]) == (1 if feed.shown else 0)
                if feed.following and feed.shown:
                    assert feed.cursor_seq == feed._shown[-1]

        anything()
        await pilot.pause()


def text(feed: FeedView) -> list[str]:
    lines = [feed.render_line(y).text.rstrip() for y in range(1, feed.size.height)]
    return [line for line in lines if "event" in line]
