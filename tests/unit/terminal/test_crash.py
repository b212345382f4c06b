"""A crash report says where it happened, and holds no key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from console.terminal.crash import report_crash
from console.terminal.redaction import redacted

KEY = "bud_client_" + "aB3_" * 11
STATE = "Nothing is half done."


def crashed(key: str) -> Exception:
    held_in_a_variable = f"{key}-in-a-variable"
    try:
        try:
            raise KeyError(key)
        except KeyError as cause:
            raise ValueError(f"\x1b[2Jno answer for {held_in_a_variable[:-14]}") from cause
    except ValueError as error:
        error.add_note(f"asked with Bearer {key}")
        return error


def test_a_report_holds_the_place_and_no_key(tmp_path: Path) -> None:
    report = report_crash(crashed(KEY), tmp_path / "crashes", state=STATE, facts={"terminal": "xterm, 80x24"})
    assert report.file is not None
    assert stat.S_IMODE(report.file.stat().st_mode) == 0o600
    text = report.file.read_text()
    assert "test_crash.py" in text
    assert "KeyError" in text
    assert "terminal: xterm, 80x24" in text
    assert "no answer for [hidden]" in text
    assert "asked with Bearer [hidden]" in text
    assert "in-a-variable\n" not in text
    assert KEY not in text
    assert "\x1b" not in text


def test_the_message_says_what_happened_where_the_report_is_and_how_things_stand(tmp_path: Path) -> None:
    report = report_crash(crashed(KEY), tmp_path, state=STATE, facts={})
    assert report.message.startswith("modeldeck crashed: ValueError in crashed (test_crash.py:")
    assert STATE in report.message
    assert str(report.file) in report.message
    assert "answer" not in report.message


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = report_crash(crashed(KEY), tmp_path / "file", state=STATE, facts={})
    assert report.file is None
    assert "There is no report" in report.message


@pytest.mark.parametrize(
    "text",
    [
        f"{KEY}",
        f"{{'authorization': 'Bearer {KEY}'}}",
        "Authorization: Basic SECRETSECRET",
        "redis://modeldeck:SECRET@valkey:6379/0",
        "password='SECRET \\' SECRET'",
        "api_key=SECRET, model=x",
        '{"client_secret": "SECRET"}',
        "field required [type=string_type, input_value='SECRET', input_type=str]",
        "[parameters: ('model', 'SECRET')]",
        "sk-SECRET-0123456789",
        "xSECRETx0xSECRETx1abcdefghij",
    ],
)
def test_what_looks_like_a_key_is_hidden(text: str) -> None:
    assert "SECRET" not in redacted(text)
    assert KEY not in redacted(text)
    assert "[hidden]" in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        'File "/srv/modeldeck/console/keys/rotation.py", line 12, in rotate_with_grace',
        "AttributeError: 'NoneType' object has no attribute 'published_model_info'",
        "no route to host redis://valkey.internal:6379/0",
        "deepseek-ai/DeepSeek-R1-Distill is not published",
        "published_model_info: not an object",
    ],
)
def test_what_explains_a_crash_stays(text: str) -> None:
    assert redacted(text) == text
