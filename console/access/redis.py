"""Connections to Redis or Valkey: every socket bounded in time, passwords never in an error."""

from __future__ import annotations

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from console.config import RedisLink
from console.outcome import Unavailable

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0


def open_redis(link: RedisLink, password: SecretStr | None, *, name: str = "modeldeck") -> Redis:
    """A client; it connects with the first command. Values come back as bytes.

    It does not retry by itself: a write that may have arrived is not sent twice behind our back, and the mirror
    reconnects in its own way.
    """
    return Redis.from_url(
        link.url,
        username=link.username,
        password=password.get_secret_value() if password else None,
        client_name=name,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


async def check_redis(redis: Redis, link: RedisLink) -> None:
    """Raise `Unavailable` with a sentence where it cannot be used."""
    try:
        await redis.ping()
    except (AuthenticationError, NoPermissionError):
        who = link.username or "default"
        raise Unavailable(
            f"Redis at {link.url} refuses the login of user {who}",
            code="REDIS_LOGIN",
            then="check the profile's redis.username and redis.password",
        ) from None
    except (RedisError, OSError) as problem:
        raise Unavailable(
            f"Redis at {link.url} cannot be reached: {problem or type(problem).__name__}",
            code="REDIS_UNAVAILABLE",
            then="modeldeck status",
        ) from problem


def as_unavailable(problem: BaseException) -> Unavailable | None:
    """The sentence for an error of the driver that nobody nearer has told; None where it is none of Redis'.

    The driver's own text is left out: it may repeat the command with its arguments.
    """
    if not isinstance(problem, RedisError):
        return None
    return Unavailable(
        f"Redis stopped answering: {type(problem).__name__}", code="REDIS_UNAVAILABLE", then="modeldeck status"
    )
