"""A bounded ring: what is there, what was dropped, and a reader beside a writer."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from console.bridge.ring import Ring


@given(st.integers(1, 20), st.integers(0, 100))
def test_a_ring_holds_the_newest_and_counts_the_rest(size: int, count: int) -> None:
    ring: Ring[int] = Ring(size)
    for number in range(count):
        ring.append(number * 10)
    assert ring.end == count
    assert len(ring) == min(size, count)
    assert ring.dropped == ring.first == max(0, count - size)
    assert ring.since(0) == [(number, number * 10) for number in range(ring.first, count)]
    assert ring.get(count) is None
    assert ring.get(-1) is None
    for number in range(count):
        assert ring.get(number) == (number * 10 if number >= ring.first else None)


def test_a_reader_never_gets_another_item_than_it_asked_for() -> None:
    ring: Ring[int] = Ring(50)
    wrong: list[tuple[int, int]] = []
    done = threading.Event()

    def write() -> None:
        for number in range(100_000):
            ring.append(number)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        number = ring.first + 3
        item = ring.get(number)
        if item is not None and item != number:
            wrong.append((number, item))
        wrong += [(at, item) for at, item in ring.since(ring.end - 20) if at != item]
    writer.join()
    assert wrong == []
