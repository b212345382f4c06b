"""The text of a key is in nothing that the suite leaves: its output, its logs, its databases, its Valkeys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.key_search import KEY_TEXT

SHORT = ("tests/service/keys/test_keys.py::test_no_text_of_a_key_is_kept_anywhere",)
LONG = ("tests/service/keys", "tests/service/api", "tests/service/publishing", "tests/service/bridge", "tests/e2e")
PLANTED = ("test_no_text_of_a_key_is_kept",)
"""The beginnings of the directories of tests that put a key where it does not belong, to see it found."""


@pytest.mark.parametrize("tests", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
def test_what_the_suite_leaves_holds_no_key(
    tests: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, report, output = tmp_path / "left", tmp_path / "report", tmp_path / "output"
    command = [sys.executable, "-m", "pytest", "-rA", "-m", "not soak", "-p", "tests.support.key_search"]
    # A search within a search would not end.
    command += [f"--basetemp={left}", "-p", "no:cacheprovider", f"--ignore={Path(__file__)}", *tests]
    with output.open("wb") as stream:
        root = Path(__file__).parents[3]
        environment = os.environ | {"KEY_SEARCH": str(report)}
        run = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, cwd=root, env=environment, check=False, timeout=3600
        )
    files = [path for path in sorted(left.rglob("*")) if path.is_file() and not path.is_symlink()]
    found = [path for path in (output, *files) if KEY_TEXT.search(path.read_bytes())]
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    in_valkeys = [f"{line['test']}: {name}" for line in lines for name in line["found"]]
    assert [str(path.relative_to(tmp_path)) for path in found if not _planted(path, left)] == []
    assert [where for where in in_valkeys if not any(name in where for name in PLANTED)] == []
    # Only now: a test that fails leaves as much to be searched.
    assert run.returncode == 0, output.read_text(errors="replace")[-3000:]
    assert found, "what was planted is found, so the search finds what there is"
    assert in_valkeys
    with capsys.disabled():
        size = sum(path.stat().st_size for path in files) / 1e6
        entries = sum(line["searched"] for line in lines)
        print(
            f"\nno key in {output.stat().st_size / 1e3:.0f} kB of output, {len(files)} files ({size:.1f} MB), "
            f"and {entries} keys of {len(lines)} Valkeys; found where it was planted: "
            f"{len(found) + len(in_valkeys)} times"
        )


def _planted(path: Path, left: Path) -> bool:
    return path.is_relative_to(left) and path.relative_to(left).parts[0].startswith(PLANTED)
