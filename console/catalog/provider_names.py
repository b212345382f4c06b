"""What providers are called: the slug of each that can be synced, and its other names.

The providers' own modules (console/sync/providers) say it first, and a test holds the two together; the catalog lies
below them, and reads a query without loading any of them.
"""

from __future__ import annotations

ALIASES: dict[str, str] = {
    "togetherai": "together",
    "together-ai": "together",
    "deep-infra": "deepinfra",
    "open-ai": "openai",
    "claude": "anthropic",
    "google": "google-vertex",
    "vertex": "google-vertex",
    "vertex-ai": "google-vertex",
    "google-vertex-ai": "google-vertex",
    "mistralai": "mistral",
    "mistral-ai": "mistral",
    "deep-seek": "deepseek",
    "x-ai": "xai",
    "grok": "xai",
    "fireworks-ai": "fireworks",
    "fireworksai": "fireworks",
    "nebius-ai": "nebius",
    "tokenfactory": "nebius",
    "novita-ai": "novita",
    "novitaai": "novita",
    "alibaba-cloud": "alibaba",
    "dashscope": "alibaba",
    "hug": "huggingface",
    "hf": "huggingface",
    "hugging-face": "huggingface",
    "featherless-ai": "featherless",
    "chutes-ai": "chutes",
    "near-ai": "near",
    "nearai": "near",
    "aimo-network": "aimo",
    "vercel": "vercel-ai-gateway",
    "ai-gateway": "vercel-ai-gateway",
    "helicone-ai": "helicone",
    "ai-hub-mix": "aihubmix",
    "anannas-ai": "anannas",
    "fal-ai": "fal",
    "falai": "fal",
}
"""The slug by the other name."""

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


def slug_of(name: str) -> str:
    """The slug of a provider by any of its names, in whatever case; what is nobody's name stays as it is."""
    plain = name.strip().lower()
    return ALIASES.get(plain, plain)
