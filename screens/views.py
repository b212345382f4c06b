"""The views of the console: the key that opens each, and where its screen is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screens.frame import DeckScreen


@dataclass(frozen=True, slots=True)
class View:
    """One view. ``screen`` is an import string, so that only what is looked at is loaded."""

    key: str
    name: str
    title: str
    screen: str

    def make(self) -> DeckScreen:
        module, _, name = self.screen.partition(":")
        made: DeckScreen = getattr(importlib.import_module(module), name)()
        return made

    @property
    def factory(self) -> Callable[[], DeckScreen]:
        return self.make


VIEWS = (
    View("1", "overview", "Overview", "screens.overview:OverviewScreen"),
    View("2", "catalog", "Catalog", "screens.catalog:CatalogScreen"),
    View("3", "publish", "Publish", "screens.publish:PublishScreen"),
    View("4", "published", "Published", "screens.published:PublishedScreen"),
    View("5", "keys", "Keys", "screens.keys:KeysScreen"),
    View("6", "feed", "Feed", "screens.feed:FeedScreen"),
    View("7", "sync", "Sync", "screens.sync:SyncScreen"),
    View("8", "audit", "Audit", "screens.audit:AuditScreen"),
    View("9", "access", "Access", "screens.access:AccessScreen"),
    View("0", "usage", "Usage", "screens.usage:UsageScreen"),
)
