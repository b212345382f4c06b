"""One request to the API server, by way of kubernetes.aio's raw ApiClient.

Not the generated methods: those for custom objects return None on a 201, and the dynamic client drops
``fieldValidation`` silently (measured). Every request has a timeout; no error text holds a credential.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from console.k8s.errors import KubeError, error_from
from console.outcome import Refusal, TimedOut, Unavailable

log = logging.getLogger("modeldeck.k8s")

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    code: int
    content: Any


class Transport:
    """Made by `open`; one pool of connections. ``timeout`` is in seconds, for each request as a whole."""

    def __init__(self, api: Any, reload: Callable[[], Awaitable[None]], *, timeout: float) -> None:
        self._api = api
        self._reload = reload
        self.timeout = timeout

    @classmethod
    async def open(cls, *, kubeconfig: Path | None, context: str | None, timeout: float) -> Transport:
        """Read the configuration; nothing is sent yet.

        Raises:
            Refusal: there is no usable configuration.
        """
        from kubernetes.aio.client import ApiClient, Configuration

        configuration = Configuration()
        configuration.retries = None

        async def load() -> None:
            await _configure(configuration, kubeconfig, context)

        await load()
        host = urlsplit(configuration.host)
        if host.hostname in _LOOPBACK:  # a proxy of the environment is not meant for it
            configuration.client_session_kwargs = {"trust_env": False}
        return cls(ApiClient(configuration), load, timeout=timeout)

    @property
    def host(self) -> str:
        """The server's URL without anything secret in it."""
        parts = urlsplit(self._api.configuration.host)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    async def close(self) -> None:
        await self._api.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float | None = None,
    ) -> Answer:
        """Send and read the whole answer. ``doing`` tells an operator what it is: ``apply Secret acme/key``.

        Raises:
            ModeldeckError: of `console.k8s.errors`; `Unavailable` and `TimedOut` where no answer came.
        """
        limit = timeout or self.timeout
        try:
            async with asyncio.timeout(limit + 1):
                response = await self._send(method, path, query, body, content_type, total=limit)
                data: bytes = await response.read()
        except Exception as problem:
            raise self._failure(problem, doing, limit) from None
        if not 200 <= response.status <= 299:
            raise error_from(response.status, data, doing)
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            raise KubeError(f"the cluster's answer to {doing} is not JSON") from None
        for warning in response.headers.getall("Warning", ()):
            log.info("to %s, the cluster warns: %s", doing, warning)
        return Answer(response.status, content)

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, doing: str, query: Mapping[str, str], silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that goes on; ends with `TimedOut` after ``silence`` seconds without a byte.

        Raises:
            ModeldeckError: as `request`.
        """
        try:
            async with asyncio.timeout(self.timeout + 1):
                response = await self._send("GET", path, query, None, JSON, total=None, silence=silence)
                refused = None if response.status == 200 else await response.read()
        except Exception as problem:
            raise self._failure(problem, doing, self.timeout) from None
        try:
            if refused is not None:
                raise error_from(response.status, refused, doing)
            yield self._lines(response.response, doing, silence)
        finally:
            response.response.close()

    async def _lines(self, response: Any, doing: str, silence: float) -> AsyncIterator[bytes]:
        rest = bytearray()
        try:
            async for chunk in response.content.iter_any():
                rest += chunk
                *lines, last = bytes(rest).split(b"\n") if b"\n" in chunk else [bytes(rest)]
                if lines:
                    rest = bytearray(last)
                for line in lines:
                    if line.strip():
                        yield line
        except Exception as problem:
            raise self._failure(problem, doing, silence) from None

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        content_type: str,
        *,
        total: float | None,
        silence: float | None = None,
    ) -> Any:
        """Once; a second time with fresh credentials where the first ones were not accepted."""
        from aiohttp import ClientTimeout

        limits = ClientTimeout(total=total, connect=self.timeout, sock_connect=self.timeout, sock_read=silence)
        for attempt in (1, 2):
            headers = {"Accept": JSON, "Content-Type": content_type}
            request = await self._api.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            response = await self._api.call_api(*request, _request_timeout=limits)
            if response.status != 401 or attempt == 2:
                return response
            response.response.release()
            await self._reload()
        raise AssertionError

    def _failure(self, problem: Exception, doing: str, limit: float) -> Exception:
        """What went wrong, without the request: a library's text may hold its headers."""
        import aiohttp

        if isinstance(problem, TimeoutError):
            return TimedOut(
                f"the Kubernetes API at {self.host} did not answer within {limit:g} s to {doing}; "
                "whether it was done is not known",
                code="KUBE_TIMEOUT",
                then="modeldeck status",
            )
        if isinstance(problem, aiohttp.ClientError | OSError):
            return Unavailable(
                f"the Kubernetes API at {self.host} cannot be reached to {doing}: {_reason(problem)}",
                code="KUBE_UNREACHABLE",
                then="modeldeck status",
            )
        return problem


def _reason(problem: BaseException) -> str:
    """The operating system's word where there is one; never the library's, which may quote the request."""
    inner = getattr(problem, "os_error", problem)
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)
    words = {"ServerDisconnectedError": "it closed the connection", "ClientPayloadError": "its answer was cut off"}
    return words.get(type(problem).__name__, type(problem).__name__)


async def _configure(configuration: Any, kubeconfig: Path | None, context: str | None) -> None:
    from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
    from yaml import YAMLError

    in_pod = kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    try:
        if in_pod:
            load_incluster_config(client_configuration=configuration)
            return
        path = str(kubeconfig.expanduser()) if kubeconfig else os.environ.get("KUBECONFIG", "~/.kube/config")
        if os.pathsep not in path:
            Path(path).expanduser().stat()  # the client prints a line of its own where there is none
        await load_kube_config(
            str(Path(path).expanduser()) if os.pathsep not in path else path,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except (ConfigException, YAMLError, OSError, ValueError, TypeError, AttributeError) as problem:
        what = "the pod's service account" if in_pod else f"the kubeconfig {kubeconfig or '(default)'}"
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem).splitlines()[0]
        sentence = f"{what} cannot be used: {reason}"
        if not in_pod and isinstance(problem, YAMLError | TypeError | AttributeError | UnicodeDecodeError):
            # The client took what it read for one; what it then stumbled over says nothing to anybody.
            sentence = f"{kubeconfig or os.environ.get('KUBECONFIG', '~/.kube/config')} is not a kubeconfig"
        raise Refusal(
            sentence,
            code="KUBECONFIG_UNUSABLE",
            then="set kubernetes.kubeconfig and kubernetes.context in the profile",
        ) from None
