"""What would become of the requests of a log, had something been otherwise."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from console.actions.publishing import LIMITS
from console.actions.usage import ACTIONS
from console.guard import Principal, Role
from console.outcome import Ending
from console.publishing.types import LIMIT_OPTIONS, Limits
from console.usage.records import read_line
from console.usage.replaying import COUNTED, Windows
from tests.support.stack import MODEL, TWO_PROVIDERS, Running, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_stack(tmp_path_factory.mktemp("stack"), synced=TWO_PROVIDERS) as running:
        assert (await running.publish()).ending is Ending.DONE
        assert (await running.publish("other")).ending is Ending.DONE
        for name in ("one", "two"):
            await running.key(name)
        yield running


def line(second: float, key: str | None, model: str = "llama", **more: Any) -> str:
    said = {"time": (START + timedelta(seconds=second)).isoformat(), "id": f"{second}", "key": key,
            "tenant": "acme", "model": model, "status": 200, "details": "via_upstream",
            "input_tokens": 60, "output_tokens": 40}  # fmt: skip
    return json.dumps(said | more) + "\n"


async def _keys(stack: Running) -> dict[str, str]:
    return {row["name"]: row["id"] for row in (await stack.do("keys.list")).data}


@pytest_asyncio.fixture(loop_scope="module")
async def log(stack: Running, tmp_path: Path) -> str:
    """Two keys: one calls ten times in a minute, the other once a minute; and one request without a key."""
    ids = await _keys(stack)
    lines = [line(number, ids["one"]) for number in range(10)]
    lines += [line(60 * number, ids["two"]) for number in range(5)]
    lines += [line(7, ids["two"], "other"), line(8, None, status=401, details="ext_authz_denied"), "no line\n"]
    path = tmp_path / "week.log.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return str(path)


async def test_who_would_get_404(stack: Running, log: str) -> None:
    outcome = await stack.do("replay", log=[log], unpublish=["llama"])
    assert outcome.ending is Ending.DONE, outcome
    assert outcome.summary == "16 requests decided again: 2 keys would get 404"
    assert [
        (row["label"].split()[0], row["model"], row["would"], row["requests"], row["of"])
        for row in outcome.data["rows"]
    ] == [
        ("one", "llama", "404 model_not_found", 10, 10),
        ("two", "llama", "404 model_not_found", 5, 5),
    ]
    assert outcome.data["notes"] == [
        "1 lines were no requests",
        "1 requests had no known key: whose they were is not known",
    ]
    assert [row["name"] for row in (await stack.do("published")).data] == ["llama", "other"]


async def test_who_would_hit_a_limit(stack: Running, log: str) -> None:
    outcome = await stack.do("replay", log=[log], model=["llama"], rpm=4)
    (row,) = outcome.data["rows"]
    assert (row["label"].split()[0], row["would"], row["requests"]) == ("one", "429 rpm 4", 6)
    assert row["first"] == (START + timedelta(seconds=4)).isoformat(timespec="seconds")
    tokens = await stack.do("replay", log=[log], model=["llama"], tpd=450)
    assert [(row["would"], row["requests"]) for row in tokens.data["rows"]] == [("429 tpd 450", 5)]
    assert (await stack.do("replay", log=[log], model=["llama"], rpm=10)).summary.endswith("nothing would be otherwise")


async def test_keys_tenants_and_a_declaration(stack: Running, log: str, tmp_path: Path) -> None:
    revoked = await stack.do("replay", log=[log], revoke=["two"])
    assert {(row["would"], row["model"], row["requests"]) for row in revoked.data["rows"]} == {
        ("401 invalid_api_key", "llama", 5),
        ("401 invalid_api_key", "other", 1),
    }
    suspended = await stack.do("replay", log=[log], suspend=["acme"])
    assert suspended.summary == "16 requests decided again: 2 keys would get 403"
    one = {"name": "llama", "tenant": "acme", "model": MODEL, "limits": {"burst": 1, "requests_per_minute": 3}}
    declared = json.dumps({"apiVersion": "modeldeck.dev/v1", "publications": [one]})
    outcome = await stack.do("replay", log=[log], file=declared)
    assert [(row["would"], row["requests"]) for row in outcome.data["rows"]] == [("429 rpm 3", 7)]


async def test_a_refused_request_is_let_through_where_a_limit_goes(stack: Running, tmp_path: Path) -> None:
    ids = await _keys(stack)
    assert (await stack.do("update", name="llama", rpm=2)).ending is Ending.DONE
    path = tmp_path / "access.log"
    path.write_text("".join(line(number, ids["one"]) for number in range(5)))
    outcome = await stack.do("replay", log=[str(path)], model=["llama"], no=["rpm"])
    assert outcome.summary == "5 requests decided again: 1 key would be let through where they are not"
    assert (await stack.do("update", name="llama", no=["rpm"])).ending is Ending.DONE


async def test_what_is_refused_already_does_not_come_out_otherwise(stack: Running, tmp_path: Path) -> None:
    ids = await _keys(stack)
    assert (await stack.do("update", name="other", rph=4)).ending is Ending.DONE
    path = tmp_path / "log"
    path.write_text("".join(line(number, ids["one"], "other") for number in range(7)))
    outcome = await stack.do("replay", log=[str(path)], model=["other"], rph=3)
    (row,) = outcome.data["rows"]
    assert (row["would"], row["requests"], row["of"]) == ("429 rph 3", 1, 7)
    assert (await stack.do("update", name="other", no=["rph"])).ending is Ending.DONE


async def test_the_local_gateways_own_log_is_the_default(stack: Running) -> None:
    outcome = await stack.do("replay", unpublish=["llama"])
    assert outcome.ending is Ending.DONE
    assert outcome.data["requests"] >= 2  # the probes of the publications


async def test_what_cannot_be_replayed_is_said(stack: Running, log: str, tmp_path: Path) -> None:
    torn = tmp_path / "torn.log.gz"
    torn.write_bytes(Path(log).read_bytes()[:40])
    for values, code in (
        ({}, "INVALID_PARAMETER"),
        ({"unpublish": ["nothing"]}, "NOT_PUBLISHED"),
        ({"revoke": ["nobody"]}, "KEY_NOT_FOUND"),
        ({"suspend": ["nobody"]}, "INVALID_TENANT"),
        ({"unpublish": ["llama"], "log": [str(tmp_path / "none")]}, "NOT_READABLE"),
        ({"unpublish": ["llama"], "log": [str(torn)]}, "NOT_READABLE"),
        ({"unpublish": ["llama"], "log": [str(tmp_path)]}, "NOT_READABLE"),
    ):
        outcome = await stack.do("replay", **values)
        assert (outcome.ending, outcome.code) == (Ending.REFUSED, code), (values, outcome)
    over_http = Principal("ann", Role.ADMIN, None, "api", "10.0.0.1")
    outcome = await stack.do("replay", who=over_http, log=["/etc/passwd"], unpublish=["llama"])
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "INVALID_PARAMETER")
    of_globex = Principal("kim", Role.VIEWER, frozenset({"globex"}), "cli", "")
    assert (await stack.do("replay", who=of_globex, log=[log], unpublish=["llama"])).data["rows"] == []


async def test_every_limit_that_counts_can_be_replayed() -> None:
    replay = next(one for one in ACTIONS if one.id == "replay")
    names = {one.name for one in replay.parameters} & {one.name for one in LIMITS}
    assert names == set(COUNTED)
    for option in COUNTED:
        windows = Windows({"llama": Limits(**{LIMIT_OPTIONS[option]: 1})})
        requests = [read_line(line(number * 0.1, "k").encode()) for number in range(2)]
        assert [bool(windows.refuses(one)) for one in requests] == [False, True], option
