"""Results as text: tables that fit a terminal, and figures as lines."""

from __future__ import annotations

from console.actions import REGISTRY
from console.rendering import Fitted, data_text

_KEY = {
    "id": "ka2fp4", "name": "the-key-of-the-search-team", "tenant": "acme", "owner": "acme", "kind": "client",
    "models_text": "all", "used": "2026-11-21T20:26:26+00:00", "expires_at": "2027-02-21T20:26:26+00:00",
    "grace_left": 900, "state": "rotating", "label_text": "team=search",
}  # fmt: skip


def test_a_table_fits_the_width_of_its_terminal_and_says_what_is_missing() -> None:
    action = REGISTRY["keys.list"]
    for width in (40, 60, 80, 100):
        fitted = Fitted(width)
        lines = data_text(action, [_KEY], fitted).splitlines()
        assert len(lines) == 2
        assert max(map(len, lines)) <= width
        assert {"KEY", "STATE"} <= set(lines[0].split())
        assert "OWNER" in fitted.missing
        assert "--json" in fitted.note
    whole = data_text(action, [_KEY])
    assert _KEY["used"] in whole
    assert "LABELS" in whole
    wide = Fitted(400)
    assert (data_text(action, [_KEY], wide), wide.note) == (whole, "")


def test_a_column_of_nothing_goes_before_others_and_is_not_missed() -> None:
    fitted = Fitted(90)
    text = data_text(REGISTRY["keys.list"], [{**_KEY, "name": "chat", "label_text": "", "expires_at": None}], fitted)
    assert ("LABELS" in text, "EXPIRES" in text, fitted.missing) == (False, False, [])


def test_figures_within_figures_are_a_readable_line() -> None:
    text = data_text(REGISTRY["overview"], {"keys": {"active": 2, "rotating": 1, "in_trouble": 0}, "needs": []})
    assert text.split(None, 1) == ["keys:", "2 active, 1 rotating, 0 in trouble"]
