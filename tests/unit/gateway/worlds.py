"""A cluster for one translation: some objects with the metadata that a server gives them, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.k8s.types import Object
from console.local.gateway.snapshot import Key, Snapshot
from console.local.gateway.translate import Settings, Translation, generated_objects, translate
from tests.unit.gateway.manifests import gateway, gateway_class, namespace, service

PORT = 20_000
CA = Path(__file__)
DIRECTORY = Path("/nowhere")


@dataclass(frozen=True)
class World:
    translation: Translation

    def status(self, kind: str, name: str, place: str = "ns") -> dict[str, Any]:
        return dict(self.translation.statuses[Key(kind, place, name)])

    def said(self, kind: str, name: str, of: str = "Accepted", place: str = "ns") -> tuple[str, str, str]:
        """Status, reason and message of a condition; of a policy or a route, with its first Gateway."""
        status = self.status(kind, name, place)
        entry = (status.get("parents") or status.get("ancestors") or [status])[0]
        found = [one for one in entry["conditions"] if one["type"] == of]
        assert found, f"no {of} in {entry['conditions']}"
        return found[0]["status"], found[0]["reason"], found[0]["message"]

    def hosts(self, port: int = PORT) -> dict[str, list[dict[str, Any]]]:
        """The Envoy routes of a port, by hostname."""
        configuration = next(one for name, one in self.translation.routes.items() if name.startswith(f"{port}-"))
        return {host["domains"][0]: host["routes"] for host in configuration["virtual_hosts"]}

    def routes(self, place: str = "ns/r") -> list[dict[str, Any]]:
        """The Envoy routes of an HTTPRoute, in the order in which they are tried."""
        return [one for routes in self.hosts().values() for one in routes if one["name"].startswith(place)]

    def answers(self, place: str = "ns/r") -> list[int]:
        """What the routes of an HTTPRoute answer by themselves; 0 for one that goes on to a backend."""
        return [one.get("direct_response", {}).get("status", 0) for one in self.routes(place)]


def aged(objects: list[Object]) -> list[Object]:
    """Each a second younger than the one before it."""
    for number, one in enumerate(objects):
        stamp = {"creationTimestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z", "generation": 3}
        one["metadata"] = {"uid": f"uid-{number}"} | stamp | one["metadata"]
    return objects


def world(*objects: Object, own_gateway: Object | None = None, **described: Any) -> World:
    """A Gateway ``gw``, a Service ``a`` with an endpoint and one ``authz``, and the objects given."""
    base = [
        gateway_class(),
        own_gateway or gateway(PORT),
        namespace("ns"),
        *service("ns", "a", 1001),
        *service("ns", "authz", 1002),
    ]
    everything = aged([*base, *objects])
    made = aged([dict(one) for one in generated_objects(Snapshot(everything)).objects])
    return World(translate(Snapshot([*everything, *made]), Settings(directory=DIRECTORY, ca_file=CA, **described)))
