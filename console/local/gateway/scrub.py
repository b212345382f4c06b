"""Run one command, and keep secrets out of what it writes to its standard error.

    python scrub.py COMMAND…

Envoy repeats configuration in its error lines: an API key in "Duplicated credential key", a whole file where its JSON
cannot be read (gateway.md §2.2). What it writes therefore passes through here before it reaches a file. This runs as
a process of its own, so that a busy console can never make Envoy wait for its log, and it ends with the command's own
exit code. It imports nothing of Modeldeck: it costs a few MB.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_LONGEST_LINE = 64 * 1024
HIDDEN = "[hidden]"
# Each takes what introduces a secret as its first group and leaves it; the secret itself is what follows.
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(\b(?:Bearer|Basic)\s+)[^\s\"'\\,}]+",
        r"(\"(?:inline_?string|inline_?bytes|key|password|token|secret|credential|authorization)\"\s*:\s*\")(?:[^\"\\]|\\.)+",
        r"(\b(?:inline_?string|inline_?bytes|password|token|authorization)\s*:\s*\")(?:[^\"\\]|\\.)+",
        r"(credential key: ')[^']+",
        r"(\b)(?:sk|bud|mdk|mdt|hf|gsk|xai)[-_][A-Za-z0-9_\-.]{12,}",
    )
)


def scrubbed(line: str) -> str:
    """The line with everything that looks like a credential taken out."""
    for secret in _SECRETS:
        line = secret.sub(rf"\1{HIDDEN}", line)
    return line


def _end_with_us() -> None:
    """In the child, on Linux: end when this process is killed. Safe here, for it has one thread yet."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(command: list[str]) -> int:
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=_end_with_us if sys.platform == "linux" else None,  # noqa: PLW1509
        )
    except OSError as problem:
        print(f"cannot start {command[0]}: {problem.strerror}", file=sys.stderr, flush=True)  # noqa: T201
        return 127

    def end(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    assert child.stderr is not None
    while line := child.stderr.readline(_LONGEST_LINE):
        os.write(2, scrubbed(line.decode("utf-8", "replace")).encode())
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
