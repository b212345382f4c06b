from __future__ import annotations

import pytest

from console.local.envoy import envoy_binary
from console.outcome import Unavailable


@pytest.fixture(scope="session", autouse=True)
def _needs_an_envoy() -> None:
    try:
        envoy_binary()
    except Unavailable as problem:
        pytest.skip(str(problem))
