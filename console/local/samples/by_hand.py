"""Sample models that neither source of real data lists: the names are real, the prices are examples."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from console.local.samples.source import SampleModel

_DAY = datetime(2024, 8, 1, tzinfo=UTC)


def _prices(per_1m_input: str, per_1m_output: str) -> dict[str, Decimal]:
    return {"input": Decimal(per_1m_input), "output": Decimal(per_1m_output)}


MODELS: dict[str, tuple[SampleModel, ...]] = {
    "together": (
        SampleModel("black-forest-labs/FLUX.1-schnell", "FLUX.1 [schnell]", outputs=("image",), kind="image"),
        SampleModel(
            "BAAI/bge-large-en-v1.5",
            "BGE-Large-EN v1.5",
            context=512,
            kind="embedding",
            prices={"input": Decimal("0.02")},
        ),
        SampleModel("cartesia/sonic-2", "Cartesia Sonic 2", outputs=("audio",), kind="audio"),
        SampleModel(
            "meta-llama/Llama-3.3-70B-Instruct-Turbo-Free",
            "Meta Llama 3.3 70B Instruct Turbo Free",
            context=131_072,
            prices={"input": Decimal(0), "output": Decimal(0)},
        ),
    ),
    "deepinfra": (
        SampleModel(
            "BAAI/bge-m3",
            "bge-m3",
            context=8_192,
            kind="embeddings",
            pricing={"type": "input_tokens", "cents_per_input_token": 1e-6},
        ),
        SampleModel(
            "black-forest-labs/FLUX-1-schnell",
            "FLUX-1-schnell",
            kind="text-to-image",
            pricing={
                "type": "image_units",
                "cents_per_image_unit": 0.05,
                "default_width": 1024,
                "default_height": 1024,
                "default_iterations": 1,
                "usage_from_cost": False,
            },
        ),
        SampleModel(
            "hexgrad/Kokoro-82M",
            "Kokoro-82M",
            kind="text-to-speech",
            pricing={"type": "input_character_length", "cents_per_input_chars": 6.2e-05},
        ),
        SampleModel(
            "openai/whisper-large-v3",
            "whisper-large-v3",
            kind="automatic-speech-recognition",
            pricing={"type": "input_length", "cents_per_input_sec": 0.00075},
        ),
        SampleModel(
            "stabilityai/stable-diffusion-2-1",
            "stable-diffusion-2-1",
            kind="text-to-image",
            deprecated=True,
            pricing={"type": "time", "cents_per_sec": 0.05},
        ),
    ),
    "xai": (
        SampleModel("grok-imagine-image-pro", "Grok Imagine Image Pro", outputs=("image",), pricing={"image_price": 7}),
    ),
    "mistral": (SampleModel("mistral-tiny", "Mistral Tiny", context=32_768, deprecated=True),),
    "cohere": (
        SampleModel("embed-v4.0", "Embed v4.0", ("text", "image"), ("embedding",), 128_000, kind="embedding"),
        SampleModel("rerank-v3.5", "Rerank v3.5", context=4_096, kind="rerank", deprecated=True),
    ),
    "fireworks": (
        SampleModel(
            "accounts/fireworks/models/flux-1-schnell-fp8",
            "FLUX.1 [schnell] FP8",
            outputs=("image",),
            kind="FLUMINA_BASE_MODEL",
        ),
        SampleModel(
            "accounts/fireworks/models/qwen3-embedding-8b", "Qwen3 Embedding 8B", context=40_960, kind="EMBEDDING_MODEL"
        ),
    ),
    "huggingface": (
        SampleModel("BAAI/bge-m3", "bge-m3", released=_DAY, kind="feature-extraction"),
        SampleModel("black-forest-labs/FLUX.1-schnell", "FLUX.1-schnell", released=_DAY, kind="text-to-image"),
        SampleModel("facebook/bart-large-mnli", "bart-large-mnli", released=_DAY, kind="zero-shot-classification"),
        SampleModel("openai/whisper-large-v3", "whisper-large-v3", released=_DAY, kind="automatic-speech-recognition"),
    ),
    "vercel-ai-gateway": (
        SampleModel("bfl/flux-2-pro", "FLUX.2 [pro]", outputs=("image",), pricing={"image": "0.03"}),
    ),
    "aihubmix": (
        SampleModel(
            "jimeng-3.0", "Jimeng 3.0", outputs=("image",), kind="image_generation", pricing={"input": 2, "output": 2}
        ),
        SampleModel(
            "text-embedding-3-small",
            "text-embedding-3-small",
            context=8_192,
            kind="embedding",
            prices={"input": Decimal("0.02")},
        ),
    ),
    "featherless": (
        SampleModel("mistralai/Mistral-Nemo-Instruct-2407", "Mistral-Nemo-Instruct-2407", context=32_768, tools=True),
        SampleModel("NousResearch/Hermes-3-Llama-3.1-8B", "Hermes-3-Llama-3.1-8B", context=16_384),
        SampleModel("Qwen/Qwen2.5-72B-Instruct", "Qwen2.5-72B-Instruct", context=16_384, tools=True, kind="qwen25-72b"),
        SampleModel("Sao10K/L3-8B-Stheno-v3.2", "L3-8B-Stheno-v3.2", context=8_192),
        SampleModel("unsloth/phi-4", "phi-4", kind="phi4-16k"),
    ),
    "aimo": (
        SampleModel("deepseek-r1", "DeepSeek R1", context=163_840, prices=_prices("0.55", "2.19")),
        SampleModel("gpt-oss-120b", "GPT OSS 120B", context=131_072, tools=True, prices=_prices("0.1", "0.5")),
        SampleModel(
            "qwen2.5-vl-72b", "Qwen2.5 VL 72B", ("text", "image"), context=32_768, prices=_prices("0.25", "0.75")
        ),
        SampleModel("whisper-large", "Whisper Large", ("audio",), ("text",)),
    ),
    "anannas": (
        SampleModel(
            "anthropic/claude-sonnet-4-5", "Claude Sonnet 4.5", context=200_000, tools=True, prices=_prices("3", "15")
        ),
        SampleModel("openai/gpt-4o-mini", "GPT-4o mini", context=128_000, tools=True, prices=_prices("0.15", "0.6")),
        SampleModel("openai/gpt-5-mini", "GPT-5 Mini", context=400_000, reasoning=True, prices=_prices("0.25", "2")),
        SampleModel("x-ai/grok-2", "Grok 2", context=131_072, prices=_prices("0", "0")),
    ),
    "fal": (
        SampleModel("fal-ai/flux/dev", "FLUX.1 [dev]", released=_DAY, kind="text-to-image"),
        SampleModel("fal-ai/flux/schnell", "FLUX.1 [schnell]", released=_DAY, kind="text-to-image"),
        SampleModel("fal-ai/flux-lora-fast-training", "Train FLUX LoRA", released=_DAY, kind="training"),
        SampleModel(
            "fal-ai/kling-video/v2/master/text-to-video", "Kling 2.0 Master", released=_DAY, kind="text-to-video"
        ),
        SampleModel("fal-ai/minimax/video-01/image-to-video", "MiniMax Video 01", released=_DAY, kind="image-to-video"),
        SampleModel("fal-ai/playai/tts/v3", "PlayAI TTS v3", released=_DAY, kind="text-to-speech"),
        SampleModel("fal-ai/stable-diffusion-v15", "Stable Diffusion v1.5", deprecated=True, kind="text-to-image"),
        SampleModel("fal-ai/whisper", "Whisper", released=_DAY, kind="speech-to-text"),
    ),
}
