"""The providers that can be synced, by slug and by what else they are called."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Iterable

from console.outcome import Refusal
from console.sync.providers.base import ProviderSpec

# In the order in which they are shown. A provider's module is called as its slug, with _ for -.
SLUGS = (
    "openrouter",
    "together",
    "deepinfra",
    "openai",
    "anthropic",
    "google-vertex",
    "mistral",
    "deepseek",
    "xai",
    "cohere",
    "groq",
    "cerebras",
    "fireworks",
    "nebius",
    "novita",
    "alibaba",
    "huggingface",
    "featherless",
    "chutes",
    "near",
    "aimo",
    "vercel-ai-gateway",
    "helicone",
    "aihubmix",
    "anannas",
    "fal",
)


@functools.cache
def all_specs() -> dict[str, ProviderSpec]:
    """Every provider by its slug."""
    return {slug: _declared(slug) for slug in SLUGS}


def find(name: str) -> ProviderSpec | None:
    """The provider with this slug or alias, in whatever case; None where there is none."""
    slug = _names().get(name.strip().lower())
    return all_specs()[slug] if slug is not None else None


def spec(name: str) -> ProviderSpec:
    """The provider with this slug or alias.

    Raises:
        Refusal: UNKNOWN_PROVIDER (404), with the nearest names.
    """
    found = find(name)
    if found is None:
        near = difflib.get_close_matches(name.lower(), _names(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f": it is one of {', '.join(SLUGS)}"
        raise Refusal(f"there is no provider {name!r}{hint}", code="UNKNOWN_PROVIDER", status=404)
    return found


def specs(names: Iterable[str] = ()) -> tuple[ProviderSpec, ...]:
    """The named providers, each once; all of them where none is named. Raises as `spec` does."""
    chosen = {spec(name).slug: spec(name) for name in names}
    return tuple(chosen.values()) or tuple(all_specs().values())


@functools.cache
def _names() -> dict[str, str]:
    return {name: slug for slug, found in all_specs().items() for name in (slug, *found.aliases)}


def _declared(slug: str) -> ProviderSpec:
    found: ProviderSpec = importlib.import_module(f"{__name__}.{slug.replace('-', '_')}").SPEC
    if found.slug != slug:
        raise ValueError(f"the provider in {slug}.py calls itself {found.slug}")
    return found
