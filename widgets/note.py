"""Some painted lines that say something: a label, a count, an error below a field."""

from __future__ import annotations

from collections.abc import Sequence

from textual.geometry import Size
from textual.strip import Strip

from widgets.paint import Painted, Part, length_of


class Note(Painted):
    """Painted lines as high as they are many. Nothing is wrapped: what is too long is cut."""

    DEFAULT_CSS = "Note { height: auto; width: 1fr; }"

    def __init__(
        self,
        *lines: Sequence[Part],
        ground: str = "",
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._lines = list(lines)
        self._ground = ground

    @property
    def plain(self) -> str:
        """What it says, without paint."""
        return "\n".join("".join(text for text, _ in line) for line in self._lines)

    def show(self, *lines: Sequence[Part]) -> None:
        """Say this instead; nothing is drawn where it says so already."""
        if list(lines) == self._lines:
            return
        layout = len(lines) != len(self._lines) or self.styles.auto_dimensions
        self._lines = list(lines)
        self.refresh(layout=layout)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return max((length_of(line) for line in self._lines), default=0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        line = self._lines[y] if y < len(self._lines) else ()
        return self.strip(line, self.size.width, ground=self._ground)
