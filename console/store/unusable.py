"""What is said where a database cannot be opened, read or written: where it is, how things are, what comes next."""

from __future__ import annotations

import shutil
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, InternalError, OperationalError

from console.outcome import Refusal, Unavailable

_ONE_OF = "sqlite:////path/to/modeldeck.db, a path such as ./modeldeck.db, or postgresql://USER@HOST/NAME"
_LITTLE = 128 * 1024
_IN_A_QUERY = ("password", "sslpassword")


def shown(url: sa.URL) -> str:
    """The file of an SQLite database, the URL of another one without its password."""
    if url.get_backend_name() == "sqlite":
        return url.database or "memory"
    return url.difference_update_query(_IN_A_QUERY).render_as_string(hide_password=True)


def is_its_own(problem: BaseException) -> bool:
    """Whether the database itself is at fault: full, gone, read-only, broken. A wrong statement of ours is not that."""
    # SQLite says "is not a database" and "is malformed" by the plain class, of which all others are.
    return isinstance(problem, OperationalError | InternalError | OSError) or type(problem) is DatabaseError


def reason(problem: BaseException) -> str:
    """The driver's or the system's own words, in one line."""
    original = getattr(problem, "orig", None) or problem
    words = (isinstance(original, OSError) and original.strerror) or str(original).strip() or type(original).__name__
    return words.splitlines()[0]


def not_opened(url: sa.URL, problem: BaseException) -> Unavailable:
    """Nothing was asked of it yet."""
    return _unavailable(url, "cannot be opened", problem, "nothing was read or written there")


def failed(url: sa.URL, problem: BaseException) -> Unavailable:
    """In the middle of something, which is undone."""
    return _unavailable(url, "failed", problem, "what was being written is undone, what was written before stays")


def _unavailable(url: sa.URL, how: str, problem: BaseException, state: str) -> Unavailable:
    why = reason(problem)
    if "I/O" in why and url.database and _is_full(Path(url.database).parent):  # SQLite's words where it had no room
        why = f"{why}, for the disk is full"
    return Unavailable(
        f"the database at {shown(url)} {how}: {why}; {state}", code="DATABASE_UNAVAILABLE", then=_next(url, why)
    )


def _is_full(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free < _LITTLE
    except OSError:
        return False


def _next(url: sa.URL, why: str) -> str:
    if url.get_backend_name() != "sqlite" or not url.database:
        return "modeldeck status"
    path, said = Path(url.database), why.lower()
    if "full" in said or "no space" in said or "quota" in said:
        return f"make room on that disk (df -h {path.parent}), then the same again"
    if "not a database" in said or "malformed" in said:
        return f"restore a backup, or move {path} away: a new one is made; or name another one in DATABASE_URL"
    if "locked" in said:
        return "wait for what is writing to it, then the same again: modeldeck operations list"
    return f"ls -ld {path.parent} and df -h {path.parent}: this user needs to write there; or name another DATABASE_URL"


def no_url(why: str) -> Refusal:
    """What names the database names none. It is not repeated: it may hold a password, or be one."""
    return Refusal(
        f"the name of the database (DATABASE_URL, else the profile's database) {why}; nothing was opened or made",
        code="BAD_DATABASE_URL",
        then=f"write {_ONE_OF}",
    )


def no_driver() -> Refusal:
    return Refusal(
        "the database is a PostgreSQL one, and what talks to PostgreSQL is not installed here; nothing was done",
        code="NO_DATABASE_DRIVER",
        then="pip install 'modeldeck[postgres]'   (or the same with pipx or uv tool)",
    )
