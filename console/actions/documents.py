"""The bytes of a file that an operator names, whatever kind of file it is."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

_WRITER_SECONDS = 5.0
"""How long a pipe may be without anybody who writes into it."""
_ONCE = 65_536


class NobodyWrites(OSError):
    """A pipe that nobody has opened to write into it."""


def read_bytes(path: Path, most: int) -> bytes:
    """At most so many bytes of it.

    A pipe is read to its end, for as long as somebody has it open for writing: ``-f <(generate)`` may take its time.

    Raises:
        NobodyWrites: nobody has, for five seconds.
        OSError: it cannot be read.
    """
    if not path.is_fifo():
        with path.open("rb") as file:
            return file.read(most)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else it would wait here for whoever never comes
    try:
        return _to_its_end(pipe, most)
    finally:
        os.close(pipe)


def _to_its_end(pipe: int, most: int) -> bytes:
    until, read, written = time.monotonic() + _WRITER_SECONDS, b"", False
    events = select.poll()
    events.register(pipe, select.POLLIN)
    while len(read) < most:
        try:
            part = os.read(pipe, min(_ONCE, most - len(read)))
        except BlockingIOError:  # somebody has it open, and has not written yet
            written = True
            events.poll()
            continue
        read += part
        if part:
            continue
        if read or written or any(event & select.POLLHUP for _, event in events.poll(0)):
            break
        if time.monotonic() > until:
            raise NobodyWrites(f"nobody wrote into it for {_WRITER_SECONDS:g} s")
        time.sleep(0.02)
    return read
