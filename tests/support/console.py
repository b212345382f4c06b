"""The console under test: on a scripted bridge where nothing depends on the clock, or on services of its own.

app = scripted(World())                       # tests.support.world: what the services would answer
async with app.run_test(size=(80, 24)) as pilot:
    await settled(app)
    await pilot.press("5")
    await shows(app, "chat")
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from textual._context import visible_screen_stack

import screens
import widgets
from console.actions import REGISTRY
from console.app import Console
from console.bridge import Job, Live, Ring
from console.bridge.jobs import Job as _Job
from console.catalog.completion import Vocabulary
from console.catalog.index import CatalogIndex, Row
from console.config import Profile
from console.guard import Principal, Role
from console.outcome import Ending, ModeldeckError, Outcome
from console.terminal.environment import Terminal
from tests.support.waiting import until

NOW = datetime(2026, 11, 21, 2, 44, 0, tzinfo=UTC)
"""What every clock in a frozen console says."""
TERMINAL = Terminal.found(
    {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22",
        "MODELDECK_RENDER": "stock",
    }
)
_MONOTONIC = 10_000.0
_LOOK_SECONDS = 0.03
"""Between two looks at a screen: each works out what all of its widgets look like."""
Answer = Outcome | ModeldeckError | Callable[[Mapping[str, Any]], Outcome]


@dataclass
class Play:
    """How a job goes: what it reports, and how it ends; None where it goes on for ever."""

    progress: Sequence[Any] = ()
    outcome: Outcome | None = None
    seconds: float = 0.4


@dataclass
class Script:
    """What the services would answer.

    answers   by action; what is not in it is refused
    plays     by action, for what is begun
    refusals  by action: why the guard would refuse it
    armed     seconds, 0 where writes are not armed, None where they need not be
    """

    profile: Profile
    answers: dict[str, Answer] = field(default_factory=dict)
    plays: dict[str, Play] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    armed: float | None = None
    rows: Sequence[Row] | ModeldeckError = ()
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    live: Live = field(default_factory=Live)
    unreachable: ModeldeckError | None = None


class ScriptedBridge:
    """The public face of `console.bridge.Bridge`, with answers out of a script and no thread, loop or service."""

    def __init__(self, script: Script, changed: Callable[[], None]) -> None:
        self._script = script
        self._changed = changed
        self._open = False
        self._armed = script.armed
        self.profile: Profile | None = None
        self.live = script.live
        self.jobs: list[Job] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def open(self) -> None:
        if self._script.unreachable is not None:
            raise self._script.unreachable
        self.profile = self._script.profile
        self._open = True
        self._changed()

    @property
    def principal(self) -> Principal | None:
        return Principal("op", Role.ADMIN, None, "console", "10.0.0.1")

    @property
    def ready(self) -> bool:
        return self._open

    @property
    def armed_seconds(self) -> float | None:
        return self._armed

    def arm(self) -> None:
        self._armed = 581.0

    def disarm(self) -> None:
        self._armed = 0.0

    async def why_not(self, identifier: str, tenant: str | None = None) -> str | None:
        return self._script.refusals.get(identifier)

    async def ask(self, identifier: str, values: Mapping[str, Any] | None = None) -> Outcome:
        self.asked.append((identifier, dict(values or {})))
        answer = self._script.answers.get(identifier)
        if answer is None:
            return Outcome(Ending.REFUSED, f"the script has no answer to {identifier}")
        if isinstance(answer, ModeldeckError):
            return answer.outcome()
        return answer if isinstance(answer, Outcome) else answer(values or {})

    def begin(
        self,
        identifier: str,
        values: Mapping[str, Any] | None = None,
        *,
        confirmed: str = "",
        heard: Callable[[Job], None] = lambda _: None,
    ) -> Job:
        play = self._script.plays.get(identifier) or self._short_play(identifier, values or {})
        job = _Job(len(self.jobs) + 1, REGISTRY[identifier], dict(values or {}), started=_MONOTONIC - play.seconds)
        job.stops_by(lambda: None)
        self.jobs.append(job)

        for item in play.progress:
            job.told(item)
        if play.outcome is not None:
            # At once, so that no picture depends on which came first: the end, or a look at what runs.
            job.end(play.outcome)
            job.ended = _MONOTONIC
        return job

    def _short_play(self, identifier: str, values: Mapping[str, Any]) -> Play:
        """What is only asked for otherwise; what is not in the script ends well."""
        answer = self._script.answers.get(identifier, Outcome(Ending.DONE, f"{identifier}: done"))
        if isinstance(answer, ModeldeckError):
            answer = answer.outcome()
        return Play(outcome=answer if isinstance(answer, Outcome) else answer(values))

    async def catalog(self) -> tuple[CatalogIndex, Vocabulary]:
        if isinstance(self._script.rows, ModeldeckError):
            raise self._script.rows
        index = CatalogIndex()
        index.update(self._script.rows)
        return index, self._script.vocabulary

    def look_again(self) -> None:
        self.asked.append(("status", {}))

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.running]

    def close(self) -> bool:
        return True


class ScriptedConsole(Console):
    """The console as it is, on a scripted bridge."""

    def __init__(self, script: Script, *, terminal: Terminal = TERMINAL, **options: Any) -> None:
        super().__init__(lambda: script.profile, terminal=terminal, **options)
        self.bridge._thread._loop.close()
        self.bridge = ScriptedBridge(script, self._live_changed)  # type: ignore[assignment]
        self.drawn = 0

    def _display(self, screen: Any, renderable: Any) -> None:
        self.drawn += 1
        super()._display(screen, renderable)


def scripted(script: Script, reports: Path | None = None, terminal: Terminal = TERMINAL) -> ScriptedConsole:
    """A console on a script; run it inside of `frozen`."""
    return ScriptedConsole(script, terminal=terminal, reports=reports)


# --- what is on the screen ------------------------------------------------------------------------------------------


def lines(app: Console) -> list[str]:
    """The screen as text, dialogs over what lies behind them."""
    if not app._screen_stack:
        return []
    # As Textual does before it draws: else what lies behind a dialog is drawn, and kept, as nothing.
    visible_screen_stack.set(app._background_screens)
    strips = app.screen._compositor.render_strips(app.size)
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def picture_of(app: Console) -> str:
    return "\n".join(lines(app))


async def shows(app: Console, *texts: str, within: float = 10.0) -> str:
    """Wait until every text stands on the screen, each within a line; the screen then."""

    def there() -> bool:
        shown = lines(app)
        return all(any(text in line for line in shown) for text in texts)

    await _until(app, there, f"{texts}", within)
    return picture_of(app)


async def gone(app: Console, text: str, within: float = 10.0) -> None:
    """Wait until a text stands nowhere on the screen."""
    await _until(app, lambda: not any(text in line for line in lines(app)), f"{text!r} is gone", within)


async def settled(app: ScriptedConsole) -> None:
    """Wait until nothing is drawn any more. A scripted console does nothing by itself."""
    await until(lambda: app._screen_stack and app.screen.is_mounted)
    quiet, before = 0, -1
    while quiet < 6:
        await asyncio.sleep(0.01)
        still = app.drawn == before and app._fence is None and app._live_timer is None and not _to_be_read(app)
        quiet = quiet + 1 if still else 0
        before = app.drawn


def _to_be_read(app: ScriptedConsole) -> bool:
    return any(getattr(screen, "_settling", None) is not None for screen in app.screen_stack)


async def _until(app: Console, condition: Callable[[], bool], what: str, within: float) -> None:
    try:
        await until(condition, within=within, every=_LOOK_SECONDS, what=what)
    except AssertionError as problem:
        raise AssertionError(f"{problem}\n{picture_of(app)}") from None


# --- clocks ---------------------------------------------------------------------------------------------------------


class _Frozen(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _Frozen:  # type: ignore[override]
        moment = cls.fromtimestamp(NOW.timestamp(), UTC)
        return moment.astimezone(tz) if tz else moment.replace(tzinfo=None)


@contextmanager
def frozen() -> Iterator[None]:
    """Every clock that a screen or a widget reads stands still at `NOW`, in UTC."""
    clock = SimpleNamespace(
        **{name: getattr(time, name) for name in ("sleep", "perf_counter", "strftime")},
        time=NOW.timestamp,
        monotonic=lambda: _MONOTONIC,
    )
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    patches = []
    for module in _modules():
        if getattr(module, "datetime", None) is datetime:
            patches.append(patch.object(module, "datetime", _Frozen))
        if getattr(module, "time", None) is time:
            patches.append(patch.object(module, "time", clock))
    try:
        for each in patches:
            each.start()
        yield
    finally:
        for each in patches:
            each.stop()
        os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
        time.tzset()


def _modules() -> list[ModuleType]:
    for package in (screens, widgets):
        for found in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{found.name}")
    # Not the modules of tables: their marks fade by a clock that must go on where it is waited for.
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(("screens.", "widgets."))
        or name in ("console.acting", "console.bridge.live", "console.bridge.jobs")
    ]


def live(events: Sequence[Any] = (), *, link: Any = None, health: Any = None, problem: str = "") -> Live:
    """What is followed, as if it had been followed for a while."""
    found = Live(events=Ring(200), problem=problem)
    if health is not None:
        found.health = health
    if link is not None:
        found._feed = SimpleNamespace(status=link)  # type: ignore[assignment]
        found.problem = problem
    for event in events:
        found.took(event)
    return found
