"""One row of keys: only those that work now, the ones nearest to the focus first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from textual.binding import ActiveBinding
from textual.dom import DOMNode
from textual.screen import Screen
from textual.strip import Strip

from widgets.fit import shown
from widgets.paint import Painted, Part, length_of
from widgets.theme import plain_glyphs, sign

_NAMES = {"enter": "⏎", "escape": "esc", "backslash": "\\", "question_mark": "?", "slash": "/", "colon": ":",
          "grave_accent": "`", "exclamation_mark": "!", "at": "@", "full_stop": ".", "comma": ",", "minus": "-",
          "left_square_bracket": "[", "right_square_bracket": "]", "apostrophe": "'", "less_than_sign": "<",
          "greater_than_sign": ">", "equals_sign": "=", "pageup": "pgup", "pagedown": "pgdn", "up": "↑", "down": "↓",
          "left": "←", "right": "→"}  # fmt: skip
_PLAIN_NAMES = {"enter": "enter", "up": "up", "down": "down", "left": "left", "right": "right"}


@dataclass(frozen=True, slots=True)
class KeyHint:
    """A key that works now. ``keys`` are all that do the same, as they are shown; ``owner`` is where it comes from."""

    keys: tuple[str, ...]
    description: str
    id: str
    show: bool
    enabled: bool
    owner: DOMNode


def key_name(key: str) -> str:
    """``ctrl+s`` as ``^s``, ``question_mark`` as ``?``."""
    *modifiers, base = key.split("+") if key != "+" else [key]
    name = _NAMES.get(base, base)
    if plain_glyphs():
        name = _PLAIN_NAMES.get(base, name)
    return "".join("^" if modifier == "ctrl" else f"{modifier}-" for modifier in modifiers) + name


def live_keys(screen: Screen[Any]) -> list[KeyHint]:
    """What can be pressed on a screen now, from the focus outwards; each action once, with all of its keys."""
    grouped: dict[tuple[int, str], list[tuple[str, ActiveBinding]]] = {}
    for key, active in screen.active_bindings.items():
        if active.binding.description and active.binding.id and not active.binding.system:
            grouped.setdefault((id(active.node), active.binding.action), []).append((key, active))
    hints = []
    for same in grouped.values():
        first = same[0][1]
        names = tuple(active.binding.key_display or key_name(key) for key, active in same)
        binding = first.binding
        shows = any(active.binding.show for _, active in same)
        hints.append(KeyHint(names, binding.description, binding.id or "", shows, first.enabled, first.node))
    return hints


class KeyFooter(Painted):
    """The keys of the focused chain, and the jobs at the right.

    always  ids of bindings that must be seen whatever the width (help, say); they stand last
    jobs    how many run, and the key that shows them
    """

    DEFAULT_CSS = "KeyFooter { height: 1; background: $panel; }"

    def __init__(
        self,
        *,
        always: Sequence[str] = (),
        jobs: Callable[[], int] = lambda: 0,
        jobs_key: str = "`",
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._always = tuple(always)
        self._jobs = jobs
        self._jobs_key = jobs_key
        self._hints: list[KeyHint] = []
        self._drawn: list[Part] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self.app.screen_change_signal.subscribe(self, self._bindings_changed)
        self.call_after_refresh(self.update)

    def _bindings_changed(self, _screen: Screen[Any]) -> None:
        self.update()

    def update(self) -> None:
        """Look again what works, and how many jobs run; draw it where it is otherwise."""
        if not self.is_attached or self.screen not in self.app.screen_stack:
            return
        # Under a dialog the keys of the dialog are the ones that work.
        top = self.app.screen if self.app.screen.is_modal else self.screen
        self._hints = [hint for hint in live_keys(top) if hint.show and hint.enabled]
        if self._parts() != self._drawn:
            self.refresh()

    def render_line(self, y: int) -> Strip:
        self._drawn = self._parts()
        return self.strip(self._drawn, self.size.width)

    def _parts(self) -> list[Part]:
        right = self._jobs_parts()
        last = [part for hint in self._hints if hint.id in self._always for part in _parts_of(hint)]
        room = self.size.width - length_of(right) - length_of(last) - 1
        parts: list[Part] = []
        left_out = False
        for hint in self._hints:
            if hint.id in self._always:
                continue
            more = _parts_of(hint)
            if length_of(parts) + length_of(more) + 2 > room:
                left_out = True
                break
            parts += more
        if left_out:
            parts.append((f" {sign('more')}", "muted"))
        parts += last
        gap = self.size.width - length_of(parts) - length_of(right)
        return [*parts, (" " * max(0, gap), ""), *right]

    def _jobs_parts(self) -> list[Part]:
        count = self._jobs()
        if not count:
            return []
        return [(f"{count} job{'s' if count > 1 else ''} {sign('cursor')} ", "accent"), (f"{self._jobs_key} ", "key")]


def _parts_of(hint: KeyHint) -> Iterable[Part]:
    return [(f" {shown(hint.keys[0])}", "key"), (f" {shown(hint.description)} ", "")]
