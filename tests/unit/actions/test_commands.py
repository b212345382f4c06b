"""A command line as the action and the values that it comes to."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import click
import pytest

from console import cli
from console.actions import documents
from console.actions.commands import GROUPS, add_actions, read_command
from console.actions.parameters import MAX_DOCUMENT, read_document, spelled_duration
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory; nothing was changed"),
        (b"", "is empty; nothing was changed"),
        (b" \n", "is empty; nothing was changed"),
        (b"\xff\xfe\x00", "it is no text in UTF-8; nothing was changed"),
        (b"a" * (MAX_DOCUMENT + 1), "has more than 262144 characters; nothing was changed"),
        ("ä".encode() * (4 * MAX_DOCUMENT), "has more than 262144 characters; nothing was changed"),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_file_that_is_no_declaration_is_refused_by_its_name(
    content: bytes | None, said: str, as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wanted.yaml"
    if content is not None:
        file.write_bytes(content)
    assert cli.run(["publish", "-f", str(file), *(["--json"] if as_json else [])]) == 2
    told = capsys.readouterr()
    if as_json:
        outcome = json.loads(told.out)
        assert (outcome["outcome"], outcome["code"], told.err) == ("refused", "INVALID_PARAMETER", "")
        assert f"{file}" in outcome["summary"]
        assert said in outcome["summary"]
    else:
        assert told.err.startswith("✗ refused: ")
        assert f"{file}" in told.err
        assert said in told.err
        assert "Usage" not in told.err


def test_a_pipe_is_read_to_its_end_and_not_waited_for_without_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_WRITER_SECONDS", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Refusal, match=r"nobody wrote into it for 0\.2 s; nothing was changed"):
        read_document(str(pipe))
    read = threading.Event()

    def write() -> None:
        with pipe.open("wb", buffering=0) as into:
            into.write(b"publications:\n")
            read.wait(0.4)  # longer than anybody waits for a writer
            into.write(b"- {}\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert read_document(str(pipe)) == "publications:\n- {}\n"
    writer.join()


def _declaration(directory: Path) -> Path:
    file = directory / "wanted.yaml"
    file.write_text("publications: []\n")
    return file


@pytest.mark.parametrize("line", ["publish a/b", "update llama --rpm 5", "publications apply {file}"])
def test_o_yaml_is_the_plan_as_manifests(line: str, tmp_path: Path) -> None:
    line = line.format(file=_declaration(tmp_path))
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
