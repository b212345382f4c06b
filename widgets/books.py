"""What the screens of one app show alike: the errors that nobody has read yet, and the jobs.

Plain objects that the app owns; widgets on every screen listen to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from widgets.theme import State


class Book:
    """Something that listeners want to hear of. Only for the loop of the UI."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def leave(self, listener: Callable[[], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


@dataclass(frozen=True, slots=True)
class Fault:
    """An error, in three sentences.

    what   what failed
    state  what state things are in now
    then   the next key or command
    at     when, as it is to be shown (``02:41:07``)
    """

    what: str
    state: str = ""
    then: str = ""
    at: str = ""


class FaultBook(Book):
    """The errors, the newest last. They stay until they are read, and the last hundred beyond that."""

    _KEPT = 100

    def __init__(self) -> None:
        super().__init__()
        self._faults: list[Fault] = []
        self._unread = 0

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    @property
    def unread(self) -> int:
        return self._unread

    @property
    def newest(self) -> Fault | None:
        return self._faults[-1] if self._faults else None

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)
        self._unread += 1
        del self._faults[: max(0, len(self._faults) - max(self._KEPT, self._unread))]
        self._tell()

    def read(self) -> None:
        """The operator has seen them all."""
        self._unread = 0
        self._tell()

    def clear(self) -> None:
        self._faults, self._unread = [], 0
        self._tell()


@dataclass(frozen=True, slots=True)
class Job:
    """Something that runs, or ran.

    done, total   counts; total None where the end is not known
    seconds       since it began, or what it took
    """

    id: str
    title: str
    state: State = State.RUNNING
    done: int = 0
    total: int | None = None
    seconds: float = 0.0
    detail: str = ""
    can_cancel: bool = True

    @property
    def running(self) -> bool:
        return self.state in (State.RUNNING, State.PENDING, State.WAITING)


class JobBook(Book):
    """The jobs by id, the newest first."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, Job] = {}

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(reversed(self._jobs.values()))

    @property
    def running(self) -> int:
        return sum(job.running for job in self._jobs.values())

    def put(self, job: Job) -> None:
        """A job that is new, or otherwise now."""
        if self._jobs.get(job.id) != job:
            self._jobs[job.id] = job
            self._tell()

    def put_all(self, jobs: Sequence[Job]) -> None:
        """These jobs and no others, the newest last."""
        self._jobs = {job.id: job for job in jobs}
        self._tell()

    def forget_finished(self) -> None:
        self._jobs = {job.id: job for job in self._jobs.values() if job.running}
        self._tell()
