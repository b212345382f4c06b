"""What a command may load: starting must stay quick, and nothing heavy may creep in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "textual",
    "kubernetes",
    "sqlalchemy",
    "redis",
    "httpx",
    "pydantic",
    "alembic",
    "fastapi",
    "uvicorn",
    "aiohttp",
)
_REPORT = f"import sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_REPORT}"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import contextlib, io\nfrom console.cli import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(['keys', 'list', '--help'])"
    )
    assert loaded_after(code) == set()


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("console.access.types", set()),
        ("console.access.decision", set()),
        ("console.access.codec", set()),
        ("console.catalog.types", set()),
        ("console.sync.types", set()),
        ("console.publishing.types", set()),
        ("console.keys.types", set()),
        ("console.operations.types", set()),
        ("console.k8s.types", set()),
        ("console.actions", set()),
        ("console.services", {"pydantic"}),
        ("console.access.server", {"pydantic", "redis", "uvicorn"}),
        ("console.actions.perform", {"pydantic"}),
    ],
)
def test_a_module_loads_no_more_than_it_needs(module: str, allowed: set[str]) -> None:
    assert loaded_after(f"import {module}") <= allowed


def test_the_import_contracts_hold() -> None:
    # In a process of its own: it silences every logger that there is.
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_console_paints_before_it_loads_what_it_works_with() -> None:
    code = (
        "from console.terminal.environment import prepare\nprepare()\n"
        "import console.app\nfrom screens.overview import OverviewScreen"
    )
    assert loaded_after(code) == {"textual"}
    assert "console.cli" not in _modules_after(code)


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_kinds_of_prices_are_those_of_the_catalog() -> None:
    from console.actions import REGISTRY
    from console.catalog.types import PriceKind

    parameters = {parameter.name: parameter for parameter in REGISTRY["models.price"].parameters}
    assert parameters["kind"].choices == tuple(kind.value for kind in PriceKind)
