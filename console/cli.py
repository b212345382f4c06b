"""``modeldeck …``: every command is a thin call into an action.

Commands, options, help and completion are built from the registry (console/actions); only the commands of the
embedded stack and of the server processes (console/local/commands.py) are written by hand.

Standard output is data, standard error is narration, and the exit code is the outcome's (docs/outcomes.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from console.actions import Action
from console.actions.commands import add_actions
from console.guard import Danger
from console.outcome import Ending, Item, ModeldeckError, Outcome, Unavailable
from console.questions import Left, confirm, hidden, typed
from console.terminal.columns import columns_of_output
from console.terminal.text import (
    Unwritten,
    have_streams,
    is_terminal,
    let_output_go,
    narrate,
    safe,
    say,
    speak_any_encoding,
)

if TYPE_CHECKING:
    from console.guard import Principal
    from console.services import Services


_ERRORS_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO, errno.EPIPE)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    have_streams()
    speak_any_encoding()
    try:
        code = root().main(list(arguments), prog_name="modeldeck", standalone_mode=False)
    except Left as left:
        narrate(str(left))
        return left.exit_code
    except click.exceptions.Abort:  # what click makes of Ctrl-C
        narrate("cancelled")
        return Ending.CANCELLED.exit_code
    except click.ClickException as problem:
        problem.show()
        return Ending.REFUSED.exit_code
    except ModeldeckError as problem:
        if "--json" in arguments:
            with contextlib.suppress(OSError):
                say(json.dumps(problem.outcome().as_json(), ensure_ascii=False))
        else:
            _narrate_end(problem.outcome())
        return problem.ending.exit_code
    except KeyboardInterrupt:
        narrate("cancelled")
        return Ending.CANCELLED.exit_code
    except OSError as problem:
        if problem.errno == errno.EPIPE and _is_of_output(problem):  # the reader of our output has gone
            code = 0
        else:
            what = "the output cannot be written" if _is_of_output(problem) else "something here cannot be used"
            narrate(f"✗ {what}: {safe(_named(problem))}")
            code = Ending.FAILED.exit_code
    let_output_go()
    return code if isinstance(code, int) else 0


def _is_of_output(problem: OSError) -> bool:
    """Whether writing to standard output failed, rather than a file or a server that an action works with."""
    # What click writes by itself, help and usage, is known by its errors alone.
    return isinstance(problem, Unwritten) or (problem.filename is None and problem.errno in _ERRORS_OF_OUTPUT)


def _named(problem: OSError) -> str:
    """The system's words, and the file where they are about one."""
    words = problem.strerror or str(problem) or type(problem).__name__
    return words if problem.filename is None else f"{words}: {problem.filename}"


def root() -> click.Group:
    """The whole tree of commands."""
    from console import __version__
    from console.local.commands import COMMANDS

    top = click.Group(
        "modeldeck",
        help="The operator's console for an LLM gateway: catalog, publishing, keys and live access.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    top.params.append(
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version(__version__)
        )
    )
    add_actions(top, _perform)
    for command in (*COMMANDS, completion):
        top.add_command(command)
    return top


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> int:
    """Print the completion script for a shell: eval "$(modeldeck completion bash)"."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None
    say(complete(root(), {}, "modeldeck", "_MODELDECK_COMPLETE").source())
    return 0


def _show_version(version: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def show(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            say(f"modeldeck {version}")
            context.exit()

    return show


def _perform(action: Action, given: dict[str, Any]) -> int:
    config, profile_name = given.pop("config"), given.pop("profile")
    as_json = given.pop("as_json")
    name, yes = given.pop("confirm", None), given.pop("yes", False)
    confirmed = name or ("yes" if yes else "")
    values = {name: value for name, value in given.items() if value is not None and value != ()}

    async def work() -> Outcome:
        from console.actions.perform import perform
        from console.config import load_profile
        from console.guard import Principal
        from console.services import Services

        profile = load_profile(config=config, profile=profile_name)
        principal = Principal.of_this_terminal(role=profile.rank, tenants=profile.tenants, via="cli")
        prompt = None if as_json else partial(_hidden, asyncio.get_running_loop())
        async with Services(profile, prompt=prompt) as services:
            agreed = confirmed
            if not agreed and _is_asked(action, values, as_json=as_json):
                called = await _called(services, action, principal, values)
                agreed = _asked(action, values, services, called)
            return await perform(
                services, action, values, principal, confirmed=agreed, emit=_emitter(action, as_json=as_json)
            )

    try:
        outcome, number = asyncio.run(_until_signalled(work()))
    except ModeldeckError as problem:  # before there was an action to come to an end: no profile, no database
        outcome, number = problem.outcome(), None
    except OSError as problem:
        if isinstance(problem, Unwritten):
            raise
        outcome, number = _unusable(action, problem).outcome(), None
    key = outcome.revealed is not None or bool(outcome.reveals)
    try:
        if as_json:
            say(json.dumps(outcome.as_json(), ensure_ascii=False, default=str))
        else:
            _show(action, outcome)
    except (OSError, KeyboardInterrupt) as problem:
        if not key:
            raise
        return _undelivered(action, outcome, problem)
    return outcome.exit_code if number is None else 128 + number


def _unusable(action: Action, problem: OSError) -> Unavailable:
    """Something on this machine failed that no service told of; an action that only reads has changed nothing."""
    reads = action.danger is Danger.READ
    state = "nothing was changed" if reads else "how far it came stands in the journal, and recovery ends it"
    then = "modeldeck status" if reads else "modeldeck operations list"
    return Unavailable(f"{action.id}: {_named(problem)}; {state}", code="UNUSABLE", then=then)


def _hidden(loop: asyncio.AbstractEventLoop, question: str) -> str:
    """What is typed without an echo; empty where nobody is there to type."""
    return hidden(loop, question) if is_terminal(sys.stdin) and is_terminal(sys.stderr) else ""


async def _until_signalled(work: Coroutine[Any, Any, Outcome]) -> tuple[Outcome, int | None]:
    """The outcome, and the signal that cut it short. A lost terminal and SIGTERM undo as Ctrl-C does."""
    task = asyncio.ensure_future(work)
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task, caught[0] if caught else None
    except asyncio.CancelledError:
        if not caught:
            raise
        return Outcome(Ending.CANCELLED, "cancelled"), caught[0]


def _undelivered(action: Action, outcome: Outcome, problem: OSError | KeyboardInterrupt) -> int:
    """A key was issued, and its text could not be written: say so, and how to take it back."""
    data = outcome.data if isinstance(outcome.data, dict) else {}
    name = data.get("id", "")
    then = f"modeldeck keys withdraw {name}" if action.id == "keys.rotate" else f"modeldeck keys revoke {name}"
    if action.id == "tokens.create":
        then = f"modeldeck tokens revoke {name}"
    if outcome.reveals:
        name, then = "", "modeldeck keys withdraw, for each of them"
    why = (problem.strerror if isinstance(problem, OSError) else "") or "cancelled"
    narrate(f"✗ {safe(outcome.summary)}; but its text could not be written ({why}) and is lost")
    narrate(f"  next: {then}, then again with an output that can be written")
    return Ending.PARTIAL.exit_code


def _is_asked(action: Action, values: dict[str, Any], *, as_json: bool) -> bool:
    """Whether something would be destroyed, and somebody is there to be asked."""
    if action.danger is not Danger.DESTRUCTIVE or values.get("plan") or as_json:
        return False
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


async def _called(services: Services, action: Action, principal: Principal, values: dict[str, Any]) -> str:
    """What the target is called: its name and id where it has both, else as it was typed."""
    target = str(values.get(action.target or "", ""))
    find = action.load_called()
    try:
        return (await find(services, principal, target) if find is not None else None) or target
    except ModeldeckError:  # what cannot be looked up now, the action itself says better
        return target


def _asked(action: Action, values: dict[str, Any], services: Services, called: str) -> str:
    """Ask before something is destroyed; a protected profile wants the target's name, typed."""
    target = str(values.get(action.target or "", ""))
    if services.profile.protected and target:
        question = f"{action.title} {safe(called)}: type {safe(target)} to confirm"
        return typed(question)
    question = f"{action.title} {safe(called)}? {action.details}".rstrip()
    return "yes" if confirm(question) else ""


def _emitter(action: Action, *, as_json: bool) -> Callable[[Any], None]:
    """Events of a streaming action are data; progress of any other is narration."""
    if action.streams:

        def event(item: Any) -> None:
            say(json.dumps(item.as_json(), ensure_ascii=False) if as_json else _event_line(item))

        return event

    def tell(item: Any) -> None:
        from console.rendering import progress_line

        line = progress_line(item)
        if line:
            narrate(line)

    return tell if not as_json else lambda _: None


def _event_line(item: Any) -> str:
    return f"{item.at.astimezone():%H:%M:%S.%f}"[:-3] + "  " + safe(str(item))


def _show(action: Action, outcome: Outcome) -> None:
    """What was asked for goes to standard output; what a write has to say of itself is narration.

    A key that is shown is alone on standard output: ``KEY=$(modeldeck keys create …)`` works.
    """
    from console.rendering import Fitted, data_text, is_asked_for

    asked_for = bool(action.columns) or is_asked_for(action, outcome.data)
    room = columns_of_output()
    fitted = Fitted(room) if room else None
    text = data_text(action, outcome.data, fitted) if asked_for else ""
    if text:
        say(text)
        if fitted is not None and fitted.note:
            narrate(fitted.note)
    if asked_for and not action.columns:
        for item in outcome.items:
            say(_item_line(item))
    if outcome.revealed is not None:
        say(outcome.revealed.take() or "")
    for name, revealed in outcome.reveals.items():
        say(f"{name} {revealed.take()}")
    _narrate_end(outcome)


def _narrate_end(outcome: Outcome) -> None:
    glyph = "✓" if outcome.ending.good else "◐" if outcome.ending is Ending.PENDING else "✗"
    narrate(f"{glyph} {outcome.ending.value}: {safe(outcome.summary)}")
    if outcome.ending not in (Ending.DONE, Ending.UNCHANGED):
        for item in outcome.items:
            narrate(_item_line(item))
    if outcome.then:
        narrate(f"  next: {safe(outcome.then)}")


def _item_line(item: Item) -> str:
    return f"    {item.state:9} {safe(item.name)}  {safe(item.detail)}".rstrip()
