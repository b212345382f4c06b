"""How the console looks on a scripted bridge. Each picture was looked at before it was kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from textual import events

from console.app import Console
from console.outcome import Ending, Outcome
from console.sync.types import Progress, ProviderOutcome, Stage
from screens.views import VIEWS
from tests.support import world
from tests.support.console import Play, Script, frozen, picture_of, scripted, settled, shows

SMALL, LARGE, NARROW = (80, 24), (120, 40), (56, 18)
PUBLISH = ("2", "slash", "'provider:deepinfra llama-3.1", "enter", "p")
CHOOSE_ACME = ("'acme", "enter")
ISSUE = ("5", "n", "'chat", "tab", *CHOOSE_ACME, "ctrl+s")

"""Keys by name; what begins with ' is pasted, what begins with " is typed."""

Make = Callable[[], Script]


def publishing(*, taken: int = 10, failed: bool = False, outcome: Outcome | None = None) -> Script:
    return world.world(plays={"publish": Play(world.steps(taken, failed), outcome, 3.2)})


def issuing() -> Script:
    return world.world(plays={"keys.create": world.issued()})


def syncing() -> Script:
    said = [
        Progress("openrouter", Stage.FINISHED, 358, outcome=ProviderOutcome.OK),
        Progress("together", Stage.WRITING, 22),
        Progress("deepinfra", Stage.FETCHING, body_bytes=40_960),
    ]
    return world.world(plays={"sync.run": Play(said, None, 12)})


def drifted() -> Script:
    script = world.broken()
    script.answers["publications.repair"] = Outcome(Ending.DONE, "repair", data=world.REPAIR)
    return script


def refusing() -> Script:
    return world.world(refusals={"keys.revoke": "the profile local is read-only"})


WINDOWS: dict[str, tuple[Make, tuple[str, ...]]] = {
    "help": (world.world, ("5", "question_mark")),
    "palette": (world.world, ("ctrl+p", "'rotate")),
    "command line": (world.world, ("colon", "'keys ")),
    "command refused": (world.world, ("colon", "'keys rotat chat", "enter")),
    "result": (world.world, ("colon", "'status", "enter")),
    "form": (world.world, ("5", "n")),
    "form with an error": (world.world, ("5", "n", "'chat", "ctrl+s")),
    "form of a rotation": (world.world, ("5", "down", "r")),
    "tenant": (world.world, ("ctrl+t", "down")),
    "reveal": (issuing, ISSUE),
    "confirm": (world.world, ("5", "down", "D")),
    "typed confirm": (lambda: world.prod(armed=581.0), ("5", "down", "D", "'k7f")),
    "arming": (world.prod, ("W", "'pr")),
    "plan": (drifted, ("4", "down", "down", "down", "d")),
    "plan of a removal": (world.world, ("4", "down", "down", "D")),
    "examples": (world.world, ("4", "e")),
    "errors": (world.broken, ("5", "8", "exclamation_mark")),
    "error bar": (refusing, ("5", "D")),
    "jobs drawer": (lambda: publishing(taken=5), (*PUBLISH, *CHOOSE_ACME, "ctrl+s", "5", "grave_accent")),
    "leaving with a job": (syncing, ("7", "R", "ctrl+q")),
}
STATES: dict[str, tuple[Make, tuple[str, ...]]] = {
    "overview in prod, writes locked": (world.prod, ()),
    "overview in prod, writes armed": (lambda: world.prod(armed=581.0), ()),
    "overview in prod, read-only": (lambda: world.prod(read_only=True), ()),
    "catalog, filtered": (world.world, ("2", "slash", "'provider:deepinfra in<0.1", "enter")),
    "catalog, completing": (world.world, ("2", "slash", '"provider:')),
    "catalog, bad filter": (world.world, ("2", "slash", '"llama pric:free')),
    "catalog, none found": (world.world, ("2", "slash", "'nothing-like-it", "enter")),
    "publish, no tenant": (world.world, PUBLISH),
    "publish, planned": (world.world, (*PUBLISH, *CHOOSE_ACME)),
    "publish, plan refused": (world.broken, ("3", "'deepinfra/x", "tab", "tab", "'acme")),
    "publish, applying": (lambda: publishing(taken=5), (*PUBLISH, *CHOOSE_ACME, "ctrl+s")),
    "publish, applied": (
        lambda: publishing(outcome=world.PUBLISH_DONE),
        (*PUBLISH, *CHOOSE_ACME, "ctrl+s"),
    ),
    "publish, failed": (
        lambda: publishing(taken=5, failed=True, outcome=world.PUBLISH_FAILED),
        (*PUBLISH, *CHOOSE_ACME, "ctrl+s"),
    ),
    "published, drifted": (world.broken, ("4", "down", "down", "down")),
    "keys, rotating": (world.world, ("5", "down")),
    "feed, details": (world.world, ("6", "k", "k", "k", "enter")),
    "feed, filtered": (world.world, ("6", "slash", "'k7f3aa", "enter")),
    "sync, running": (syncing, ("7", "R")),
}


@pytest.fixture(autouse=True)
def _still() -> Any:
    with frozen():
        yield


async def press(app: Console, pilot: Any, *keys: str) -> None:
    for key in keys:
        if key.startswith("'"):
            app.post_message(events.Paste(key[1:]))
            await pilot.pause()
        else:
            await pilot.press(*(key[1:] if key.startswith('"') else (key,)))
        await settled(app)
    assert not [fault for fault in app.faults.faults if "should not happen" in fault.what]


def picture(snap_compare: Any, script: Script, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    app = scripted(script)

    async def before(pilot: Any) -> None:
        await shows(app, "Overview")
        await settled(app)
        await press(app, pilot, *keys)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        pytest.param(world.world, SMALL, id="normal, small"),
        pytest.param(world.world, LARGE, id="normal, large"),
        pytest.param(world.world, NARROW, id="normal, narrow"),
        pytest.param(world.empty, SMALL, id="empty"),
        pytest.param(world.broken, SMALL, id="error"),
        pytest.param(world.broken, NARROW, id="error, narrow"),
    ],
)
async def test_every_view(snapshot: Any, make: Make, size: tuple[int, int]) -> None:
    """One console goes through them all, for most of a picture's time is a console's start."""
    kept = snapshot.use_extension(SVGImageExtension)
    app = scripted(make())
    other = []
    async with app.run_test(size=size):
        await shows(app, "Health")
        for view in VIEWS:
            app.open_view(view.name)  # in a form a digit would be typed
            await settled(app)
            if app.export_screenshot() != kept(name=view.name):
                other.append(f"{view.name}:\n{picture_of(app)}")
    assert not other, "\n".join(other)


@pytest.mark.parametrize("name", STATES)
def test_a_view_that_is_at_work(snap_compare: Any, name: str) -> None:
    make, keys = STATES[name]
    picture(snap_compare, make(), SMALL, keys)


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window(snap_compare: Any, name: str) -> None:
    make, keys = WINDOWS[name]
    picture(snap_compare, make(), SMALL, keys)


@pytest.mark.parametrize("name", ["help", "plan"])
def test_a_window_on_a_large_screen(snap_compare: Any, name: str) -> None:
    make, keys = WINDOWS[name]
    picture(snap_compare, make(), LARGE, keys)
