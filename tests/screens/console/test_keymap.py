"""Keys have stable ids, none is taken twice at one place, and docs/console.md lists them all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from screens.views import VIEWS
from tests.support import keymap, world
from tests.support.console import frozen, scripted, settled
from widgets.key_footer import live_keys


def test_the_page_has_the_keys_as_they_are() -> None:
    assert keymap.kept() == keymap.keymap(), "run: make pictures"


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
async def test_no_key_of_a_view_does_two_things(view: str) -> None:
    with frozen():
        app = scripted(world.world())
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(app)
            app.open_view(view)
            await settled(app)
            hints = live_keys(app.screen)
            await pilot.pause()
    keys = Counter(key for hint in hints for key in hint.keys)
    assert not [key for key, times in keys.items() if times > 1]
    ids = Counter(hint.id for hint in hints)
    assert not [identifier for identifier, times in ids.items() if times > 1]


def test_ids_are_of_the_form_that_a_keymap_names() -> None:
    ids: list[Any] = [line.split("|")[3].strip(" `") for line in keymap.keymap().splitlines() if line.startswith("| `")]
    assert len(ids) > 80
    assert all(identifier.count(".") == 1 and identifier.islower() for identifier in ids), ids
