"""The providers that can be synced, by slug and by what else they are called."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Iterable

from console.catalog.provider_names import ALIASES, SLUGS, slug_of
from console.outcome import Refusal
from console.sync.providers.base import ProviderSpec


@functools.cache
def all_specs() -> dict[str, ProviderSpec]:
    """Every provider by its slug."""
    return {slug: _declared(slug) for slug in SLUGS}


def find(name: str) -> ProviderSpec | None:
    """The provider with this slug or alias, in whatever case; None where there is none."""
    return all_specs().get(slug_of(name))


def spec(name: str) -> ProviderSpec:
    """The provider with this slug or alias.

    Raises:
        Refusal: UNKNOWN_PROVIDER (404), with the nearest names.
    """
    found = find(name)
    if found is None:
        near = difflib.get_close_matches(name.lower(), (*SLUGS, *ALIASES), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f": it is one of {', '.join(SLUGS)}"
        raise Refusal(f"there is no provider {name!r}{hint}", code="UNKNOWN_PROVIDER", status=404)
    return found


def specs(names: Iterable[str] = ()) -> tuple[ProviderSpec, ...]:
    """The named providers, each once; all of them where none is named. Raises as `spec` does."""
    chosen = {spec(name).slug: spec(name) for name in names}
    return tuple(chosen.values()) or tuple(all_specs().values())


def _declared(slug: str) -> ProviderSpec:
    found: ProviderSpec = importlib.import_module(f"{__name__}.{slug.replace('-', '_')}").SPEC
    if found.slug != slug:
        raise ValueError(f"the provider in {slug}.py calls itself {found.slug}")
    return found
