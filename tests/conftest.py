"""What every test may use, and what no test may touch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from console.local.valkey import Valkey
from tests.support.valkey import valkey_in

# No example fails for having been slow: the machine may be busy.
settings.register_profile("modeldeck", deadline=None)
settings.load_profile("modeldeck")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the developer's own files or settings."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name.lower()))
    for name in ("KUBECONFIG", "DATABASE_URL", "MODELDECK_CONFIG", "MODELDECK_PROFILE", "MODELDECK_DATA", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    server = valkey_in(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    client = valkey.client("test")
    yield client
    await client.aclose()
