from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from console.questions import stoppable

_ASKING = """
import os, signal, sys, threading
from console.questions import Left, stoppable

number, ear = int(sys.argv[1]), os.pipe()

def press():
    # This thread hears it, so nothing wakes the one that reads: as where it comes just before the read begins.
    signal.pthread_kill(threading.get_ident(), number)

try:
    with stoppable():
        if sys.argv[2] == "forgotten":
            try:
                signal.raise_signal(number)
            except Left:
                pass
        else:
            threading.Timer(0.2, press).start()
        os.read(ear[0], 1)
except Left as left:
    os.write(1, str(left).encode())
    sys.exit(left.exit_code)
"""


@pytest.mark.parametrize("how", ["heard by another thread", "forgotten"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_did_not_wake_who_reads_ends_the_question_all_the_same(number: signal.Signals, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASKING, str(int(number)), how], capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (128 + number, "cancelled; nothing was changed"), done.stderr


def test_after_a_question_signals_are_what_they_were() -> None:
    former = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    threads = threading.active_count()
    with stoppable():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == former
    assert threading.active_count() == threads
