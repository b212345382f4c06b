"""The text of a key is in nothing that the suite leaves: its output, its logs, its databases, its Valkeys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.key_search import KEY_TEXT, searched

SHORT = ("tests/service/keys/test_keys.py::test_no_text_of_a_key_is_kept_anywhere",)
LONG = ("tests/service/keys", "tests/service/api", "tests/service/publishing", "tests/service/bridge", "tests/e2e")
MDK = b"mdk_client_0000000000000000000000000000000000000000000_38h12c"


@pytest.mark.parametrize("tests", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
def test_what_the_suite_leaves_holds_no_key(
    tests: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = searched(tmp_path, ("-m", "not soak", *tests))
    assert result.found == []
    # Only now: a test that fails leaves as much to be searched.
    assert result.code == 0, result.output.read_text(errors="replace")[-3000:]
    assert len(result.planted) >= 2, "what was planted is found, so the search finds what there is"
    with capsys.disabled():
        print(f"\n{result}")


@pytest.mark.parametrize("text", [b"bud_client_" + b"a" * 43, b"bud_admin_" + b"-" * 43, MDK])
def test_both_forms_are_searched_for(text: bytes) -> None:
    assert KEY_TEXT.search(b"x\x00" + text + b"\x00")
    assert not KEY_TEXT.search(text[:-1])
    assert not KEY_TEXT.search(text + b"a")
