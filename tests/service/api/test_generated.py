"""The HTTP API under generated requests: whatever is sent, the answer is one that its own description names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import AcceptedNegativeData, FailureGroup

from console.api.app import ApiLimits, create_app
from console.serving import Serving
from tests.support.stack import TWO_PROVIDERS, Running, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
WIDE = ApiLimits(per_second=10_000, burst=10_000, unknown_per_second=10_000, unknown_burst=10_000)
ENDLESS = ("/api/feed", "/api/operations/{identifier}/events")
"""Streams, which end when nobody listens any more."""
FEW, MANY = 1, 40
TOO_LARGE = 413
load_all_checks()
NOT_CHECKED = CHECKS.get_by_names(["positive_data_acceptance", "ignored_auth"])
"""A well-formed request for a model that is not there is refused, and should be. That every path is denied without a
token is tested in test_api.py, by itself."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Running, str]]:
    async with running_stack(tmp_path_factory.mktemp("stack"), synced=TWO_PROVIDERS) as running:
        assert (await running.publish()).ending.good
        serving = Serving(create_app(running.services, WIDE))
        await serving.start()
        yield running, serving.url
        await serving.stop()


async def test_every_path_answers_as_it_is_described(served: tuple[Running, str]) -> None:
    running, url = served
    asked, found = await asyncio.to_thread(_ask, url, running.layout.api_token(), FEW)
    assert found == []
    assert asked > 80


@pytest.mark.soak
async def test_every_path_answers_as_it_is_described_whatever_is_sent(served: tuple[Running, str]) -> None:
    running, url = served
    asked, found = await asyncio.to_thread(_ask, url, running.layout.api_token(), MANY)
    print(f"\n{asked} requests: {len(found)} answers that are not described", *found, sep="\n")
    assert found == []


def _ask(url: str, token: str, most: int) -> tuple[int, list[str]]:
    """How many requests were sent, and the sentence of each failure; valid requests, and ones that are not."""
    headers = {"authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    asked, found = 0, []
    for number, result in enumerate(schema.get_all_operations()):
        operation = result.ok()
        if operation.path in ENDLESS:
            continue
        modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
        if most == FEW and operation.path.startswith("/api/actions/") and number % 4:
            modes.pop()  # all actions read their bodies in the same way
        for mode in modes:

            @settings(
                max_examples=most,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                derandomize=most == FEW,
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Case) -> None:
                nonlocal asked
                assume(not _is_text_after_all(case))
                asked += 1
                case.call_and_validate(base_url=url, headers=headers, excluded_checks=NOT_CHECKED, timeout=60)

            try:
                ask()
            except Unsatisfiable:  # nothing can be wrong with a request that has no parameter
                continue
            except FailureGroup as problem:
                failures = [str(one) for one in problem.exceptions if not _is_too_large(one)]
                found += [f"{operation.label}: {failures}"] if failures else []
    return asked, found


def _is_text_after_all(case: Case) -> bool:
    """An object in a query is sent as its names, a list of one as that; what is empty is not sent at all."""
    values = (case.query or {}).values()
    return any(isinstance(value, dict) or (isinstance(value, list) and len(value) < 2) for value in values)


def _is_too_large(failure: BaseException) -> bool:
    """413 rejects as well, which the check does not know: a text that is too long may make the body too large."""
    return isinstance(failure, AcceptedNegativeData) and failure.status_code == TOO_LARGE
