"""The Keys screen: whose key a pasted text is, several rotated at once, what stands in clear, questions with names."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
from textual import events

from console.access.types import digest_of
from console.outcome import Ending, Outcome, Refusal, Revealed
from screens.key_details import facts_of
from tests.support import world
from tests.support.console import Play, ScriptedConsole, frozen, gone, picture_of, scripted, settled, shows
from widgets.reveal import Reveal
from widgets.secret_line import made_of

TEXT = "bud_client_" + "pasted-by-somebody-who-asks-whose-it-is-xyz"
FOUND = Outcome(
    Ending.DONE, "it is generation 2 of chat (k7f3aa) of tenant acme and is its newest; it works", data=world.KEYS[1]
)


@pytest.fixture(autouse=True)
def _still() -> Any:
    with frozen():
        yield


async def opened(script: Any, pilot: Any, app: ScriptedConsole) -> None:
    await settled(app)
    await pilot.press("5")
    await shows(app, "mobile-app")
    await settled(app)


async def test_what_was_heard_before_it_was_read_makes_it_read_no_more() -> None:
    script = world.world()
    assert any(event.prefix == "api_key" for _, event in script.live.events.since(0))
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(script, pilot, app)
        app._draw_live()
        await settled(app)
        asked = [identifier for identifier, _ in app.bridge.asked]  # type: ignore[attr-defined]
        assert asked.count("keys.list") == 1
        script.live.events.append(world.EVENTS[2])
        app._draw_live()
        await settled(app)
        asked = [identifier for identifier, _ in app.bridge.asked]  # type: ignore[attr-defined]
        assert asked.count("keys.list") == 2


@pytest.mark.parametrize("how", ["pasted over the list", "pasted in the window", "typed"])
async def test_a_key_is_found_by_its_digest_and_its_text_is_nowhere(how: str) -> None:
    script = world.world()
    script.answers["keys.find"] = FOUND
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(script, pilot, app)
        if how != "pasted over the list":
            await pilot.press("slash")
            await shows(app, "Whose is this key?")
        if how == "typed":
            for letter in TEXT:
                await pilot.press(letter)
            await settled(app)
            assert "•" * 20 in picture_of(app)
            assert TEXT[:16] not in picture_of(app)
            await pilot.press("enter")
        else:
            app.post_message(events.Paste(f"Bearer {TEXT}\n"))
        await gone(app, "Whose is this key?")
        await shows(app, "▸ chat")
        await settled(app)
        bridge: Any = app.bridge
        assert ("keys.find", {"digest": digest_of(TEXT)}) in bridge.asked
        assert TEXT not in str(bridge.asked)
        assert TEXT not in picture_of(app)
        assert TEXT not in "".join(app._history)
        gc.collect()
        held = [one for one in gc.get_objects() if isinstance(one, events.Paste) and TEXT in one.text]
        assert len(held) <= 1, "but for the test's own"


async def test_nobodys_key_is_said_to_be_nobodys() -> None:
    script = world.world()
    script.answers["keys.find"] = Refusal("no key of Modeldeck's has that text", code="KEY_NOT_FOUND", status=404)
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(script, pilot, app)
        app.post_message(events.Paste(TEXT))
        await shows(app, "no key of Modeldeck's has that text")


@pytest.mark.parametrize(
    ("pasted", "made"),
    [
        ("", ""),
        ("  key \n", "KEY"),
        ("Bearer key", "KEY"),
        ("two words", ""),
        ("x" * 600, ""),
        ("bearer  key\r\n", "KEY"),
    ],
)
def test_what_of_a_paste_is_taken_for_a_key(pasted: str, made: str) -> None:
    assert made_of(pasted, str.upper) == made


async def test_the_marked_ones_are_rotated_and_shown_one_after_another() -> None:
    texts = {"9b2k1x": "bud_admin_one", "k7f3aa": "bud_client_two"}
    outcome = Outcome(
        Ending.DONE,
        "2 of 2 keys rotated",
        data=[world.KEYS[0], world.KEYS[1]],
        reveals={key: Revealed(text) for key, text in texts.items()},
    )
    script = world.world(plays={"keys.renew": Play(outcome=outcome)})
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(script, pilot, app)
        await pilot.press("g", "space", "space", "r")
        await shows(app, "Rotate several keys: 2: batch, chat")
        await settled(app)
        await pilot.press("ctrl+s")
        await shows(app, "1 of 2, shown this once", "bud_admin_one", "batch")
        assert "bud_client_two" not in picture_of(app)
        await settled(app)
        await pilot.press("y")
        await shows(app, "2 of 2, shown this once", "bud_client_two")
        await settled(app)
        await pilot.press("y")
        await gone(app, "shown this once")
        assert not isinstance(app.screen, Reveal)
        assert app.screen.table.marks == frozenset()  # type: ignore[attr-defined]
    job = app.bridge.jobs[0]
    assert job.values["key"] == ("9b2k1x", "k7f3aa")


async def test_a_question_has_the_name_and_the_id() -> None:
    script = world.world()
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(script, pilot, app)
        await pilot.press("g", "D")
        await shows(app, "Revoke a key: batch (9b2k1x)?")


async def test_what_stands_in_clear_is_shown_and_taken_over_on_request() -> None:
    row = {"source": "api_key:client_keys", "entry": "7bb36eb20cfe", "kind": "client", "model_count": 1, "key": None}
    script = world.world()
    rows = [row | {"models": ["llama"], "user": None, "project": None, "expires_at": None, "state": "in clear"}]
    script.answers["keys.import"] = Outcome(Ending.DONE, "1 keys stand in clear", data=rows)
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(script, pilot, app)
        await pilot.press("I")
        await shows(app, "7bb36eb20cfe", "in clear")
        await settled(app)
        await pilot.press("t")
        await shows(app, "whose keys they become")


async def test_what_redis_has_lost_is_shown_and_written_again_on_request() -> None:
    row = {
        "id": "9b2k1x",
        "name": "batch",
        "tenant": "acme",
        "generation": 1,
        "digest": "7bb36eb20cfe",
        "not_after": None,
    }
    plan = Outcome(Ending.DONE, "1 part of 1 key would be written; nothing was changed", data=[
        row | {"where": "Redis", "state": "missing"}
    ])  # fmt: skip
    script = world.world()
    listed = world.list_keys({}).data
    script.answers["keys.restore"] = plan
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(script, pilot, app)
        await pilot.press("R")
        await settled(app)
        assert "7bb36eb20cfe" not in picture_of(app), "nothing is lost, so nothing is offered"
        lost = [one | ({"state": "lost"} if one["id"] == "9b2k1x" else {}) for one in listed]
        script.answers["keys.list"] = world.listed(lost)
        await pilot.press("a")  # those that are revoked too, and so all of them anew
        await shows(app, "▲ lost")
        await pilot.press("R")
        await shows(app, "would be written", "7bb36eb20cfe", "write it again")
        bridge: Any = app.bridge
        assert not bridge.jobs
        await pilot.press("ctrl+s")
        await gone(app, "would be written")
        await settled(app)
        assert [job.action.id for job in bridge.jobs] == ["keys.restore"]


async def test_a_key_whose_tenant_is_suspended_is_seen_to_be_refused() -> None:
    script = world.world()
    rows = [
        one | ({"state": "tenant suspended"} if one["tenant"] == "acme" else {}) for one in world.list_keys({}).data
    ]
    script.answers["keys.list"] = world.listed(rows)
    shown = world.show_key({"key": "9b2k1x"})
    script.answers["keys.show"] = replace(shown, data=shown.data | {"state": "tenant suspended"})
    app = scripted(script)
    async with app.run_test(size=(110, 30)) as pilot:
        await opened(script, pilot, app)
        await shows(app, "○ tenant suspended", "tenants resume acme lets it through again")


def test_details_begin_with_what_a_rotation_is_watched_for() -> None:
    key = world.show_key({"key": "chat"}).data
    many = [{"model": f"m{n}", "source": "published", "endpoint": "e", "clash": None} for n in range(60)]
    clash = {"model": "llama", "source": "own", "endpoint": "e1", "clash": "e9"}
    told = [
        "".join(text for line in fact.lines(200) for text, _ in line)
        for fact in facts_of(key | {"effective": [*many, clash]})
    ]
    assert told[1].startswith("gen 2")
    assert told[2].startswith("gen 1")
    assert "created" in told[3]
    assert any("24 h: 88" in line for line in told)
    assert any("llama → e1; the published one leads to e9, and this one wins" in line for line in told)
    assert any("and 20 more" in line for line in told)
    unknown = replace(FOUND, data=key | {"effective": None, "hours": None}).data
    assert any("not known" in fact.value for fact in facts_of(unknown) if isinstance(fact.value, str))


@pytest.mark.parametrize("how", ["over the list", "in the window", "in the access form"])
async def test_a_mistyped_key_is_told_without_asking_anybody(how: str) -> None:
    wrong = "mdk_client_0000000000000000000000000000000000000000000_38h12d"
    script = world.world()
    app = scripted(script)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(script, pilot, app)
        if how == "in the window":
            await pilot.press("slash")
            await shows(app, "Whose is this key?")
        if how == "in the access form":
            app.screen.deck.open_view("access", wrong)  # type: ignore[attr-defined]
        else:
            app.post_message(events.Paste(wrong))
        await shows(app, "that key is mistyped: its checksum is wrong")
        bridge: Any = app.bridge
        asked = {name for name, _ in bridge.asked}
        assert not asked & {"keys.find", "access.explain"}
        assert wrong not in str(bridge.asked)


def test_details_show_labels_and_the_tenants_that_a_key_may_call() -> None:
    key = world.show_key({"key": "chat"}).data | {"labels": {"team": "search"}, "allowed_tenants": ["globex"]}
    told = "\n".join("".join(text for line in fact.lines(200) for text, _ in line) for fact in facts_of(key))
    assert "team=search" in told
    assert "globex; published models of no other" in told
