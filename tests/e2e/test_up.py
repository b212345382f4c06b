"""`modeldeck up`: the same stack with data that lasts, and everything that an operator does from a shell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from console.local.layout import read_json
from tests.support.commands import Background, environment, processes_of, run, run_json, stack_of

MODEL = "deepinfra/meta-llama/Llama-3.1-8B-Instruct"
KUBECTL = str(Path(sys.executable).with_name("kubectl"))


@dataclass
class Up:
    """A stack that was brought up, and the shell of its operator."""

    home: Path
    env: dict[str, str]

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = run(*arguments, env=self.env)
        assert done.returncode == code, f"{arguments} ended with {done.returncode}:\n{done.stderr}\n{done.stdout}"
        return done.stdout

    @property
    def gateway(self) -> str:
        return re.search(r"gateway\s+(\S+)", self("up"))[1]  # type: ignore[index]

    def chat(self, key: str, model: str) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {key}"}
        url = f"{self.gateway}/v1/chat/completions"
        return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=10).status_code

    def kubectl(self, *arguments: str, identity: str = "admin") -> subprocess.CompletedProcess[str]:
        command = [KUBECTL, "--kubeconfig", str(stack_of(self.home).kubeconfig(identity)), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home = tmp_path_factory.mktemp("home")
    shell = Up(home, environment(home))
    shell("up")
    shell("sync", "run")
    yield shell
    shell("down", "--wipe", "--yes")
    assert not stack_of(home).root.exists()
    assert processes_of(home) == []


def test_all_parts_are_well(up: Up) -> None:
    outcome = run_json("status", env=up.env)
    assert outcome["outcome"] == "done", outcome
    parts = {row["part"] for row in outcome["data"]}
    assert {"redis", "kubernetes", "database", "gateway", "authorizer", "stack envoy", "stack valkey"} <= parts


def test_a_second_up_attaches_to_the_running_one(up: Up) -> None:
    before = read_json(stack_of(up.home).state)
    up("up")
    after = read_json(stack_of(up.home).state)
    assert before is not None
    assert after is not None
    assert before["pid"] == after["pid"]
    assert run("run", env=up.env).returncode == 2


def test_publish_key_call_and_kubectl(up: Up) -> None:
    up("publish", MODEL, "--tenant", "acme", "--name", "llama")
    key = up("keys", "create", "shell", "--tenant", "acme").strip()
    assert re.fullmatch(r"bud_client_[A-Za-z0-9_-]{43}", key), "standard output is the key and nothing else"
    assert up.chat(key, "llama") == 200
    listed = up.kubectl("get", "aigatewayroutes,httproutes,securitypolicies", "-A", identity="viewer")
    assert listed.returncode == 0, listed.stderr
    for kind in ("aigatewayroute", "httproute", "securitypolicy"):
        assert re.search(rf"acme\s+{kind}\S*/pub-llama", listed.stdout)
    assert up.kubectl("get", "secrets", "-n", "acme", identity="viewer").returncode != 0
    refused = run("unpublish", "llama", env=up.env)
    assert (refused.returncode, "not confirmed" in refused.stderr) == (2, True)
    up("keys", "revoke", "shell", "--yes")
    assert up.chat(key, "llama") == 401
    up("unpublish", "llama", "--confirm", "llama")
    assert "pub-llama" not in up.kubectl("get", "aigatewayroutes,httproutes,securitypolicies", "-A").stdout


def test_data_and_keys_outlive_a_restart(up: Up) -> None:
    up("publish", MODEL, "--tenant", "acme", "--name", "lasting")
    key = up("keys", "create", "lasting", "--tenant", "acme").strip()
    up("down")
    assert processes_of(up.home) == []
    status = run("status", env=up.env)
    assert status.returncode == 4
    assert "modeldeck up" in status.stdout
    up("up")
    assert up.chat(key, "lasting") == 200
    up("keys", "revoke", "lasting", "--yes")
    up("unpublish", "lasting", "--yes")


@pytest.mark.parametrize("part", ["valkey", "envoy", "authorizer"])
def test_a_part_that_is_killed_comes_back(up: Up, part: str) -> None:
    state = read_json(stack_of(up.home).state)
    assert state is not None
    # The leash's only child is the part itself.
    pid = state["parts"][part]["pid"]
    child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    restarts = state["parts"][part]["restarts"]
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while True:
        now = (read_json(stack_of(up.home).state) or {"parts": {part: {}}})["parts"][part]
        if now.get("restarts", 0) > restarts and now.get("state") == "ok":
            break
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    assert run_json("status", env=up.env)["outcome"] == "done"


def test_a_publish_that_is_killed_is_undone_by_the_running_stack(up: Up, tmp_path: Path) -> None:
    """kill -9 in the middle: the stack's own recovery sees that the owner is gone and undoes it."""
    publishing = Background(
        "publish", MODEL, "--tenant", "acme", "--name", "killed", env=up.env, directory=tmp_path / "output"
    )
    publishing.until("✓ Secret")
    publishing.signal(signal.SIGKILL)
    publishing.wait()
    interrupted = run_json("operations", "list", env=up.env)["data"][0]
    deadline = time.monotonic() + 60
    while interrupted["state"] not in ("failed", "done"):
        assert time.monotonic() < deadline, interrupted
        time.sleep(1)
        interrupted = run_json("operations", "list", env=up.env)["data"][0]
    if interrupted["state"] == "done":
        pytest.skip("it was faster than the signal")
    assert "recovery" in interrupted["summary"]
    assert "pub-killed" not in up.kubectl("get", "aigatewayroutes,httproutes,securitypolicies,backends", "-A").stdout
    up("publish", MODEL, "--tenant", "acme", "--name", "killed")
    up("unpublish", "killed", "--yes")


def test_the_feed_as_lines_of_json(up: Up, tmp_path: Path) -> None:
    feed = Background("feed", "--json", "--count", "2", env=up.env, directory=tmp_path / "output")
    deadline = time.monotonic() + 20
    while feed.process.poll() is None:
        # Written until it is heard: the feed says nothing of when it has begun to listen.
        assert time.monotonic() < deadline
        run("keys", "create", f"feed-{time.monotonic_ns()}", "--tenant", "acme", env=up.env)
    lines = [json.loads(line) for line in feed.out.splitlines()]
    assert lines[0]["key"].startswith("api_key:")
    assert lines[0]["action"] == "keys.create"
    assert lines[-1]["outcome"] == "done"


def test_json_and_exit_codes_of_refusals(up: Up) -> None:
    done = run("publish", "deepinfra/no-such-model", "--tenant", "acme", "--json", env=up.env)
    body = json.loads(done.stdout)
    assert (done.returncode, body["outcome"], body["code"]) == (2, "refused", "MODEL_NOT_FOUND")
    assert run("keys", "rotate", "nobody", env=up.env).returncode == 2
    assert run("models", "search", "ctx>=lots", env=up.env).returncode == 2
    assert run("no-such-command", env=up.env).returncode == 2
    assert run("status", "--profile", "other", env=up.env).returncode == 2


def test_no_issued_key_is_on_disk(up: Up) -> None:
    key = up("keys", "create", "leak", "--tenant", "acme").strip()
    new = up("keys", "rotate", "leak").strip()
    up("keys", "revoke", "leak", "--yes")
    for path in up.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert key.encode() not in content, path
            assert new.encode() not in content, path
