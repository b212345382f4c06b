"""Keys in the order in which they were pressed, also when they arrive in one burst.

Textual hands a key to the widget that has the focus and goes on to the next one; a key that moves the focus or opens
a screen is acted on only when it has bubbled back up to the app. On a slow line keys arrive many at once, so what was
typed after Tab would still go into the former field. Here the next key waits until the one before has been acted on:
a fence follows it along the same way, through the same queues.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from textual import events
from textual.app import App, ReturnType
from textual.message import Message
from textual.widgets import Input

_FENCES = 5
"""How often the way is walked before the next key: what a key sets off (submitted, passed on) needs some more turns."""
_LOOK_SECONDS = 0.03
_PATIENCE_SECONDS = 0.5
"""A widget that does not get round to its key, or goes away with it, must not lock the keyboard."""


class Fence(Message):
    """Goes where a key went, behind it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class OrderedKeys(App[ReturnType]):
    """An app that acts on one key at a time."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._waiting_keys: deque[events.Key | events.Paste] = deque()
        self._fence: int | None = None
        self._fences_set = 0
        self._rounds_left = 0

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._fence is None and not self._waiting_keys:
            await self._act_on(event)
        else:
            self._waiting_keys.append(event)

    async def _act_on(self, event: events.Key | events.Paste) -> None:
        target = self.focused or self.screen
        if isinstance(target, Input) and isinstance(event, events.Key) and event.is_printable:
            # A letter moves nothing: the next key finds the same field, behind it in the same queue.
            await super().on_event(event)
            if self._waiting_keys:
                self.call_next(self._act_on, self._waiting_keys.popleft())
            return
        self._rounds_left = _FENCES
        # Set before the key goes out: an action that is run at once may bring the next event in.
        self._fences_set += 1
        self._fence = number = self._fences_set
        await super().on_event(event)
        self._send_fence(target, number)

    def _send_fence(self, target: Any, number: int) -> None:
        target.post_message(Fence(number))
        self.set_timer(_LOOK_SECONDS, lambda: self._look_after(target, number, _PATIENCE_SECONDS))

    def _look_after(self, target: Any, number: int, patience: float) -> None:
        """A fence is still on its way: send it again where its target has gone, give it up when it takes too long."""
        if number != self._fence:
            return
        if patience <= 0:
            self._arrived(number, late=True)
        elif not target.is_attached or target.screen is not self.screen:
            self._send_fence(self.focused or self.screen, number)
        else:
            self.set_timer(_LOOK_SECONDS, lambda: self._look_after(target, number, patience - _LOOK_SECONDS))

    def on_fence(self, event: Fence) -> None:
        event.stop()
        self._arrived(event.number)

    def _arrived(self, number: int, late: bool = False) -> None:
        if number != self._fence:
            return
        self._rounds_left -= 1
        if self._waiting_keys and self._rounds_left > 0 and not late:
            self._fences_set += 1
            self._fence = self._fences_set
            self._send_fence(self.focused or self.screen, self._fence)
            return
        self._fence = None
        if self._waiting_keys:
            self.call_next(self._act_on, self._waiting_keys.popleft())
