"""The byte search: the text of a key is in nothing that tests leave. Two parts:

    python -m tests.support.key_search tests/service/keys …     runs these tests and searches (`make search-keys`)
    -p tests.support.key_search                                 the pytest plugin that it runs them with

Searched are the output, every file (logs, SQLite databases), what each Valkey holds before it stops, and the files of
each PostgreSQL. The plugin writes what it found to the file that KEY_SEARCH names, by where it was, without the text.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis.exceptions import RedisError

from console.access.forms import PATTERN
from console.local.valkey import Valkey
from tests.support.postgres import Postgres

KEY_TEXT = re.compile(
    rf"(?:bud_(?:client|admin)_[A-Za-z0-9_-]{{43}}(?![A-Za-z0-9_-]))|(?:{PATTERN}(?![A-Za-z0-9]))".encode()
)
"""What `console.keys.mint` makes; the keys that tests invent are of other lengths."""

PLANTED = ("test_no_text_of_a_key_is_kept",)
"""The beginnings of the names of tests that put a key where it does not belong, to see it found."""
WHOLE = ("tests/e2e", "tests/service", "tests/screens", "tests/unit")
_ROOT = Path(__file__).parents[2]
_ITSELF = "tests/service/keys/test_no_text_anywhere.py"
"""A search within a search would not end."""
_PIECE, _OVERLAP = 1 << 20, 128

_READERS = {
    "string": lambda redis, name: redis.get(name),
    "hash": lambda redis, name: redis.hgetall(name),
    "list": lambda redis, name: redis.lrange(name, 0, -1),
    "set": lambda redis, name: redis.smembers(name),
    "zset": lambda redis, name: redis.zrange(name, 0, -1),
    "stream": lambda redis, name: redis.xrange(name),
}


# --- the plugin -------------------------------------------------------------------------------------------------


async def search(valkey: Valkey) -> tuple[int, list[str]]:
    """How many keys of a Valkey were read, and the names of those that hold the text of a key."""
    redis, searched, found = valkey.client("search"), 0, []
    try:
        async for name in redis.scan_iter(count=1000):
            kind = (await redis.type(name)).decode()  # type: ignore[union-attr]
            # Read by their types, for a DUMP may be compressed.
            value: Any = await _READERS[kind](redis, name) if kind in _READERS else b""
            searched += 1
            if KEY_TEXT.search(name + b" " + repr(value).encode()):
                found.append(KEY_TEXT.sub(b"KEY", name).decode("utf-8", "backslashreplace"))
    finally:
        await redis.aclose()
    return searched, found


def pytest_configure() -> None:
    report = Path(os.environ["KEY_SEARCH"])
    stop_valkey, stop_postgres = Valkey.stop, Postgres.stop

    def tell(kind: str, searched: int, found: Sequence[str]) -> None:
        with report.open("a") as lines:
            test = os.environ.get("PYTEST_CURRENT_TEST", "")
            lines.write(json.dumps({"kind": kind, "test": test, "searched": searched, "found": list(found)}) + "\n")

    async def searched_and_stopped(self: Valkey, *args: Any, **more: Any) -> Any:
        try:
            tell("Valkey", *await asyncio.wait_for(search(self), 20))
        except (RedisError, OSError, TimeoutError):
            tell("Valkey", 0, ())  # it was killed by its test, or never started
        return await stop_valkey(self, *args, **more)

    def stopped_after_search(self: Postgres) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        files = [path for path in self._directory.rglob("*") if path.is_file() and not path.is_symlink()]
        tell("PostgreSQL", len(files), [path.name for path in files if holds_key(path)])
        stop_postgres(self)

    Valkey.stop = searched_and_stopped  # type: ignore[method-assign]
    Postgres.stop = stopped_after_search  # type: ignore[method-assign]


# --- the command ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Searched:
    """What came of a run: where the text of a key was found, and where it was planted."""

    code: int
    output: Path
    found: list[str]
    planted: list[str]
    files: int
    megabytes: float
    entries: int
    servers: int

    def __str__(self) -> str:
        told = (
            f"searched {self.output.stat().st_size / 1e3:.0f} kB of output, {self.files} files "
            f"({self.megabytes:.1f} MB), and {self.entries} keys and files of {self.servers} Valkeys and PostgreSQLs"
        )
        where = f"a key's text was found in {len(self.found)} places" if self.found else "no key's text was found"
        return f"{told}; {where}; where it was planted it was found {len(self.planted)} times"


def searched(work: Path, arguments: Sequence[str]) -> Searched:
    """Run pytest with these arguments below an empty directory, and search what it leaves."""
    left, report, output = work / "left", work / "report", work / "output"
    report.touch()
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "tests.support.key_search", f"--basetemp={left}"]
    command += ["-p", "no:cacheprovider", f"--ignore={_ROOT / _ITSELF}", *arguments]
    with output.open("wb") as stream:
        environment = os.environ | {"KEY_SEARCH": str(report)}
        run = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, cwd=_ROOT, env=environment, check=False, timeout=7200
        )
    files = [path for path in sorted(left.rglob("*")) if path.is_file() and not path.is_symlink()]
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    places = [str(path.relative_to(work)) for path in (output, *files) if holds_key(path)]
    places += [f"{line['kind']} of {line['test']}: {name}" for line in lines for name in line["found"]]
    planted = [place for place in places if any(name in place for name in PLANTED)]
    return Searched(
        run.returncode,
        output,
        [place for place in places if place not in planted],
        planted,
        len(files),
        sum(path.stat().st_size for path in files) / 1e6,
        sum(line["searched"] for line in lines),
        len(lines),
    )


def holds_key(path: Path) -> bool:
    """Whether a file holds the text of a key; read in pieces that overlap."""
    try:
        return any(KEY_TEXT.search(piece) for piece in _pieces(path))
    except OSError:  # a socket, or gone in the meantime
        return False


def _pieces(path: Path) -> Iterator[bytes]:
    tail = b""
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield tail + piece
            tail = (tail + piece)[-_OVERLAP:]


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 where a text was found, or a test failed; what was left is kept then."""
    work = Path(tempfile.mkdtemp(prefix="md-search-"))
    given = list(arguments) or list(WHOLE)
    if "-m" not in given:
        given = ["-m", "not soak", *given]
    result = searched(work, given)
    print(result)
    for place in result.found:
        print(f"  {place}")
    if result.code:
        print(f"the tests ended with {result.code}: see {result.output}")
    if result.found or result.code:
        return 1
    subprocess.run(["rm", "-rf", str(work)], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
