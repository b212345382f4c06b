"""What an InferenceService answers when it is asked itself: more reasons for how it is called.

It is asked before anything is published, where its requests will go: at the Service of its predictor, not at
``status.address.url``, which is whatever somebody wrote there. Four reads, at the same time, without credentials:

    /openai/v1/models, /v1/models    a list as OpenAI's API has it
    /v2/health/ready                 KServe's v2 protocol
    /v1/models/NAME                  KServe's v1 protocol: whether the model is ready

What it says is somebody else's text: only its form is judged, and nothing of it is repeated. No answer is no reason,
and never an error.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.config import Profile
from console.k8s.cluster import Cluster
from console.k8s.types import ENDPOINT_SLICE
from console.outcome import ModeldeckError, counted

if TYPE_CHECKING:
    import httpx

ANSWER_SECONDS = 2.0
MOST_BYTES = 64 * 1024
OPENAI_PREFIXES = ("/openai/v1", "/v1")
_V2_READY = "/v2/health/ready"


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of asking.

    reasons  a sentence for each answer that says something, or why there is none
    openai   the prefixes under which a list of OpenAI's was answered
    predict  whether one of KServe's own protocols was
    """

    reasons: tuple[str, ...] = ()
    openai: tuple[str, ...] = ()
    predict: bool = False


NOTHING_HEARD = Heard()


@dataclass(frozen=True, slots=True)
class _Answer:
    """One path's. ``known`` is whether it has the form that was looked for; ``told`` is a sentence, or nothing."""

    path: str
    known: bool = False
    told: str = ""
    silent: bool = False


async def listen(cluster: Cluster, profile: Profile, namespace: str, name: str) -> Heard:
    """Ask an InferenceService, where this machine can reach it. Raises nothing; ends within some two seconds."""
    base = await _base(cluster, profile, namespace, name)
    if not base:
        return Heard(("it was not asked itself: its Service is not reached from this machine",))
    return await ask(base, name)


async def ask(base: str, name: str) -> Heard:
    """Ask whoever answers at a URL as an InferenceService of that name would."""
    import httpx

    from console.tls import trusted

    paths = [*(f"{prefix}/models" for prefix in OPENAI_PREFIXES), _V2_READY, f"/v1/models/{name}"]
    async with httpx.AsyncClient(
        base_url=base,
        follow_redirects=False,
        trust_env=False,
        verify=trusted(),
        timeout=ANSWER_SECONDS,
        headers={"accept": "application/json", "accept-encoding": "identity"},
    ) as client:
        answers = await asyncio.gather(*(_asked(client, path) for path in paths))
    openai = tuple(p for p, answer in zip(OPENAI_PREFIXES, answers, strict=False) if answer.known)
    told = tuple(answer.told for answer in answers if answer.told)
    if not told:
        silent = all(answer.silent for answer in answers)
        told = (f"it did not answer within {ANSWER_SECONDS:g} s: no reason" if silent else "its answers say nothing",)
    return Heard(told, openai, any(answer.known for answer in answers[len(OPENAI_PREFIXES) :]))


async def _base(cluster: Cluster, profile: Profile, namespace: str, name: str) -> str:
    """Where its predictor answers; empty where that cannot be reached from here."""
    service, reaches = f"{name}-predictor", profile.kubernetes.reaches_services
    if reaches is False:
        return ""
    if profile.stack is not None:  # the embedded stack has no DNS: its Services lead to ports of this machine
        try:
            slices, _ = await cluster.list(
                ENDPOINT_SLICE, namespace=namespace, labels=f"kubernetes.io/service-name={service}"
            )
        except ModeldeckError:
            return ""
        return next((base for one in slices if (base := _first_address(one))), "")
    if reaches or "KUBERNETES_SERVICE_HOST" in os.environ:  # a pod's own environment
        return f"http://{service}.{namespace}.svc.cluster.local"
    return ""


def _first_address(slice_: Mapping[str, Any]) -> str:
    try:
        address = ipaddress.ip_address(slice_["endpoints"][0]["addresses"][0])
        port = int(slice_["ports"][0]["port"])
    except (KeyError, IndexError, TypeError, ValueError):
        return ""
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


async def _asked(client: httpx.AsyncClient, path: str) -> _Answer:
    import httpx

    try:
        async with asyncio.timeout(ANSWER_SECONDS), client.stream("GET", path) as answer:
            if answer.is_redirect:
                return _Answer(path, told=f"{path} answered with a redirect, which was not followed")
            if answer.status_code != 200:
                return _Answer(path)
            if path == _V2_READY:
                return _Answer(path, True, f"{path} answered that it is ready")
            body = bytearray()
            async for part in answer.aiter_raw():
                body += part
                if len(body) > MOST_BYTES:
                    return _Answer(path, told=f"{path} answered more than {MOST_BYTES // 1024} KiB: no reason")
    except (TimeoutError, httpx.HTTPError, OSError, ValueError):  # ValueError: headers that httpx cannot read
        return _Answer(path, silent=True)
    return _judged(path, bytes(body))


def _judged(path: str, body: bytes) -> _Answer:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return _Answer(path, told=f"{path} answered what is no JSON: no reason")
    if not isinstance(document, dict):
        return _Answer(path)
    if path.endswith("/models"):
        data = document.get("data")
        if document.get("object") != "list" or not isinstance(data, list):
            return _Answer(path)
        if not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in data):
            return _Answer(path)
        return _Answer(path, True, f"{path} answered a list of {counted(len(data), 'model')}, as OpenAI's API does")
    # OpenAI's API has a model there too, which says nothing of being ready.
    if isinstance(document.get("ready"), bool | str):
        return _Answer(path, True, f"{path} answered as KServe's protocol does")
    return _Answer(path)
