"""Results as text: tables that fit a terminal, and figures as lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from console.actions import REGISTRY
from console.rendering import Fitted, data_text
from console.terminal.times import short_moment

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


@pytest.mark.parametrize("columns", [70, 80, 100])
def test_a_narrow_table_keeps_the_minute_of_a_moment(columns: int) -> None:
    soon = datetime.now().astimezone() + timedelta(minutes=5)
    row = {
        "provider": "vercel-ai-gateway", "outcome": "unreachable", "finished_at": "2026-11-21T23:42:10+00:00",
        "good_at": "2026-11-21T23:42:10+00:00", "next_run_at": soon.astimezone(UTC).isoformat(timespec="seconds"),
        "paused": False, "sentence": "it did not answer within 30 s, and was asked three times",
    }  # fmt: skip
    fitted = Fitted(columns)
    text = data_text(REGISTRY["sync.status"], [row], fitted)
    assert max(map(len, text.splitlines())) <= columns
    assert f"{soon:%H:%M}" in text
    assert "T23" not in text
    assert "times are short, and local" in fitted.note
    wide = Fitted(400)
    assert str(row["next_run_at"]) in data_text(REGISTRY["sync.status"], [row], wide)
    assert wide.note == ""


def test_a_short_moment_is_as_long_as_it_must_be() -> None:
    now = datetime(2026, 11, 22, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert short_moment("2026-11-21T23:05:59+00:00", now) == "00:05"
    assert short_moment("2026-11-21T22:45:00Z", now) == "Nov 21 23:45"
    assert short_moment("2027-02-21T20:26:26+00:00", now) == "Feb 21 2027"
    assert short_moment("2026-99-99T20:26:26+00:00", now) == "2026-99-99T20:26:26+00:00"
    assert short_moment("llama-2026-11-21", now) == "llama-2026-11-21"


def test_figures_within_figures_are_a_readable_line() -> None:
    text = data_text(REGISTRY["overview"], {"keys": {"active": 2, "rotating": 1, "in_trouble": 0}, "needs": []})
    assert text.split(None, 1) == ["keys:", "2 active, 1 rotating, 0 in trouble"]
