"""One provider's list over HTTP, record by record, and a typed problem for every way in which that can fail.

The only module of ours that talks to providers. What it promises:

- a credential goes to the host that it is for, over HTTPS, and into no message; a provider's own error text is not
  repeated, because providers quote credentials in it;
- no answer costs more memory than one record, more bytes or more time than the `Limits`;
- only what a second try can mend is tried again, and a provider that says when is taken at its word.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import stamina

from console.sync import urls
from console.sync.problems import FetchProblem, retry_after, status_problem
from console.sync.providers.base import Page, ProviderSpec, SinglePage
from console.sync.records import NotAList, RecordReader
from console.sync.retries import Retrying, listener
from console.sync.types import Limits, ProviderOutcome
from console.tls import trusted

if TYPE_CHECKING:
    from pydantic import SecretStr

_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECTS_FOLLOWED = 5
_UNPACKED_AT_ONCE = 256 * 1024
_USER_AGENT = "modeldeck"


@dataclass(frozen=True, slots=True)
class Validators:
    """What a later request can ask "has it changed?" with."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        pairs = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in pairs.items() if value}


@dataclass(frozen=True, slots=True)
class Authorization:
    """What lets a request in. ``secrets``: what must not be in anything that is kept; ``place``: where it is from."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    place: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A list that has been read to its end, or was not sent again because it is the same (``not_modified``)."""

    not_modified: bool = False
    validators: Validators = Validators()
    body_bytes: int = 0


class Sink(Protocol):
    """Takes the records as they arrive. Every attempt gets a new one."""

    def take(self, record: Any) -> None: ...


class Fetcher:
    """The connections of one run. Use as an async context manager.

    Args:
        clock: aware UTC; for ``Retry-After`` as a date
    """

    def __init__(self, limits: Limits, clock: Callable[[], datetime]) -> None:
        self._limits = limits
        self._clock = clock
        # Never through a proxy of the environment to a server on this machine.
        direct = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
        self._client = httpx.AsyncClient(
            verify=trusted(),
            timeout=httpx.Timeout(limits.silence_seconds, connect=limits.connect_seconds),
            follow_redirects=False,
            mounts=direct,
            headers={"User-Agent": _USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"},
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def authorize(self, spec: ProviderSpec, credential: SecretStr | None, place: str = "") -> Authorization:
        """What goes with the requests to a provider, for `fetch`.

        Args:
            place: where the credential is from, for messages; "": the provider's own variable

        Raises:
            FetchProblem: there is no usable credential where one is needed; where it has to be exchanged, it was not.
        """
        place = place or spec.auth.env
        secret = _usable(spec, credential, place)
        if not secret:
            return Authorization()
        if spec.auth.exchange is None:
            return Authorization({spec.auth.header: spec.auth.prefix + secret}, (secret,), place)
        try:
            async with asyncio.timeout(self._limits.connect_seconds + self._limits.silence_seconds):
                headers = await spec.auth.exchange(self._client, secret, self._clock())
        except TimeoutError:
            raise FetchProblem(
                ProviderOutcome.UNREACHABLE,
                "TIMED_OUT",
                f"the credential in {place} could not be exchanged in time; {spec.name} was not asked",
            ) from None
        return Authorization(headers, tuple(value.removeprefix(spec.auth.prefix) for value in headers.values()), place)

    async def fetch(
        self,
        spec: ProviderSpec,
        url: str,
        *,
        authorization: Authorization,
        known: Validators,
        new_sink: Callable[[], Sink],
        heard: Callable[[int], None] = lambda _: None,
        retrying: Retrying = lambda *_: None,
    ) -> Fetched:
        """The list at ``url``, given record by record to a sink.

        Args:
            known: from the last good answer; where the list is the same, no record comes
            new_sink: called at the beginning of each attempt; what an earlier sink holds is void then
            heard: told the bytes of the body so far
            retrying: told why another try is needed, and the seconds until it begins

        Raises:
            FetchProblem: there is no list.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.provider_seconds

        def mend(problem: Exception) -> bool | float:
            if not isinstance(problem, FetchProblem) or not problem.mendable:
                return False
            if problem.wait is None:
                return True
            left = deadline - asyncio.get_running_loop().time()
            return problem.wait if problem.wait <= min(left, self._limits.retry_after_seconds) else False

        listener.set(retrying)
        try:
            async with asyncio.timeout_at(deadline):
                async for attempt in stamina.retry_context(
                    on=mend, attempts=self._limits.attempts, timeout=None, wait_initial=0.5, wait_max=8
                ):
                    with attempt:
                        return await self._pages(spec, url, authorization, known, new_sink(), heard)
        except TimeoutError:
            raise FetchProblem(
                ProviderOutcome.UNREACHABLE,
                "TIMED_OUT",
                f"{spec.name} did not deliver its list within {self._limits.provider_seconds:g} s",
            ) from None
        raise AssertionError("unreachable")

    async def probe(self, spec: ProviderSpec, url: str, *, authorization: Authorization) -> None:
        """Ask for the first page and let go of it at its first byte. Raises `FetchProblem` as `fetch` does, at once."""
        parameters = dict.fromkeys(spec.pagination.first(), "1")  # a page as small as can be
        target = httpx.URL(url).copy_merge_params(parameters)
        try:
            async with asyncio.timeout(self._limits.connect_seconds + self._limits.silence_seconds):
                async with self._answered(spec, target, authorization, Validators()):
                    return
        except TimeoutError:
            raise FetchProblem(
                ProviderOutcome.UNREACHABLE, "TIMED_OUT", f"{spec.name} did not answer in time"
            ) from None

    async def _pages(
        self,
        spec: ProviderSpec,
        url: str,
        authorization: Authorization,
        known: Validators,
        sink: Sink,
        heard: Callable[[int], None],
    ) -> Fetched:
        asked = known if isinstance(spec.pagination, SinglePage) else Validators()
        parameters: dict[str, str] | None = spec.pagination.first()
        number = records = total = 0
        validators = Validators()
        while parameters is not None:
            number += 1
            reader = RecordReader(spec.list_at)
            page_url = httpx.URL(url).copy_merge_params(parameters)
            async with self._answered(spec, page_url, authorization, asked) as response:
                if response.status_code == 304:
                    return Fetched(not_modified=True, validators=known)
                validators = Validators(response.headers.get("etag"), response.headers.get("last-modified"))
                link = response.links.get("next", {}).get("url", "")
                async for piece in self._body(spec, response):
                    total += len(piece)
                    self._refuse_endless(spec, total, records + reader.records)
                    with _list_problems(spec):
                        for record in reader.feed(piece):
                            sink.take(record)
                    heard(total)
            with _list_problems(spec):
                for record in reader.finish():
                    sink.take(record)
            records += reader.records
            self._refuse_endless(spec, total, records)
            following = spec.pagination.after(Page(number, reader.records, reader.envelope, link))
            if following == parameters:
                raise FetchProblem(
                    ProviderOutcome.UNPARSEABLE, "PAGES_LOOP", f"{spec.name} names the same page as the next one"
                )
            parameters = following
        return Fetched(validators=validators, body_bytes=total)

    @contextlib.asynccontextmanager
    async def _answered(
        self, spec: ProviderSpec, url: httpx.URL, authorization: Authorization, known: Validators
    ) -> AsyncIterator[httpx.Response]:
        """The answer with status 200 or 304, after redirects; anything else is a `FetchProblem`."""
        origin = _origin(url)
        credentials = authorization.headers
        for _ in range(_REDIRECTS_FOLLOWED + 1):
            headers = {**known.headers(), **spec.auth.headers}
            if _origin(url) == origin:
                headers |= credentials
            with _transport_problems(spec, url):
                async with self._client.stream("GET", url, headers=headers) as response:
                    if response.status_code in _REDIRECTS and "location" in response.headers:
                        url = _redirected(spec, url, response.headers["location"])
                        if _origin(url) != origin:
                            credentials = {}  # also on the way back: another host has had a hand in it
                        continue
                    status = response.status_code
                    if status in (401, 403) and _origin(url) != origin:
                        raise _refused_elsewhere(spec)
                    if status != 200 and not (status == 304 and known.headers()):
                        wait = retry_after(response.headers.get("retry-after"), self._clock())
                        raise status_problem(spec, status, wait, credential=authorization.place if credentials else "")
                    yield response
                    return
        raise FetchProblem(ProviderOutcome.UNREACHABLE, "REDIRECTS", f"{spec.name} redirects in circles")

    async def _body(self, spec: ProviderSpec, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body, unpacked piece by piece: a few KB of gzip can hold gigabytes."""
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            async for packed in response.aiter_raw():
                yield packed
            return
        if encoding not in ("gzip", "x-gzip"):
            raise FetchProblem(
                ProviderOutcome.UNPARSEABLE,
                "ENCODING",
                f"{spec.name} packed its answer in a way that was not asked for",
            )
        unpacker = zlib.decompressobj(wbits=31)
        try:
            async for packed in response.aiter_raw():
                rest = packed
                while rest:
                    if unpacker.eof:  # one gzip member may follow another
                        unpacker = zlib.decompressobj(wbits=31)
                    yield unpacker.decompress(rest, _UNPACKED_AT_ONCE)
                    rest = unpacker.unconsumed_tail or unpacker.unused_data
        except zlib.error:
            raise FetchProblem(
                ProviderOutcome.UNPARSEABLE, "ENCODING", f"{spec.name} sent gzip that cannot be unpacked"
            ) from None
        if not unpacker.eof:
            raise FetchProblem(ProviderOutcome.UNPARSEABLE, "TRUNCATED", f"the gzip of {spec.name} breaks off")

    def _refuse_endless(self, spec: ProviderSpec, total: int, records: int) -> None:
        limits = self._limits
        if total > limits.body_bytes:
            raise FetchProblem(
                ProviderOutcome.UNPARSEABLE,
                "TOO_LARGE",
                f"the list of {spec.name} does not end within {_size(limits.body_bytes)}; reading was stopped",
            )
        if records > limits.records:
            raise FetchProblem(
                ProviderOutcome.UNPARSEABLE,
                "TOO_MANY",
                f"the list of {spec.name} has more than {limits.records} records; reading was stopped",
            )


def _usable(spec: ProviderSpec, credential: SecretStr | None, place: str) -> str:
    """The credential's text, ``""`` where none is needed and there is none."""
    secret = credential.get_secret_value().strip() if credential is not None else ""
    if secret and spec.auth.exchange is None and not (secret.isascii() and secret.isprintable()):
        raise FetchProblem(
            ProviderOutcome.NO_CREDENTIALS,
            "BAD_CREDENTIAL",
            f"the credential in {place} has characters that cannot be sent; {spec.name} was not asked",
        )
    if not secret and spec.auth.required:
        raise FetchProblem(
            ProviderOutcome.NO_CREDENTIALS,
            "NO_CREDENTIALS",
            f"{spec.name} needs a credential and {place} is not set; it was not asked",
        )
    return secret


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _redirected(spec: ProviderSpec, url: httpx.URL, location: str) -> httpx.URL:
    try:
        target = url.join(location)
    except (httpx.InvalidURL, ValueError):
        raise FetchProblem(
            ProviderOutcome.UNPARSEABLE, "BAD_REDIRECT", f"{spec.name} redirects to something that is no URL"
        ) from None
    # A server elsewhere must not make us ask one on this machine either.
    inward = urls.is_loopback(target.host) and not urls.is_loopback(url.host)
    if inward or urls.why_not(str(target)) is not None:
        raise FetchProblem(
            ProviderOutcome.REFUSED,
            "UNSAFE_REDIRECT",
            f"{spec.name} redirects to an address that is not safe to follow; nothing was sent there",
        )
    return target


def _refused_elsewhere(spec: ProviderSpec) -> FetchProblem:
    sentence = f"{spec.name} redirects to another host, which wants a credential; none was sent there"
    return FetchProblem(ProviderOutcome.REFUSED, "UNSAFE_REDIRECT", sentence)


@contextlib.contextmanager
def _transport_problems(spec: ProviderSpec, url: httpx.URL) -> Iterator[None]:
    """httpx's errors as ours; the messages are our own, for theirs may hold anything."""
    try:
        yield
    except httpx.ConnectTimeout:
        problem = ("TIMED_OUT", f"{url.host} does not take connections")
    except httpx.TimeoutException:
        problem = ("TIMED_OUT", f"{url.host} stopped answering")
    except httpx.ConnectError as error:
        problem = _connect_problem(url.host, str(error))
    except (httpx.RemoteProtocolError, httpx.ReadError):
        problem = ("BROKEN_OFF", f"the connection to {url.host} broke off")
    except httpx.HTTPError as error:
        problem = (type(error).__name__, f"the connection to {url.host} failed ({type(error).__name__})")
    else:
        return
    code, what = problem
    raise FetchProblem(ProviderOutcome.UNREACHABLE, code, f"{spec.name} cannot be reached: {what}", mendable=True)


def _connect_problem(host: str, text: str) -> tuple[str, str]:
    if "CERTIFICATE" in text or "SSL" in text:
        return "TLS", f"{host} has no certificate that this machine trusts"
    if "Name or service not known" in text or "name resolution" in text or "nodename" in text:
        return "DNS", f"the name {host} is not known"
    return "CONNECTION_REFUSED", f"{host} does not take connections"


@contextlib.contextmanager
def _list_problems(spec: ProviderSpec) -> Iterator[None]:
    try:
        yield
    except NotAList as problem:
        raise FetchProblem(
            ProviderOutcome.UNPARSEABLE, problem.code, f"the answer of {spec.name} cannot be read: {problem}"
        ) from None


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count} bytes"
