"""Run one command that must not outlive its owner.

    python leash.py FD COMMAND…

FD is the reading end of a pipe whose writing end only the owner holds. When the owner closes it, or dies in
whatever way (a ``kill -9`` closes it too), the command gets SIGTERM and, five seconds later, SIGKILL. The leash
ends with the command's own exit code. It imports nothing of Modeldeck, so that it costs a few MB and starts
in some 30 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


def _die_with_the_leash() -> None:
    """In the child, on Linux: end when the leash itself is killed. Safe here, for the leash has one thread yet."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def main(argv: list[str]) -> int:
    owner, command = int(argv[0]), argv[1:]
    # The owner decides about the end: a Ctrl-C or a hang-up reaches the owner, which then lets go.
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    on_linux = sys.platform == "linux"
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            close_fds=True,
            restore_signals=True,
            preexec_fn=_die_with_the_leash if on_linux else None,  # noqa: PLW1509
        )
    except OSError as problem:
        print(f"cannot start {command[0]}: {problem.strerror}", file=sys.stderr, flush=True)
        return 127
    signal.signal(signal.SIGTERM, lambda *_: _end(child))

    def hold() -> None:
        while os.read(owner, 1):
            pass
        _end(child)

    threading.Thread(target=hold, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
