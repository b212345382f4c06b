"""Documentation of a publication: its examples run as they are shown, and the check says what came of it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from console.actions import REGISTRY
from console.actions.perform import perform
from console.guard import Principal, Role
from console.outcome import Ending
from console.services import Services
from tests.support.stack import ADMIN, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")

_RUN = {
    "curl": ("example.sh", ["sh", "example.sh"]),
    "openai": ("example.py", [sys.executable, "example.py"]),
    "httpx": ("example.py", [sys.executable, "example.py"]),
    "javascript": ("example.mjs", ["node", "example.mjs"]),
    "go": ("main.go", ["go", "run", "main.go"]),
}


def _can_run(example: str) -> bool:
    if example == "openai" and importlib.util.find_spec("openai") is None:
        return False
    return shutil.which(_RUN[example][1][0]) is not None


async def _run(directory: Path, example: str, text: str, key: str) -> tuple[int, str]:
    name, command = _RUN[example]
    (directory / name).write_text(text)
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "API_KEY": key}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def _docs(stack: Running, name: str = "llama", ending: Ending = Ending.DONE, **values: Any) -> dict[str, Any]:
    outcome = await stack.do("publications.docs", name=name, **values)
    assert outcome.ending is ending, outcome
    found: dict[str, Any] = outcome.as_json()["data"]
    return found


async def test_every_example_runs_as_it_is_shown(stack: Running, tmp_path: Path) -> None:
    await stack.publish(rpm=600)
    key = await stack.key("docs")
    page = await _docs(stack)
    assert page["checked"]["good"], page["checked"]
    shown = {example["id"]: example["text"] for example in page["examples"]}
    assert list(shown) == list(_RUN)
    ran = []
    for example, text in shown.items():
        assert text.rstrip() in page["markdown"]
        if not _can_run(example):
            continue
        code, out = await _run(tmp_path, example, text, key)
        assert code == 0, f"{example}: {out}"
        assert "assistant" in out, f"{example}: {out}"
        ran.append(example)
        wrong, out = await _run(tmp_path, example, text, "bud_client_wrong")
        assert wrong != 0, f"{example} hides an error: {out}"
    assert {"curl", "httpx"} <= set(ran)


async def test_the_page_says_what_the_gateway_really_answers(stack: Running) -> None:
    await stack.publish(rpm=2, timeout=77)
    key = await stack.key("errors")
    text = (await _docs(stack, unchecked=True))["markdown"]
    assert f"POST {stack.services.profile.gateway.url}/v1/chat/completions" in text
    assert "| requests per minute | 2 |" in text
    assert "| timeout seconds | 77 |" in text
    answers = [await stack.chat("bud_client_wrong", "llama"), await stack.chat(key, "nobody")]
    answers += [await stack.chat(key, "llama") for _ in range(3)]
    headers = {"authorization": f"Bearer {key}"}
    answers.append(await stack.client.post("/v1/chat/completions", json={}, headers=headers))
    seen = {answer.status_code: answer for answer in answers}
    assert set(seen) == {200, 400, 401, 404, 429}
    assert int(seen[429].headers["retry-after"]) > 0
    for status, answer in seen.items():
        if status != 200:
            assert f"| {status} |" in text
            assert f"`{answer.json()['error']['code']}`" in text


async def test_a_traditional_model_has_its_own_path_and_no_openai(stack: Running, tmp_path: Path) -> None:
    await stack.publish("iris", "isvc/globex/iris", tenant="globex")
    page = await _docs(stack, "iris")
    assert page["checked"]["status"] == 200, page["checked"]
    assert page["request"]["path"] == "/t/globex/v1/models/iris:predict"
    shown = {example["id"]: example["text"] for example in page["examples"]}
    assert "openai" not in shown
    assert "invalid_json" not in page["markdown"]
    code, out = await _run(tmp_path, "curl", shown["curl"], await stack.key("iris"))
    assert code == 0, out


async def test_a_check_that_failed_is_told_and_not_hidden(stack: Running) -> None:
    # Everybody's one request of this minute was the publishing's own. No other test has used that name.
    await stack.publish("limited", model_rpm=1)
    page = await _docs(stack, "limited", Ending.PARTIAL)
    assert (page["checked"]["status"], page["checked"]["good"]) == (429, False)
    assert "FAILED: it was answered 429" in page["markdown"]


async def test_no_key_is_left_and_none_is_shown(stack: Running) -> None:
    await stack.publish()
    redis = await stack.services.redis()
    before = {name async for name in redis.scan_iter("api_key:*")}
    page = await _docs(stack)
    assert {name async for name in redis.scan_iter("api_key:*")} == before
    assert "mdk_probe" not in json.dumps(page)
    assert "bud_client" not in json.dumps(page)


async def test_where_nothing_may_be_written_the_examples_are_not_sent(stack: Running) -> None:
    await stack.publish()
    profile = stack.services.profile.model_copy(update={"read_only": True})
    async with Services(profile) as services:
        outcome = await perform(services, REGISTRY["publications.docs"], {"name": "llama"}, ADMIN)
    assert outcome.ending is Ending.DONE
    assert "read-only" in outcome.as_json()["data"]["checked"]["sentence"]
    viewer = Principal("v", Role.VIEWER, frozenset({"acme"}))
    assert "not sent" in (await stack.do("publications.docs", who=viewer, name="llama")).summary


async def test_another_tenants_page_is_refused(stack: Running) -> None:
    await stack.publish()
    other = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    assert (await stack.do("publications.docs", who=other, name="llama")).code == "TENANT_FORBIDDEN"
    assert (await stack.do("publications.docs", name="nothing")).code == "NOT_PUBLISHED"
