"""The drawer with what runs and what ran: progress with counts, elapsed, and a key that cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from widgets.books import Job, JobBook
from widgets.fit import cells, clip, padded, shown
from widgets.listing import Listing
from widgets.meter_text import bar, elapsed, grouped
from widgets.paint import Part


class JobsDrawer(Listing):
    """The jobs of a `JobBook`, one line each; open it by the class ``-open``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "details", id="jobs.open"),
        Binding("x", "cancel", "cancel", id="jobs.cancel"),
        Binding("escape", "close", "close", id="jobs.close"),
    ]
    HELP_TITLE = "Jobs"
    DEFAULT_CSS = """
    JobsDrawer { height: auto; max-height: 40%; min-height: 2; display: none; background: $background; }
    JobsDrawer.-open { display: block; }
    """

    @dataclass
    class CancelAsked(Message):
        """The operator wants the job to end; it is undone by whoever runs it."""

        job: str

    @dataclass
    class Opened(Message):
        job: str

    @dataclass
    class Closed(Message):
        """Escape. The drawer has hidden itself."""

    def __init__(self, book: JobBook, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._book = book
        self._jobs: tuple[Job, ...] = ()

    def on_mount(self) -> None:
        self._book.listen(self._changed)
        self._changed()

    def on_unmount(self) -> None:
        self._book.leave(self._changed)

    @property
    def job(self) -> Job | None:
        """The job under the cursor."""
        return self._jobs[self._cursor - 1] if 1 <= self._cursor <= len(self._jobs) else None

    def toggle(self) -> bool:
        """Open or close it; True where it is open now."""
        self.toggle_class("-open")
        opened = self.has_class("-open")
        if opened:
            self.focus()
            self.go(min(1, len(self._jobs)))
        return opened

    def _changed(self) -> None:
        selected = self.job.id if self.job else None
        self._jobs = self._book.jobs
        self.rebuild()
        position = next((at for at, job in enumerate(self._jobs, 1) if job.id == selected), min(1, len(self._jobs)))
        if position != self._cursor:
            self.go(position)
        self.refresh_bindings()

    def can_stand(self, line: int) -> bool:
        return line > 0 and bool(self._jobs)

    def make_lines(self) -> list[Sequence[Part]]:
        running = sum(job.running for job in self._jobs)
        lines: list[Sequence[Part]] = [[(f"Jobs  {running} running, {len(self._jobs) - running} over", "heading")]]
        if not self._jobs:
            return [*lines, [(" nothing runs, and nothing ran", "muted")]]
        lines += [self._line(job) for job in self._jobs]
        return lines

    def _line(self, job: Job) -> list[Part]:
        tail: list[Part] = []
        if job.running and job.total:
            count = f"{grouped(job.done)} of {grouped(job.total)}"
            tail.append((f"{bar(job.done, job.total, 10)} ", "accent"))
            tail.append((padded(count, 16, right=True), ""))
        elif job.done:
            tail.append((padded(grouped(job.done), 16, right=True), ""))
        tail.append((padded(elapsed(job.seconds), 9, right=True), "muted"))
        tail.append(("  x cancel " if job.running and job.can_cancel else " " * 11, "muted"))
        state = padded(f"{job.state.glyph} {job.state.word}", 11)
        room = self.width - 2 - cells(state) - sum(cells(text) for text, _ in tail)
        title = clip(shown(job.title), max(4, room))
        detail = clip(f"  {shown(job.detail)}", room - cells(title)) if job.detail and room - cells(title) > 6 else ""
        blank = " " * max(0, room - cells(title) - cells(detail))
        return [(state, job.state.paint), (title, "" if job.running else "muted"), (detail + blank, "muted"), *tail]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "cancel":
            return self.job is not None and self.job.running and self.job.can_cancel
        return self.job is not None if action == "open" else True

    def cursor_moved(self) -> None:
        self.refresh_bindings()

    def action_open(self) -> None:
        if self.job is not None:
            self.post_message(self.Opened(self.job.id))

    def action_cancel(self) -> None:
        if self.job is not None:
            self.post_message(self.CancelAsked(self.job.id))

    def action_close(self) -> None:
        self.remove_class("-open")
        self.post_message(self.Closed())
