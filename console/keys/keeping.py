"""A key's text in the operator's own keyring: put there on request, and taken out again to be copied.

The only place besides the operator's eyes that ever has a text. One entry per generation, under the service
``modeldeck`` and the user ``<profile>/<key id>/<generation>``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

from pydantic import SecretStr

from console.access.types import digest_of
from console.call import Call
from console.config import check_keyring, read_keyring, write_keyring
from console.keys.journaling import own_key
from console.keys.own_keyring import SERVICE, user_of
from console.keys.types import Key
from console.outcome import Ending, ModeldeckError, Outcome, Refusal, Revealed, Unavailable, conflict, not_found

_OWN_MACHINE = ("cli", "console")


async def refuse_without_keyring(call: Call) -> None:
    """Asked before a key is issued, so that a keyring that is of no use costs no key.

    Raises:
        Refusal: the keyring would be a server's, not the operator's.
        Unavailable: there is none that keeps a secret.
    """
    if call.principal.via not in _OWN_MACHINE:
        raise Refusal(
            "the keyring of this process is not yours; nothing was changed",
            code="INVALID_PARAMETER",
            then="use the command line or the console on your own machine",
        )
    try:
        await asyncio.to_thread(check_keyring)
    except Unavailable as problem:
        then = "leave out --keyring to have the text shown, or unlock the desktop's keyring"
        raise Unavailable(f"{problem}; nothing was issued", code=problem.code, then=then) from None


async def kept(call: Call, outcome: Outcome, text: str) -> Outcome:
    """The outcome with the text in the keyring instead of in it; where the keyring fails, it is shown after all."""
    if outcome.revealed is None:  # it did not come to a key
        return outcome
    data = outcome.data
    user = user_of(call.services.profile, data["id"], data["generations"][-1]["generation"])
    try:
        await asyncio.to_thread(write_keyring, SERVICE, user, SecretStr(text))
    except ModeldeckError as problem:
        return dataclasses.replace(outcome, summary=f"{outcome.summary}; not in the keyring, so shown here: {problem}")
    return dataclasses.replace(
        outcome,
        summary=f"{outcome.summary}; its text is in your keyring, as {user}",
        revealed=None,
        then=outcome.then or f"modeldeck keys copy {data['id']}",
    )


async def copy(call: Call) -> Outcome:
    """A text that was kept, to the terminal's clipboard or, where asked for, to the output."""
    key = await own_key(call)
    if call.principal.via not in _OWN_MACHINE:
        raise Refusal("a key's text is in its operator's keyring, which is not here", code="INVALID_PARAMETER")
    text = await _text_of(call, key)
    if call["stdout"] or call.principal.via == "console":  # the console's window for keys has its own copy
        return Outcome(Ending.DONE, f"key {key.id} from your keyring", revealed=Revealed(text))
    return Outcome(Ending.DONE, f"key {key.id}: {await asyncio.to_thread(_to_terminal, text)}")


async def _text_of(call: Call, key: Key) -> str:
    """The newest generation's text; checked against its digest, for others may write to a keyring too."""
    newest = key.generations[-1]
    user = user_of(call.services.profile, key.id, newest.number)
    text = await asyncio.to_thread(read_keyring, SERVICE, user)
    if text is None:
        raise not_found(
            f"your keyring has no {user}: generation {newest.number} was not issued with --keyring here",
            code="NOT_IN_KEYRING",
            then=f"modeldeck keys rotate {key.id} --keyring",
        )
    if digest_of(text, call.services.profile.access.salt) != newest.digest:
        raise conflict(f"what your keyring has as {user} is not generation {newest.number} of {key.id}; not copied")
    return text


def _to_terminal(text: str) -> str:
    """Send a text to the clipboard of the terminal that this runs in; says what became of it."""
    from console.terminal.clipboard import osc52
    from console.terminal.environment import prepare

    try:
        with Path("/dev/tty").open("w", encoding="ascii") as terminal:
            terminal.write(osc52(text, prepare(environ=dict(os.environ)).multiplexer))
    except OSError:
        raise Refusal(
            "there is no terminal whose clipboard could take it; not copied",
            code="NO_TERMINAL",
            then="add --stdout",
        ) from None
    return "sent to the terminal's clipboard (OSC 52): not confirmed by it"
