"""The commands of the embedded stack and of the server processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from console.outcome import Ending
from console.questions import confirm
from console.terminal.text import narrate, say

_Command = Callable[..., int]


def _option(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    return click.option(*names, **attributes)


_data = _option(
    "--data", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="where it keeps its data"
)
_gateway_port = _option(
    "--gateway-port", type=click.IntRange(1, 65535), help="port of the gateway; any free one by default"
)
_limits_fail = _option(
    "--limits-fail",
    type=click.Choice(["open", "closed"]),
    default="open",
    show_default=True,
    help="what becomes of requests with a limit while nobody can count them",
)
_models = _option("--models", type=click.IntRange(100, 200_000), help="how many models the samples offer in all")


@click.command()
@click.option("--headless", is_flag=True, help="run the journey as a script, whatever the terminal")
@_models
@_gateway_port
def demo(*, headless: bool, models: int | None, gateway_port: int | None) -> int:
    """Start a throwaway stack and make the whole journey on it.

    A real Valkey, a real Envoy, SQLite, a small Kubernetes API and sample providers run on loopback, in a temporary
    directory. Leaving it, by whatever signal, ends every process and removes the directory.
    """
    from console.local.demo import run_demo

    return asyncio.run(run_demo(headless=headless, models=models, gateway_port=gateway_port))


@click.command()
@_data
@_gateway_port
@_models
@_limits_fail
def up(
    *, data: Path | None, gateway_port: int | None, models: int | None, limits_fail: Literal["open", "closed"]
) -> int:
    """Start the local stack, with data that lasts, and leave it running."""
    from console.local.updown import bring_up

    return asyncio.run(bring_up(data, gateway_port=gateway_port, models=models, limits_fail=limits_fail))


@click.command()
@_data
@click.option("--wipe", is_flag=True, help="remove its data too")
@click.option("--yes", is_flag=True, help="do not ask")
def down(*, data: Path | None, wipe: bool, yes: bool) -> int:
    """Stop the local stack."""
    from console.local.updown import bring_down

    if wipe and not yes and not confirm("Remove the local stack's data for good?"):
        return Ending.REFUSED.exit_code
    return asyncio.run(bring_down(data, wipe=wipe))


@click.command()
@_data
@click.option("--throwaway", is_flag=True, help="keep nothing in Valkey across restarts")
@_gateway_port
@_models
@_limits_fail
def run(
    *,
    data: Path | None,
    throwaway: bool,
    gateway_port: int | None,
    models: int | None,
    limits_fail: Literal["open", "closed"],
) -> int:
    """The stack's process, in the foreground: what `up` and `demo` start.

    The Kubernetes API, its controllers, the sample servers and recovery run inside it; Valkey, Envoy, the
    ext_authz worker and the rate-limit service are its children.
    """
    from console.local.run import run_stack

    return asyncio.run(
        run_stack(data, durable=not throwaway, gateway_port=gateway_port, models=models, limits_fail=limits_fail)
    )


@click.command()
@click.option("--listen", default="127.0.0.1:9001", help="HOST:PORT of Envoy's HTTP form", show_default=True)
@click.option("--grpc", metavar="HOST:PORT", help="serve Envoy's gRPC form too")
@click.option("--workers", type=click.IntRange(1, 64), help="so many processes, which share the ports")
@click.option("--key-table", type=click.Path(path_type=Path), metavar="DIR", help="write what an Envoy here may allow")
@click.option("--tell-ready", is_flag=True, hidden=True)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="the configuration file")
@click.option("--profile", metavar="NAME", help="the profile to work with")
def authz(
    *,
    listen: str,
    grpc: str | None,
    workers: int | None,
    key_table: Path | None,
    tell_ready: bool,
    config: Path | None,
    profile: str | None,
) -> int:
    """The ext_authz service: Envoy asks it about every request.

    With --workers the processes are started again when they die, and replaced one by one on SIGHUP, without a refused
    connection where the gateway tries again (docs/access.md).
    """
    from console.access.redis import open_redis
    from console.access.server import Listening, serve
    from console.config import load_profile, resolve_secret

    if workers is not None:
        from console.access.workers import Workers, worker_command

        command = worker_command("authz", listen, str(config) if config else None, profile, grpc=grpc)
        command += ["--key-table", str(key_table)] if key_table else []
        return asyncio.run(Workers(command, workers).run())
    chosen = load_profile(config=config, profile=profile)
    password = resolve_secret(chosen.redis.password) if chosen.redis.password else None
    listening = Listening(_address(listen), _address(grpc) if grpc else None)
    reads: Literal["header", "body"] = chosen.gateway.authorizer_reads

    async def work() -> None:
        redis = open_redis(chosen.redis, password, name=f"modeldeck-authz-{socket.gethostname()}-{os.getpid()}")
        ready = (lambda: say("ready")) if tell_ready else (lambda: None)
        if tell_ready:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _end_with_input)
        await serve(redis, chosen.access, listening=listening, reads=reads, ready=ready, key_table=key_table)

    try:
        # On the path of every request: uvloop answers it in half the time.
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            runner.run(work())
    except OSError as problem:
        narrate(f"the authorizer cannot listen on {listen}{f' and {grpc}' if grpc else ''}: {problem}")
        return Ending.FAILED.exit_code
    return 0


@click.command()
@click.option("--listen", default="127.0.0.1:9002", help="HOST:PORT of the gRPC service", show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), help="so many processes, which share the port")
@click.option("--tell-ready", is_flag=True, hidden=True)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="the configuration file")
@click.option("--profile", metavar="NAME", help="the profile to work with")
def limiter(*, listen: str, workers: int | None, tell_ready: bool, config: Path | None, profile: str | None) -> int:
    """The rate-limit service: Envoy asks it about every request that a global limit counts (docs/limits.md)."""
    from console.access.redis import open_redis
    from console.config import load_profile, resolve_secret

    if workers is not None:
        from console.access.workers import Workers, worker_command

        command = worker_command("limiter", listen, str(config) if config else None, profile)
        return asyncio.run(Workers(command, workers).run())
    from console.limits.service import serve

    chosen = load_profile(config=config, profile=profile)
    password = resolve_secret(chosen.redis.password) if chosen.redis.password else None
    host, port = _address(listen)

    async def work() -> None:
        redis = open_redis(chosen.redis, password, name=f"modeldeck-limiter-{socket.gethostname()}-{os.getpid()}")
        if tell_ready:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _end_with_input)
        await serve(redis, host=host, port=port, ready=(lambda: say("ready")) if tell_ready else (lambda: None))

    try:
        asyncio.run(work())
    except OSError as problem:
        narrate(f"the rate-limit service cannot listen on {listen}: {problem}")
        return Ending.FAILED.exit_code
    return 0


@click.command()
@click.option("--listen", default="127.0.0.1:9003", help="HOST:PORT of the gRPC service", show_default=True)
@click.option("--name", metavar="NAME", help="this collector's among several on one database; by default its host's")
@click.option("--tell-ready", is_flag=True, hidden=True)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="the configuration file")
@click.option("--profile", metavar="NAME", help="the profile to work with")
def collector(*, listen: str, name: str | None, tell_ready: bool, config: Path | None, profile: str | None) -> int:
    """Count what the gateways of a cluster stream as their access log (docs/usage.md).

    The local stack needs none: `modeldeck run` reads its gateway's log.
    """
    from console.config import load_profile
    from console.services import Services
    from console.usage.streaming import collect_streams

    chosen = load_profile(config=config, profile=profile)
    host, port = _address(listen)
    called = name or f"{socket.gethostname()}:{port}"

    async def work() -> None:
        if tell_ready:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _end_with_input)
        async with Services(chosen) as services:
            await collect_streams(
                services,
                called,
                host=host,
                port=port,
                prefix=chosen.access.header_prefix,
                ready=(lambda: say("ready")) if tell_ready else (lambda: None),
            )

    try:
        asyncio.run(work())
    except OSError as problem:
        narrate(f"the collector cannot listen on {listen}: {problem}")
        return Ending.FAILED.exit_code
    return 0


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one for this machine."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _end_with_input() -> None:
    """End in order when whoever started this process has gone."""
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        os.kill(os.getpid(), signal.SIGTERM)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"{text} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


@click.command("api")
@click.option("--listen", default="127.0.0.1:8090", help="HOST:PORT", show_default=True)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="the configuration file")
@click.option("--profile", metavar="NAME", help="the profile to work with")
def serve_api(*, listen: str, config: Path | None, profile: str | None) -> int:
    """Serve the HTTP API, sync the catalog by its schedule, and end what others left interrupted."""
    from console.api.serve import serve_forever
    from console.config import load_profile

    chosen = load_profile(config=config, profile=profile)
    host, port = _address(listen)
    try:
        return asyncio.run(serve_forever(chosen, host=host, port=port))
    except OSError as problem:
        narrate(f"the API cannot listen on {listen}: {problem}")
        return Ending.FAILED.exit_code


@click.command("console")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="the configuration file")
@click.option("--profile", metavar="NAME", help="the profile to work with")
def open_console(*, config: Path | None, profile: str | None) -> int:
    """Open the console. `modeldeck` alone does so too, on a terminal."""
    from console.opening import open_console as open_it

    return open_it(config=str(config) if config else None, profile=profile)


COMMANDS = (open_console, demo, up, down, run, serve_api, authz, limiter, collector)
