"""The sample providers answer as the real ones do, and do wrong as they are told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from console.local.samples import faults, source
from console.local.samples.providers import BIG, SLUGS, SampleProviders
from console.local.samples.wire import FORMATS
from console.tls import trusted

TOKEN = "sample-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def samples() -> AsyncIterator[SampleProviders]:
    servers = SampleProviders(token=TOKEN)
    await servers.start()
    yield servers
    await servers.stop()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=BEARER, timeout=20, trust_env=False, verify=trusted()) as opened:
        yield opened


async def get(client: httpx.AsyncClient, samples: SampleProviders, slug: str, **options: Any) -> httpx.Response:
    return await client.get(samples.base_url(slug) + FORMATS[slug].path, **options)


async def test_openrouters_shape(samples: SampleProviders, client: httpx.AsyncClient) -> None:
    answer = await get(client, samples, "openrouter")
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["data"]
    models = {model["id"]: model for model in answer.json()["data"]}
    assert len(models) == 358
    assert models["openai/gpt-4o-mini"]["pricing"]["prompt"] == "0.00000015"  # USD per token, as text
    assert models["openai/gpt-4o-mini"]["architecture"]["modality"] == "text+image+file->text"
    assert models["openrouter/auto"]["pricing"] == {"prompt": "-1", "completion": "-1"}
    assert models["meta-llama/llama-3.3-70b-instruct:free"]["pricing"]["prompt"] == "0"
    assert all(isinstance(price, str) for model in models.values() for price in model["pricing"].values())


async def test_togethers_shape(samples: SampleProviders, client: httpx.AsyncClient) -> None:
    models = {model["id"]: model for model in (await get(client, samples, "together")).json()}  # a bare list
    llama = models["meta-llama/Llama-3.3-70B-Instruct-Turbo"]
    assert (llama["pricing"]["input"], llama["type"], llama["object"]) == (0.88, "chat", "model")  # USD per 1M
    assert models["black-forest-labs/FLUX.1-schnell"]["pricing"]["input"] == 0
    assert {"chat", "image", "embedding", "audio"} <= {model["type"] for model in models.values()}


async def test_deepinfras_shape(samples: SampleProviders, client: httpx.AsyncClient) -> None:
    answer = await get(client, samples, "deepinfra")
    models = {model["model_name"]: model for model in answer.json()}  # a bare list
    glm = models["zai-org/GLM-4.6"]["pricing"]
    assert (glm["cents_per_input_token"], glm["type"]) == (4.3e-05, "tokens")  # cents per token
    assert "4.3e-05" in answer.text  # in the notation that broke the original
    assert models["zai-org/GLM-4.5"]["deprecated"] == 1_751_328_000
    assert models["zai-org/GLM-4.5"]["replaced_by"] == "zai-org/GLM-4.5-next"
    assert {"tokens", "image_units", "input_length", "time"} <= {model["pricing"]["type"] for model in models.values()}


OF_OPENAI = ("openai", "mistral", "deepseek", "xai", "groq", "cerebras", "nebius", "alibaba", "chutes")


@pytest.mark.parametrize("slug", OF_OPENAI)
async def test_openais_shape_is_that_of_many(samples: SampleProviders, client: httpx.AsyncClient, slug: str) -> None:
    answer = (await get(client, samples, slug)).json()
    assert (list(answer), answer["object"]) == (["object", "data"], "list")
    assert all(isinstance(model["id"], str) for model in answer["data"])
    assert len(answer["data"]) == len(samples.models(slug)) > 0


async def test_shapes_of_their_own(samples: SampleProviders, client: httpx.AsyncClient) -> None:
    async def of(slug: str) -> Any:
        return (await get(client, samples, slug)).json()

    xai = {model["id"]: model for model in (await of("xai"))["data"]}
    assert xai["grok-4.20-0309-non-reasoning"]["prompt_text_token_price"] == 12_500  # US cents per 100M tokens
    novita = {model["id"]: model for model in (await of("novita"))["data"]}
    assert novita["baichuan/baichuan-m2-32b"]["input_token_price_per_m"] == 700  # 0.0001 USD per 1M tokens
    near = {model["modelId"]: model for model in (await of("near"))["models"]}
    cost = near["Qwen/Qwen3-30B-A3B-Instruct-2507"]["inputCostPerToken"]
    assert cost == {"amount": 150, "scale": 9, "currency": "USD"}
    helicone = (await of("helicone"))["data"]["models"]
    assert all(model["endpoints"] for model in helicone)
    aihubmix = await of("aihubmix")
    assert (aihubmix["success"], aihubmix["data"][0]["features"]) == (
        True,
        "thinking,tools,function_calling,structured_outputs",
    )
    vercel = {model["id"]: model for model in (await of("vercel-ai-gateway"))["data"]}
    assert vercel["alibaba/qwen-3-14b"]["pricing"]["input"] == "0.00000006"
    assert (await of("fal"))["models"][0]["endpoint_id"] == "fal-ai/flux/dev"
    assert (await of("google-vertex"))["publisherModels"][0]["name"].startswith("publishers/google/models/gemini")


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if FORMATS[slug].pages is not None])
async def test_pages_hold_every_model_once(samples: SampleProviders, client: httpx.AsyncClient, slug: str) -> None:
    form = FORMATS[slug]
    assert form.pages is not None
    url, seen = samples.base_url(slug) + form.path, []
    key = {form.header: form.prefix + TOKEN}
    parameters = {form.pages.size: "3"}
    for _ in range(100):
        answer = await client.get(url, params=parameters, headers=key)
        body = answer.json()
        records = body if isinstance(body, list) else next(value for value in body.values() if isinstance(value, list))
        assert len(records) <= 3
        seen += records
        told = {} if isinstance(body, list) else body
        cursor = (
            told.get("next_cursor") or told.get("last_id") or told.get("nextPageToken") or told.get("next_page_token")
        )
        if form.pages.linked:
            link = answer.links.get("next")
            cursor = httpx.URL(link["url"]).params["cursor"] if link else None
        if cursor is None:
            break
        parameters = {form.pages.size: "3", form.pages.cursor: cursor}
    assert seen == samples.models(slug)


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if FORMATS[slug].needs_token])
async def test_who_wants_a_token_wants_it_in_its_own_header(samples: SampleProviders, slug: str) -> None:
    form = FORMATS[slug]
    url = samples.base_url(slug) + form.path
    async with httpx.AsyncClient(trust_env=False, verify=trusted()) as anybody:
        codes = [
            (await anybody.get(url, headers=headers)).status_code
            for headers in ({}, {form.header: form.prefix + "wrong"}, {form.header: form.prefix + TOKEN})
        ]
    assert codes == [401, 401, 200]


async def test_of_the_three_big_ones_only_together_wants_a_token(samples: SampleProviders) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=trusted()) as anybody:
        codes = [(await get(anybody, samples, slug)).status_code for slug in ("openrouter", "deepinfra", "together")]
        wrong = await get(anybody, samples, "together", headers={"authorization": "Bearer wrong"})
    assert codes == [200, 200, 401]
    assert (wrong.status_code, "wrong" in wrong.text) == (401, True)
    assert [seen.authorized for seen in samples.seen("together")] == [None, False]


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if FORMATS[slug].pages is None])
async def test_etags_and_gzip(samples: SampleProviders, client: httpx.AsyncClient, slug: str) -> None:
    first = await get(client, samples, slug, headers={"accept-encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    plain = await get(client, samples, slug, headers={"accept-encoding": "identity"})
    assert (plain.content, "content-encoding" in plain.headers) == (first.content, False)
    conditional = {"if-none-match": first.headers["etag"]}
    assert (await get(client, samples, slug, headers=conditional)).status_code == 304
    samples.remove(slug, source.real_models(slug)[0].id)
    again = await get(client, samples, slug, headers=conditional)
    assert (again.status_code, again.headers["etag"] != first.headers["etag"]) == (200, True)


async def test_lists_can_be_edited_and_restored(samples: SampleProviders, client: httpx.AsyncClient) -> None:
    name = "zai-org/GLM-4.6"
    samples.reprice("deepinfra", name, "2.5")
    samples.change("deepinfra", name, description="new")
    samples.remove("deepinfra", "zai-org/GLM-5")
    samples.add("deepinfra", None, {"x": 1})
    answer = (await get(client, samples, "deepinfra")).json()
    models = {model["model_name"]: model for model in answer[:-2]}
    assert answer[-2:] == [None, {"x": 1}]
    assert models[name]["pricing"]["cents_per_input_token"] == 0.0001075
    assert (models[name]["description"], "zai-org/GLM-5" in models) == ("new", False)
    samples.restore("deepinfra")
    assert (await get(client, samples, "deepinfra")).json() == samples.models("deepinfra")
    assert len(samples.models("deepinfra")) == 44


async def test_more_models_than_there_are_follow_from_the_real_ones() -> None:
    servers = SampleProviders(token=TOKEN, models=3_001)
    lists = {slug: servers.models(slug) for slug in BIG}
    assert sum(len(found) for found in lists.values()) == 3_001
    for slug, found in lists.items():
        ids = [record.get("id") or record["model_name"] for record in found]
        assert len(set(ids)) == len(ids)
        assert ids[: len(source.real_models(slug))] == [model.id for model in source.real_models(slug)]
    again = SampleProviders(token=TOKEN, models=3_001)
    assert {slug: again.models(slug) for slug in BIG} == lists
    assert servers.models("groq") == SampleProviders(token=TOKEN).models("groq")
    copies = [record for record in lists["openrouter"] if record["id"].endswith(":free")]
    assert any("-0001:free" in record["id"] for record in copies)  # the mark stays at the end


async def test_faults(samples: SampleProviders, client: httpx.AsyncClient) -> None:
    async def broken(fault: faults.Fault) -> httpx.Response:
        samples.fault("openrouter", fault)
        return await get(client, samples, "openrouter")

    limited = await broken(faults.Status(429, "7", times=1))
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert (await get(client, samples, "openrouter")).status_code == 200  # it has healed
    assert (await broken(faults.Html())).text.startswith("<!doctype html>")
    with pytest.raises(json.JSONDecodeError):
        (await broken(faults.Truncated())).json()
    assert (await broken(faults.Empty())).json() == {"data": []}
    assert (await broken(faults.NothingAtAll())).content == b""
    assert (await broken(faults.Redirect("/elsewhere"))).headers["location"] == "/elsewhere"
    assert TOKEN in (await broken(faults.WrongToken())).text
    with pytest.raises(httpx.RemoteProtocolError):
        await broken(faults.BrokenOff())


async def test_an_endless_answer_ends_with_its_reader_and_with_the_server(client: httpx.AsyncClient) -> None:
    samples = SampleProviders(token=TOKEN)
    await samples.start()
    samples.fault("deepinfra", faults.Endless())
    url = samples.base_url("deepinfra") + FORMATS["deepinfra"].path
    async with client.stream("GET", url) as answer:
        read = 0
        async for piece in answer.aiter_raw():
            read += len(piece)
            if read > 300_000:
                break
    async with client.stream("GET", url) as answer:
        assert await anext(answer.aiter_raw())
        await samples.stop()
    with pytest.raises(httpx.ConnectError):
        await client.get(url)


async def test_a_slow_answer_can_be_released(samples: SampleProviders, client: httpx.AsyncClient) -> None:
    import asyncio

    from tests.support.waiting import until

    samples.fault("deepinfra", faults.Slow(60))
    asking = asyncio.create_task(get(client, samples, "deepinfra"))
    await until(lambda: samples.seen("deepinfra"))
    samples.release()
    assert (await asking).status_code == 200
    assert (await client.get(f"http://127.0.0.1:{samples.port}/health")).json() == {"status": "ok"}
