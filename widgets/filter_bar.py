"""The filter of a list: ``/ provider:groq ctx>=128k`` with completion, its error, and how many it finds."""

from __future__ import annotations

from widgets.fit import shown
from widgets.meter_text import grouped
from widgets.prompt import Prompt, Refuse, Suggest
from widgets.theme import sign


class FilterBar(Prompt):
    """A `Prompt` that filters as one types: `Changed` for each text, `Submitted` on enter, `Left` on escape."""

    def __init__(
        self,
        *,
        value: str = "",
        placeholder: str = "",
        suggest: Suggest | None = None,
        refuse: Refuse | None = None,
        things: str = "models",
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(
            lead=" / ", value=value, placeholder=placeholder, suggest=suggest, refuse=refuse, id=id, classes=classes
        )
        self._things = things

    def show_count(self, found: int, total: int) -> None:
        """``231 of 4,812 models`` at the right; only the total where nothing is left out."""
        count = f"{grouped(found)} of {grouped(total)}" if found != total else grouped(total)
        self.say_beside((f"  {count} {self._things} ", "muted"))

    def show_error(self, sentence: str, start: int = 0, end: int = 0) -> None:
        """Say what is wrong, with carets below the part from ``start`` to ``end`` of the text."""
        width = max(1, (self.size.width or self.app.size.width) - 2)
        at = min(3 + start, width - 1)
        carets = sign("caret") * max(1, min(end - start, width - at))
        sentence = shown(sentence)
        if at + len(carets) + 2 + len(sentence) <= width:
            self.say([(" " * at + carets + " ", "bad"), (sentence, "bad")])
        else:
            self.say([(" " * at + carets, "bad")], [(f"   {sentence}", "bad")])

    def clear_error(self) -> None:
        self.say()

    @property
    def error(self) -> str:
        """The sentence that stands below the line; empty where there is none."""
        return self.said.strip(" ^\n")
