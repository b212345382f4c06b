"""A load generator: HTTP/1.1 on kept connections, one request under way on each, as many as the time allows.

It costs some 10 µs a request, so that what is measured is the server. Requests are made before; of an answer only its
status and length are looked at.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_MOST = 65536


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it.

    rate                answers per second
    median_ms, p99_ms   for one of them: the median, and the 99th of a hundred
    statuses            how many of each
    last_passed         when the last 200 came (``time.perf_counter``); 0 for none
    """

    rate: float
    median_ms: float
    p99_ms: float
    statuses: Counter[int]
    last_passed: float


class _Connection:
    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.began = 0.0

    def ask(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.socket.send(request)

    def status(self) -> int:
        """The status of a whole answer; 0 while it is not whole."""
        self.received += self.socket.recv(_MOST)
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            if not self.received:
                raise ConnectionError("the server closed the connection")
            return 0
        start = self.received.find(b"content-length: ") + 16
        length = int(self.received[start : self.received.find(b"\r", start)]) if start > 15 else 0
        if len(self.received) < head + 4 + length:
            return 0
        status = int(self.received[9:12])
        self.received = b""
        return status


def load(address: tuple[str, int], requests: Sequence[bytes], *, connections: int, seconds: float) -> Measured:
    """Send requests, in turn, for so long.

    Raises:
        OSError: the server does not answer.
    """
    chosen = selectors.DefaultSelector()
    made = [_Connection(address) for _ in range(connections)]
    number, took, statuses = 0, [], Counter[int]()
    for one in made:
        chosen.register(one.socket, selectors.EVENT_READ, one)
        one.ask(requests[number % len(requests)])
        number += 1
    began = time.perf_counter()
    end = began + seconds
    now, last_passed = began, 0.0
    while now < end:
        ready = chosen.select(5)
        if not ready:
            raise TimeoutError("no answer for five seconds")
        for key, _ in ready:
            one: _Connection = key.data
            status = one.status()
            if status:
                now = time.perf_counter()
                took.append(now - one.began)
                statuses[status] += 1
                last_passed = now if status == 200 else last_passed
                one.ask(requests[number % len(requests)])
                number += 1
    for one in made:
        one.socket.close()
    p99 = statistics.quantiles(took, n=100)[98] if len(took) > 1 else took[0]
    return Measured(len(took) / (now - began), statistics.median(took) * 1000, p99 * 1000, statuses, last_passed)


def chat(host: str, key: str, model: str) -> bytes:
    """A usual question, some 1.3 KB."""
    text = "Tell me, in a few words, what a gateway is good for. " * 22
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "{text}"}}]}}'.encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
