"""The actions as a tree of click commands: for the command line, and for the console's ``:`` line.

What a command does is the caller's; here it only gets its parameters, its help and its name.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from console.actions import REGISTRY, Action
from console.actions.parameters import read_document, spelled_duration
from console.actions.registry import Kind, Parameter
from console.guard import Danger
from console.outcome import Refusal
from console.terminal.text import is_terminal

Perform = Callable[[Action, dict[str, Any]], int]
"""What to do with an action and the options as click has them; returns an exit code."""

GROUPS = {
    "access": "Why a key is let through or refused, and how far each gateway worker is.",
    "budgets": "What a key or a tenant may spend, and what is left of it.",
    "cache": "What others keep of the catalog: void it, so that they read it anew.",
    "gateway": "What holds for the gateway as a whole.",
    "keys": "API keys: issue, rotate, change, revoke, and find whose one is.",
    "limits": "Which limits count for a key and a model.",
    "models": "The catalog: find models, see their prices and history, decide about them.",
    "operations": "What is or was under way, and what was cut off.",
    "publications": "Publications beyond one at a time: several, files, drift, leftovers.",
    "sync": "Bring the catalog up to date with its providers, by hand or by schedule.",
    "tenants": "Who keys and publications belong to.",
    "tokens": "Who may use the HTTP API.",
}
"""What the groups of commands are about."""
_OUTPUT = "output"
_EPILOG = "Exit codes: 0 done or unchanged, 1 failed and undone, 2 refused, 3 pending, 4 partial, 5 interrupted."


def add_actions(top: click.Group, perform: Perform) -> None:
    """A command for every action, in groups by the words of its id."""
    for action in REGISTRY:
        *groups, name = action.words
        parent = top
        for word in groups:
            existing = parent.commands.get(word)
            if not isinstance(existing, click.Group):
                existing = click.Group(word, help=GROUPS.get(word, f"{word.capitalize()}."))
                parent.add_command(existing)
            parent = existing
        parent.add_command(_command(name, action, perform))


def _nothing(_action: Action, _given: dict[str, Any]) -> int:
    return 0


class ActionCommand(click.Command):
    """A command that performs an action of the registry."""

    def __init__(self, name: str, action: Action, **options: Any) -> None:
        super().__init__(name, **options)
        self.action = action


def read_command(line: str) -> tuple[Action, dict[str, Any]]:
    """The action and the values of a command line without ``modeldeck``; nothing is done.

    Raises:
        Refusal: it names no action, or its options are wrong; the sentence is click's.
    """
    try:
        words = shlex.split(line)
    except ValueError as problem:
        raise Refusal(f"{line[:60]!r} cannot be split into words: {problem}", code="BAD_COMMAND") from None
    top = click.Group("modeldeck")
    add_actions(top, _nothing)
    command: click.Command = top
    context: click.Context | None = None
    try:
        while isinstance(command, click.Group):
            context = click.Context(command, parent=context, info_name=command.name)
            if not words:
                raise Refusal(f"which? {', '.join(sorted(command.commands))}", code="BAD_COMMAND")
            _, found, words = command.resolve_command(context, words)
            assert found is not None
            command = found
        if not isinstance(command, ActionCommand):
            raise Refusal(f"{command.name} is a command for the shell, not for here", code="BAD_COMMAND")
        given = _spelt_out(command.make_context(command.name, words, parent=context).params)
    except click.exceptions.Exit:
        raise Refusal(f"there is no help here: modeldeck {line} in a shell", code="BAD_COMMAND") from None
    except click.ClickException as problem:
        raise Refusal(problem.format_message(), code="BAD_COMMAND") from None
    known = {parameter.name for parameter in command.action.parameters}
    return command.action, {name: value for name, value in given.items() if name in known and value not in (None, ())}


def _spelt_out(given: dict[str, Any]) -> dict[str, Any]:
    """Options as the action has them: ``-o yaml`` is ``--plan --manifests``."""
    if given.pop(_OUTPUT, None) is not None:
        given |= {"plan": True, "manifests": True}
    return given


def _command(name: str, action: Action, perform: Perform) -> click.Command:
    parameters: list[click.Parameter] = [_click_parameter(parameter) for parameter in action.parameters]
    if any(parameter.name == "manifests" for parameter in action.parameters):
        # As other tools of Kubernetes have it.
        parameters.append(click.Option([_OUTPUT, "-o"], type=click.Choice(["yaml"]), help="as --plan --manifests"))
    parameters += [
        click.Option(["--profile"], help="the profile to work with", metavar="NAME"),
        click.Option(["--config"], help="the configuration file", type=click.Path(path_type=Path), metavar="FILE"),
        click.Option(["as_json", "--json"], is_flag=True, help="machine-readable output"),
    ]
    if action.danger is Danger.DESTRUCTIVE:
        parameters.append(click.Option(["--yes"], is_flag=True, help="do not ask"))
        parameters.append(
            click.Option(["--confirm"], help="the target's name, which a protected profile asks for", metavar="NAME")
        )

    def callback(**given: Any) -> int:
        return perform(action, _spelt_out(given))

    text = f"{action.title}." + (f"\n\n{action.details}" if action.details else "")
    return ActionCommand(name, action, params=parameters, callback=callback, help=text, epilog=_EPILOG)


class _DocumentFile(click.ParamType[str]):
    """A file, by its name; ``-`` is standard input, where something is sent to it."""

    name = "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "-" and is_terminal(sys.stdin):
            self.fail("standard input is a terminal: name a file", param, ctx)
        return read_document("/dev/stdin" if value == "-" else value)


def _click_parameter(parameter: Parameter) -> click.Parameter:
    # Values are checked in one place for all faces (console/actions/parameters.py), so click only splits them.
    if parameter.positional:
        return click.Argument(
            [parameter.name],
            required=parameter.required,
            nargs=-1 if parameter.many else 1,
            metavar=parameter.name.upper(),
            type=_DocumentFile() if parameter.kind is Kind.DOCUMENT else click.STRING,
        )
    option = [f"--{parameter.name.replace('_', '-')}"]
    if parameter.short:
        option.append(f"-{parameter.short}")
    if parameter.kind is Kind.FLAG:
        return click.Option([parameter.name, *option], is_flag=True, help=parameter.help)
    default = parameter.default
    if parameter.kind is Kind.DURATION and default is not None:
        default = spelled_duration(default)
    shown = f"{parameter.help} (default {default})" if default is not None else parameter.help
    kind: click.ParamType[str] = click.Choice(parameter.choices) if parameter.choices else click.STRING
    if parameter.kind is Kind.DOCUMENT:
        kind = _DocumentFile()
    return click.Option(
        [parameter.name, *option],
        multiple=parameter.many,
        required=parameter.required,
        help=shown,
        type=kind,
        metavar=None if parameter.choices else parameter.kind.value.upper(),
    )
