"""One table for endings: in the code, in the docs, in DESIGN's words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from console.outcome import HTTP_STATUSES, Ending, Item, Outcome, Refusal, Revealed, TimedOut, conflict, not_found

DOCS = Path(__file__).parents[2] / "docs" / "outcomes.md"


@pytest.mark.parametrize(
    ("ending", "code", "status"),
    [
        (Ending.DONE, 0, 200),
        (Ending.UNCHANGED, 0, 200),
        (Ending.PENDING, 3, 202),
        (Ending.PARTIAL, 4, 207),
        (Ending.REFUSED, 2, 422),
        (Ending.FAILED, 1, 502),
        (Ending.INTERRUPTED, 5, 409),
        (Ending.CANCELLED, 130, 499),
    ],
)
def test_every_ending_has_its_exit_code_and_status(ending: Ending, code: int, status: int) -> None:
    outcome = Outcome(ending, "x")
    assert (outcome.exit_code, outcome.status) == (code, status)


def test_the_documented_table_is_the_one_in_the_code() -> None:
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \| (\d+) \| ([\d, ]+) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    documented = {
        name: (means.strip(), int(code), {int(s) for s in statuses.split(",")}) for name, means, code, statuses in rows
    }
    assert documented == {e.value: (e.means, e.exit_code, set(HTTP_STATUSES[e])) for e in Ending}


def test_a_key_is_handed_out_once() -> None:
    revealed = Revealed("bud_client_secret")
    assert "secret" not in repr(revealed)
    assert "secret" not in repr(Outcome(Ending.DONE, "x", revealed=revealed))
    assert revealed.take() == "bud_client_secret"
    assert revealed.take() is None


def test_json_has_only_what_there_is() -> None:
    assert Outcome(Ending.DONE, "fine").as_json() == {"outcome": "done", "summary": "fine"}
    full = Outcome(Ending.PARTIAL, "s", ("p",), (Item("n", "ok"),), {"a": 1}, "C", "then")
    assert json.loads(json.dumps(full.as_json()))["items"] == [{"name": "n", "state": "ok", "detail": ""}]


def test_errors_become_outcomes_with_their_status() -> None:
    assert not_found("x").outcome().status == 404
    assert conflict("x").outcome().status == 409
    assert Refusal("x", status=403).outcome().exit_code == 2
    assert TimedOut("x").outcome().status == 504
