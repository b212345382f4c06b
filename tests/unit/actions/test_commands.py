"""A command line as the action and the values that it comes to."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from console.actions.commands import GROUPS, add_actions, read_command
from console.actions.parameters import spelled_duration
from console.outcome import Refusal


def test_a_file_is_read_where_an_option_names_it(tmp_path: Path) -> None:
    file = tmp_path / "wanted.yaml"
    file.write_text("publications: []\n")
    for option in ("-f", "--file"):
        action, values = read_command(f"publish {option} {file} --plan")
        assert action.id == "publish"
        assert (values["file"], values["plan"]) == ("publications: []\n", True)
    with pytest.raises(Refusal, match="cannot be read"):
        read_command(f"publish -f {tmp_path / 'none.yaml'}")


@pytest.mark.parametrize("line", ["publish a/b", "update llama --rpm 5", "publications apply /dev/null"])
def test_o_yaml_is_the_plan_as_manifests(line: str) -> None:
    _, short = read_command(f"{line} -o yaml")
    _, long = read_command(f"{line} --plan --manifests")
    assert short == long
    assert (short["plan"], short["manifests"]) == (True, True)
    with pytest.raises(Refusal, match="'json' is not"):
        read_command(f"{line} -o json")


def test_o_is_for_what_has_manifests_only() -> None:
    with pytest.raises(Refusal, match="No such option"):
        read_command("unpublish llama -o yaml")


def test_help_says_what_a_group_is_about_and_spells_durations() -> None:
    top = click.Group("modeldeck")
    add_actions(top, lambda _action, _given: 0)
    groups = {name for name, command in top.commands.items() if isinstance(command, click.Group)}
    assert groups == set(GROUPS)
    rotate = top.commands["keys"].commands["rotate"]  # type: ignore[attr-defined]
    assert "(default 15m)" in rotate.get_help(click.Context(rotate))
    usage = top.commands["usage"]
    assert "(default 24h)" in usage.get_help(click.Context(usage))
    assert [spelled_duration(seconds) for seconds in (0, 90, 3600, 86_400, 7 * 86_400)] == [
        "0s",
        "90s",
        "1h",
        "24h",
        "7d",
    ]
