"""``--limits-fail``: the choice of whoever starts the stack reaches the listener of its gateway."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from console.local import commands, updown
from console.local.gateway.translate.global_limits import global_limits_filter
from console.local.stack import Stack
from console.outcome import Refusal

pytest.importorskip("grpc")


@pytest.mark.parametrize(("given", "closed"), [((), False), (("open",), False), (("closed",), True)])
def test_the_stack_is_started_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: tuple[str, ...], closed: bool
) -> None:
    started: list[Stack] = []

    async def start(self: Stack, _tell: Any) -> None:
        started.append(self)
        raise Refusal("that is enough")

    monkeypatch.setattr(Stack, "start", start)
    monkeypatch.setattr("console.local.run.log_to", lambda _: None)
    arguments = [part for value in given for part in ("--limits-fail", value)]
    CliRunner().invoke(commands.run, ["--data", str(tmp_path), *arguments])
    (stack,) = started
    stack._ports = {"limiter": 9002}
    envoy: Any = SimpleNamespace(configuration=tmp_path, access_log=tmp_path / "log")
    limiter = stack._gateway_settings(envoy).limiter
    assert limiter is not None
    assert global_limits_filter(limiter)["typed_config"]["failure_mode_deny"] is closed


def test_up_hands_it_to_the_process_that_it_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands_run: list[list[str]] = []

    def begin(command: list[str], **_: Any) -> Any:
        commands_run.append(command)
        return SimpleNamespace(poll=lambda: Refusal.ending.exit_code)

    monkeypatch.setattr(updown, "subprocess", SimpleNamespace(Popen=begin, DEVNULL=subprocess.DEVNULL))
    CliRunner().invoke(commands.up, ["--data", str(tmp_path), "--limits-fail", "closed"])
    ((*_, option, value),) = commands_run
    assert (option, value) == ("--limits-fail", "closed")


def test_anything_else_is_refused() -> None:
    assert CliRunner().invoke(commands.run, ["--limits-fail", "maybe"]).exit_code == 2
