"""What becomes of a key when its text cannot be written, and of an operation when its terminal goes away."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.stack import MODEL, TWO_PROVIDERS, Running, running_stack

FULL = Path("/dev/full")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Shell:
    """The command line, on a stack."""

    running: Running

    def command(self, *words: str) -> list[str]:
        config = str(self.running.layout.profile)
        return [sys.executable, "-m", "console", *words, "--config", config, "--profile", "local"]

    async def run(self, *words: str, stdout: int | None = subprocess.PIPE) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *self.command(*words),
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, (out or b"").decode(), err.decode()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    async with running_stack(tmp_path_factory.mktemp("stack"), synced=TWO_PROVIDERS) as running:
        yield Shell(running)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
async def test_a_key_whose_text_cannot_be_written_is_told_and_can_be_taken_back(shell: Shell) -> None:
    full = os.open(FULL, os.O_WRONLY)
    code, _, err = await shell.run("keys", "create", "chat", "--tenant", "acme", stdout=full)
    assert code == 4, err
    assert "is lost" in err
    assert "keys revoke" in err
    assert "Traceback" not in err
    code, _, err = await shell.run("keys", "rotate", "chat", stdout=full)
    assert (code, "keys withdraw" in err) == (4, True), err
    code, _, err = await shell.run("keys", "withdraw", "chat", "--yes")
    assert code == 0, err
    _, out, _ = await shell.run("keys", "show", "chat", "--json")
    shown = json.loads(out)["data"]
    assert shown["state"] == "active"
    assert shown["generations"][0]["not_after"] is None
    assert shown["generations"][1]["revoked_at"] is not None
    code, _, err = await shell.run("keys", "list", stdout=full)
    assert (code, "Traceback" in err) == (1, False)
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = await shell.run("keys", "create", "pipe", "--tenant", "acme", stdout=writing)
    assert (code, "is lost" in err) == (4, True)
    os.close(writing)
    os.close(full)


async def test_a_key_for_a_tenant_that_is_not_there_is_refused(shell: Shell) -> None:
    code, out, err = await shell.run("keys", "create", "chat", "--tenant", "nobody")
    assert (code, out) == (2, ""), err
    assert "no tenant nobody" in err


@pytest.mark.parametrize("name", ["isvc/acme", "isvc//x", "isvc/../x"])
async def test_what_names_no_service_is_refused_by_a_sentence(shell: Shell, name: str) -> None:
    code, _, err = await shell.run("publish", name, "--tenant", "acme")
    assert (code, "Traceback" in err) == (2, False), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_terminal_that_goes_away_undoes_what_was_under_way(shell: Shell, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        *shell.command("publish", MODEL, "--name", "cut", "--tenant", "acme"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        # Tests that run in the background of a shell are told to ignore Ctrl-C, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    told = b""
    while b"Secret" not in told.partition(b"Plan:")[2].partition("✓".encode())[2]:
        line = await process.stderr.readline()
        assert line, told.decode()
        told += line
    process.send_signal(number)
    rest = await process.stderr.read()
    code = await process.wait()
    assert code == (130 if number == signal.SIGINT else 128 + number), (told + rest).decode()
    assert "undone" in rest.decode()
    _, out, _ = await shell.run("published", "--json")
    assert json.loads(out)["data"] == []


async def test_a_key_for_a_closed_output_is_told_as_lost(shell: Shell) -> None:
    closed = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *shell.command("keys", "create", "shut", "--tenant", "acme")]
    done = await asyncio.to_thread(subprocess.run, closed, capture_output=True, text=True, check=False)
    assert (done.returncode, "is lost" in done.stderr, "keys revoke" in done.stderr) == (4, True, True), done.stderr
    assert "✓ done" not in done.stderr
    closed[2] = 'exec "$@" 2>&-'
    closed[closed.index("shut")] = "heard"
    done = await asyncio.to_thread(subprocess.run, closed, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stdout


@pytest.mark.parametrize("seconds", [0.06, 0.12, 0.3, 0.5])
async def test_ctrl_c_ends_a_command_with_one_line_while_it_still_loads(shell: Shell, seconds: float) -> None:
    while True:
        process = subprocess.Popen(
            shell.command("keys", "list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate)
        if "Traceback" not in err or ", in main" in err:
            break
        seconds *= 1.5  # Python itself was still starting: nothing of ours was there to hear it
    assert (process.returncode, err.strip()) == (130, "cancelled") or "✓ done" in err, err


@pytest.mark.parametrize("typed", [b"\x03", b"yes I\x03", b"\x04"])
async def test_a_question_is_left_at_once(shell: Shell, typed: bytes) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        shell.command("tenants", "suspend", "acme"), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(slave)
    try:
        told = await asyncio.to_thread(_until, master, b"[y/N]")
        os.write(master, typed)
        told = await asyncio.to_thread(_until, master, b"nothing was changed")
        assert "cancelled; nothing was changed" in told
        assert await asyncio.to_thread(process.wait, 10) == 130
    finally:
        process.kill()
        os.close(master)


def _take_terminal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _until(terminal: int, sentence: bytes) -> str:
    told = b""
    while sentence not in told:
        assert select.select([terminal], [], [], 20)[0], told.decode()
        told += os.read(terminal, 4096)
    return told.decode()
