"""The stack's log, line by line."""

from __future__ import annotations

import json
import logging
from datetime import datetime

import pytest

from console.local.logs import FORMAT, formatter
from console.outcome import Refusal


def written(form: str, message: str, *arguments: object, error: Exception | None = None) -> str:
    raised = None
    if error is not None:
        try:
            raise error
        except Exception as problem:
            raised = (type(problem), problem, problem.__traceback__)
    record = logging.LogRecord("console.sync", logging.ERROR, __file__, 1, message, arguments, raised)
    return formatter({FORMAT: form}).format(record)


def test_a_line_of_json_has_its_parts_and_is_one_line() -> None:
    line = written("json", "the sync of %s\nfailed", "groq", error=ValueError("two\nlines"))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["error"]) == ("error", "console.sync", "ValueError")
    assert told["message"] == "the sync of groq\nfailed"
    assert told["trace"].startswith("Traceback")
    assert datetime.fromisoformat(told["at"]).tzinfo is not None
    assert set(json.loads(written("json", "well"))) == {"at", "level", "logger", "message"}


@pytest.mark.parametrize("form", ["json", "text", ""])
def test_no_secret_gets_into_a_line(form: str) -> None:
    secret = "bud_client_0123456789abcdef"
    line = written(form, "Authorization: Bearer %s", secret, error=ValueError(f"redis://:{secret}@localhost refused"))
    assert secret not in line
    assert "refused" in line


def test_another_form_is_refused() -> None:
    with pytest.raises(Refusal, match="text or json"):
        formatter({FORMAT: "xml"})
