"""What providers are called: the slug of each that can be synced, and its other names.

Here and not beside the rest of what is declared of each (console/sync/providers), for the catalog lies below that and
reads a query without loading any of it.
"""

from __future__ import annotations

# In the order in which they are shown. A provider's module is called as its slug, with _ for -.
NAMES: dict[str, tuple[str, ...]] = {
    "openrouter": (),
    "together": ("togetherai", "together-ai"),
    "deepinfra": ("deep-infra",),
    "openai": ("open-ai",),
    "anthropic": ("claude",),
    "google-vertex": ("google", "vertex", "vertex-ai", "google-vertex-ai"),
    "mistral": ("mistralai", "mistral-ai"),
    "deepseek": ("deep-seek",),
    "xai": ("x-ai", "grok"),
    "cohere": (),
    "groq": (),
    "cerebras": (),
    "fireworks": ("fireworks-ai", "fireworksai"),
    "nebius": ("nebius-ai", "tokenfactory"),
    "novita": ("novita-ai", "novitaai"),
    "alibaba": ("alibaba-cloud", "dashscope"),
    "huggingface": ("hug", "hf", "hugging-face"),
    "featherless": ("featherless-ai",),
    "chutes": ("chutes-ai",),
    "near": ("near-ai", "nearai"),
    "aimo": ("aimo-network",),
    "vercel-ai-gateway": ("vercel", "ai-gateway"),
    "helicone": ("helicone-ai",),
    "aihubmix": ("ai-hub-mix",),
    "anannas": ("anannas-ai",),
    "fal": ("fal-ai", "falai"),
}
SLUGS = tuple(NAMES)
ALIASES = {other: slug for slug, others in NAMES.items() for other in others}
"""The slug by the other name."""


def slug_of(name: str) -> str:
    """The slug of a provider by any of its names, in whatever case; what is nobody's name stays as it is."""
    plain = name.strip().lower()
    return ALIASES.get(plain, plain)
