"""What the services would answer to a console, in the shapes that they answer with: a small gateway at 02:44.

tests/e2e/console/test_shapes.py holds these shapes against those of the real services.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from console.catalog.completion import Vocabulary
from console.config import Profile
from console.outcome import Ending, Outcome, Refusal
from tests.support.console import Script, live
from tests.support.world.catalog import MODELS, VOCABULARY, compare_model, show_model
from tests.support.world.common import LOST, listed, moment
from tests.support.world.gateway import (
    ACCESS,
    AUDIT,
    BAD_SYNCS,
    CALM,
    EVENTS,
    LINK,
    LOST_LINK,
    NOTHING,
    OVERVIEW,
    PROVIDERS,
    SYNCS,
    about,
    due,
    health,
)
from tests.support.world.keys import KEYS, issued, list_keys, show_key
from tests.support.world.publications import (
    DRIFT,
    PUBLISH_DONE,
    PUBLISH_FAILED,
    PUBLISHED,
    PUBLISHING,
    REMOVAL,
    REPAIR,
    docs,
    plan,
    steps,
)
from tests.support.world.usage import no_usage, usage

__all__ = [
    "KEYS",
    "LOST",
    "MODELS",
    "PUBLISHED",
    "PUBLISH_DONE",
    "PUBLISH_FAILED",
    "REPAIR",
    "broken",
    "empty",
    "issued",
    "list_keys",
    "listed",
    "prod",
    "show_key",
    "steps",
    "usage",
    "world",
]


def world(**changes: Any) -> Script:
    """All is well."""
    script = Script(
        Profile(name="local", database="sqlite:////none"),
        {
            "overview": Outcome(Ending.DONE, "nothing needs anybody", data=CALM),
            "status": Outcome(Ending.DONE, "all parts are well", data=list(health().rows)),
            "published": listed(PUBLISHED),
            "tenants.list": listed(
                [
                    {
                        "name": name,
                        "published": 1,
                        "max_published": None,
                        "publications": "1",
                        "keys": 3,
                        "max_keys": 20,
                        "keys_used": "3/20",
                        "max_rpm": None,
                        "problem": "",
                        "state": "active",
                        "created_at": moment(days=80),
                    }
                    for name in ("acme", "globex")
                ]
            ),
            "keys.list": list_keys,
            "keys.show": show_key,
            "sync.status": listed(SYNCS),
            "sync.schedule": listed([due(provider) for provider in PROVIDERS]),
            "sync.providers": listed([about(provider, models) for provider, models in PROVIDERS.items()]),
            "sync.held": listed([]),
            "access.status": Outcome(Ending.DONE, "2 workers", data=ACCESS),
            "audit": listed(AUDIT),
            "usage": usage,
            "budgets.list": listed([]),
            "models.show": show_model,
            "models.compare": compare_model,
            "publish": plan,
            "update": Outcome(Ending.UNCHANGED, REPAIR.title, data=replace(REPAIR, changes=REPAIR.changes[:1])),
            "publications.repair": Outcome(
                Ending.UNCHANGED, REPAIR.title, data=replace(REPAIR, changes=REPAIR.changes[:1])
            ),
            "publications.docs": docs,
            "unpublish": Outcome(Ending.DONE, REMOVAL.title, data=REMOVAL),
        },
        rows=MODELS,
        vocabulary=VOCABULARY,
        live=live(EVENTS, link=LINK, health=health()),
    )
    return replace(script, **changes)


def empty() -> Script:
    """A gateway that nobody has used yet."""
    none = listed([])
    script = world(rows=(), vocabulary=Vocabulary(), live=live(link=LINK, health=health()))
    script.answers |= dict.fromkeys(("published", "tenants.list", "keys.list", "sync.status", "audit"), none)
    script.answers["overview"] = Outcome(Ending.DONE, "nothing needs anybody", data=NOTHING)
    script.answers["usage"] = no_usage
    return script


def broken() -> Script:
    """Redis is lost, the gateway is down, and what can be wrong is."""
    down = health(redis="Redis does not answer at redis://valkey.internal:6379/0",
                  gateway="https://llm.example.com does not answer: ConnectError")  # fmt: skip
    script = world(rows=LOST, live=live(EVENTS, link=LOST_LINK, health=down))
    script.answers |= dict.fromkeys(("keys.list", "audit", "tenants.list", "usage"), LOST)
    script.answers |= {
        "overview": Outcome(Ending.PARTIAL, "not known: keys", data=OVERVIEW | {"keys": None}),
        "published": listed([*PUBLISHED, DRIFT, PUBLISHING]),
        "sync.status": listed(BAD_SYNCS),
        "publish": Refusal(
            "the cluster has no GatewayClass eg; nothing was changed", code="NO_GATEWAY", then="modeldeck status"
        ),
    }
    return script


def prod(*, armed: float | None = 0.0, read_only: bool = False) -> Script:
    """A protected profile."""
    script = world(profile=Profile(name="prod", protected=True, read_only=read_only), armed=armed)
    script.answers["overview"] = Outcome(Ending.DONE, "5 need somebody", data=OVERVIEW)
    script.answers["published"] = listed([*PUBLISHED, DRIFT])
    return script
