"""A database that cannot be opened, read or written: what an operator is told of it, on whichever way it was asked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from console import cli
from console.config import Profile
from console.outcome import Refusal, Unavailable
from console.services import Services
from console.store.engine import Store, async_url
from console.store.unusable import not_opened, shown


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile that needs nothing but its database."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    file = tmp_path / "config.toml"
    file.write_text("[profiles.only]\n")
    return file


def test_a_file_that_is_no_database_is_named_and_left_alone(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, noise = tmp_path / "noise.db", os.urandom(5000)
    path.write_bytes(noise)
    monkeypatch.setenv("DATABASE_URL", str(path))
    assert cli.run(["models", "search", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert f"the database at {path} cannot be opened: file is not a database; nothing was read or written" in told
    assert f"next: restore a backup, or move {path} away" in told
    assert path.read_bytes() == noise
    assert cli.run(["models", "hide", "x", "--config", str(config), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "DATABASE_UNAVAILABLE"


def test_a_directory_that_cannot_be_made_is_no_fault_of_the_output(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "modeldeck.db"
    monkeypatch.setenv("DATABASE_URL", str(path))
    for command in (["sync", "status"], ["sync", "run", "groq", "--dry-run"], ["sync", "every", "groq", "--tier"]):
        assert cli.run([*command, "--config", str(config)]) == 1, command
        told = capsys.readouterr().err
        assert "output" not in told
        assert f"the database at {path} cannot be opened: " in told
        assert f"next: ls -ld {path.parent}" in told


def test_another_file_that_fails_is_no_fault_of_the_output(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", "/srv/x")

    monkeypatch.setattr("console.config.load_profile", fails)
    assert cli.run(["models", "search", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert "models.search: Read-only file system: /srv/x; nothing was changed" in told
    assert "output" not in told


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("garbage-hunter2", "neither a URL nor a path"),
        ("user:hunter2@db/modeldeck", "neither a URL nor a path"),
        ("mysql://a:hunter2@db/modeldeck", "a URL of neither SQLite nor PostgreSQL"),
        ("postgresql://a:hunter2@db:port/modeldeck", "a URL that cannot be read"),
        ("sqlite://hunter2.db", "a URL that does not say which file or server"),
    ],
)
def test_what_names_no_database_makes_none(
    url: str,
    why: str,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    assert cli.run(["models", "search", "--config", str(config)]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert "next: write sqlite:////path/to/modeldeck.db" in told
    assert "hunter2" not in told
    assert [path.name for path in tmp_path.iterdir()] == [config.name]


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("modeldeck.db", "modeldeck.db"),
        ("./here", "here"),
        ("/srv/50% done?/m.db", "/srv/50% done?/m.db"),
        ("sqlite:////srv/m.db", "/srv/m.db"),
    ],
)
def test_paths_and_urls_of_files_are_what_they_say(url: str, database: str) -> None:
    assert (async_url(url).drivername, async_url(url).database) == ("sqlite+aiosqlite", database)


def test_a_driver_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Refusal) as caught:
        Store("postgresql://u:hunter2@db/modeldeck")
    assert caught.value.code == "NO_DATABASE_DRIVER"
    assert "modeldeck[postgres]" in caught.value.then


def test_no_password_is_shown_wherever_a_url_has_it() -> None:
    text = shown(async_url("postgresql://u:hunter2@db/modeldeck?password=hunter2&sslmode=require"))
    assert "hunter2" not in text
    assert "sslmode=require" in text


async def test_a_server_that_is_away_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    store = Store("postgresql://u:hunter2@127.0.0.1:1/modeldeck")
    with pytest.raises(Unavailable) as caught:
        async with store.reading():
            pass
    assert "@127.0.0.1:1/modeldeck cannot be opened" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    await store.close()


async def test_a_disk_that_is_full_undoes_what_was_being_written(tmp_path: Path) -> None:
    path = tmp_path / "modeldeck.db"
    async with Services(Profile(name="test", database=str(path))) as services:
        store = await services.store()
        async with store.writing() as db:
            await db.execute(sa.text("CREATE TABLE notes (text)"))
            await db.execute(sa.text("INSERT INTO notes VALUES ('kept')"))
            pages = await db.scalar(sa.text("PRAGMA page_count"))
        with pytest.raises(Unavailable) as caught:  # noqa: PT012 - the transaction is what raises
            async with store.writing() as db:
                await db.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
                await db.execute(sa.text("INSERT INTO notes VALUES (zeroblob(1000000))"))
        assert f"the database at {path} failed: database or disk is full" in str(caught.value)
        assert "what was being written is undone" in str(caught.value)
        assert caught.value.then == f"make room on that disk (df -h {tmp_path}), then the same again"
        async with store.reading() as db:
            assert list(await db.scalars(sa.text("SELECT text FROM notes"))) == ["kept"]


def test_a_disk_without_room_is_said_to_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.store.unusable._LITTLE", 2**62)
    told = not_opened(async_url(str(tmp_path / "m.db")), OSError("disk I/O error"))
    assert "disk I/O error, for the disk is full" in str(told)
    assert told.then.startswith("make room on that disk")
