"""An action with its values as the command line that would do the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from console.actions.registry import Action, Kind


def command_line(action: Action, values: Mapping[str, Any], *, profile: str | None = None) -> str:
    """``modeldeck keys rotate k7f3 --grace 900``; what equals its default is left out, as is what is not given."""
    words = ["modeldeck", *action.words]
    options: list[str] = []
    for parameter in action.parameters:
        value = values.get(parameter.name)
        if value in (None, "", ()) or value == parameter.default:
            continue
        many = [str(one) for one in value] if parameter.many and not isinstance(value, str) else [str(value)]
        if parameter.kind is Kind.DOCUMENT:
            many = ["FILE"]  # its text may be long, and where it came from is not known any more
        if parameter.positional:
            words += many
            continue
        flag = f"--{parameter.name.replace('_', '-')}"
        if parameter.kind is Kind.FLAG:
            options.append(flag)
        else:
            options += [part for one in many for part in (flag, one)]
    if profile is not None:
        options += ["--profile", profile]
    return shlex.join([*words, *options])
