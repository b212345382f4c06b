"""The Catalog by keys alone: history, decisions, the same model elsewhere, what is searched in descriptions."""

from __future__ import annotations

from tests.support.waiting import until
from widgets.form import Form

from .conftest import GPT, SMALL, Opens


async def test_when_a_price_changed_is_a_key_away(opened: Opens) -> None:
    async with opened(SMALL) as operator:
        await operator.synced("openrouter")
        operator.samples.reprice("openrouter", GPT, "2")
        await operator.synced("openrouter")
        await operator.finds(f'provider:openrouter "{GPT}"', "3 of 358")
        await until(lambda: operator.table.rows)
        number = (await operator.ask("models.show", model=f"openrouter/{GPT}")).data["number"]
        operator.table.move_to(number)
        await operator.press("h")
        await operator.sees(f"What changed of openrouter/{GPT}", "price.input", "$0.15/1M → $0.3/1M")
        await operator.press("escape")
        await operator.sees("MODEL▲")
        assert operator.table.cursor_key == number


async def test_what_we_decide_survives_every_sync(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("groq")
        await operator.finds("provider:groq llama-3.1-8b", "1 of 27")
        await operator.press("o")
        await operator.sees("What we decide about groq/llama-3.1-8b-instant", "$ per 1M tokens")
        form = operator.app.screen.query_one(Form)
        form.set_value("pin", "yes")
        form.set_value("price.input", "0.031")
        form.set_value("note", "agreed with the provider")
        await operator.press("ctrl+s")
        await operator.sees("• pinned", "0.031", "ours, in place of the provider's", "agreed with the provider")

        operator.samples.reprice("groq", "llama-3.1-8b-instant", "2")
        await operator.synced("groq")
        await operator.press("o")
        await operator.sees("What we decide about")
        form = operator.app.screen.query_one(Form)
        assert (form.values["pin"], form.values["price.input"]) == ("yes", "0.031")
        assert form.values["note"] == "agreed with the provider"
        # And given back, it is the provider's again.
        form.set_value("price.input", "")
        form.set_value("note", "")
        await operator.press("ctrl+s")
        await operator.sees_no("ours, in place of")
        await operator.sees_no("agreed with the provider")
        shown = (await operator.ask("models.show", model="groq/llama-3.1-8b-instant")).data
        assert (shown["pinned"], shown["note"], shown["prices"]) == (True, "", {}), "groq tells no prices"


async def test_a_form_that_is_left_as_it_is_changes_nothing(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("groq")
        await operator.finds("provider:groq llama-3.1-8b", "1 of 27")
        await operator.press("o")
        await operator.sees("What we decide about")
        jobs = len(operator.app.bridge.jobs)
        await operator.press("ctrl+s")
        await until(lambda: any("nothing is otherwise" in told.message for told in operator.app._notifications))
        assert len(operator.app.bridge.jobs) == jobs


async def test_a_price_that_is_none_is_said_at_its_field(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("groq")
        await operator.finds("provider:groq llama-3.1-8b", "1 of 27")
        await operator.press("o")
        await operator.sees("What we decide about")
        operator.app.screen.query_one(Form).set_value("price.input", "cheap")
        await operator.press("ctrl+s")
        await operator.sees("an amount in USD, as in 0.59")


async def test_hidden_models_are_left_out_until_a_key_asks_for_them(opened: Opens) -> None:
    async with opened(SMALL) as operator:
        await operator.synced("groq")
        await operator.finds("llama-3.1-8b", "1 of 27")
        await operator.press("o")
        await operator.sees("What we decide about")
        operator.app.screen.query_one(Form).set_value("hide", "yes")
        await operator.press("ctrl+s")
        await operator.sees("1 hidden or retired: v shows them", "0 of 26")
        await operator.press("v")
        await operator.sees("any llama-3.1-8b", "○ hidden", "1 of 27")
        await operator.press("v")
        await operator.sees("0 of 26")
        await operator.press("escape")
        await operator.sees("26 models")


async def test_the_same_model_is_compared_by_price_and_gone_to(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("openrouter", "deepinfra", "groq", "together")
        await operator.finds("provider:together llama-3.3-70b -free", "1 of")
        here = operator.table.cursor_key
        await operator.press("m")
        await operator.sees("at every provider", "IN $/M▲")
        offers = operator.table
        await until(lambda: len(offers.rows) > 1)
        prices = [str(offers.rows.cells(at)[1]) for at in range(len(offers.rows))]
        known = [float(price) for price in prices if price.replace(".", "").isdecimal()]
        assert known == sorted(known)
        await operator.press("f")
        await operator.sees("key:llama-3-3-70b")
        await operator.press("m")
        await operator.sees("at every provider")
        await until(lambda: len(operator.table.rows) > 1)
        await operator.press("g", "enter")
        await until(lambda: operator.app.screen is operator.view)
        cheapest = str(offers.rows.key(0))
        number = (await operator.ask("models.show", model=cheapest)).data["number"]
        await until(lambda: operator.table.cursor_key == number)
        assert number != here


async def test_going_to_an_offer_that_the_filter_leaves_out_opens_the_filter(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("openrouter", "deepinfra", "groq", "together")
        await operator.finds("provider:together llama-3.3-70b -free", "1 of")
        await operator.press("m")
        await until(lambda: operator.app.screen is not operator.view and len(operator.table.rows) > 1)
        await operator.press("g")
        cheapest = str(operator.table.cursor_key)
        assert not cheapest.startswith("together/")
        await operator.press("enter")
        number = (await operator.ask("models.show", model=cheapest)).data["number"]
        await until(lambda: operator.app.screen is operator.view and operator.table.cursor_key == number)


async def test_descriptions_are_searched_in_the_database(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("openrouter", "groq")
        total = (await operator.ask("models.search", query="about:reasoning", limit=1)).data["total"]
        assert total > 1
        await operator.finds("about:reasoning", f"{total} of 385")
        await operator.sees("descriptions are searched in the database; at most 1,000 are shown")
        assert len(operator.table.rows) == total
        await operator.press("s", "s")
        await operator.sees("CTX▲")
        await operator.press("slash", "'xyzzy", "enter")
        await operator.sees("no description has these words")
        await operator.press("escape")
        await operator.sees("385 models")
        assert "searched in the database" not in operator.screen


async def test_an_answer_that_comes_too_late_is_not_shown(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("openrouter", "groq")
        await operator.press("2")
        await operator.sees("385 models")
        await operator.press("slash", "'about:reasoning", *["backspace"] * 15, "'provider:groq", "enter")
        await operator.sees("27 of 385")
        await operator.pilot.pause(0.3)
        assert len(operator.table.rows) == 27


async def test_sorting_keeps_the_row_of_the_cursor(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("openrouter")
        await operator.press("2")
        await operator.sees("358 models")
        await operator.press(*["down"] * 7)
        before = operator.table.cursor_key
        for heading in ("PROVIDER▲", "CTX▲", "IN $/M▲"):
            await operator.press("s")
            await operator.sees(heading)
            assert operator.table.cursor_key == before
        await operator.press("S")
        await operator.sees("IN $/M▼")
        assert operator.table.cursor_key == before


async def test_several_ids_are_copied_at_once(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("groq")
        await operator.finds("provider:groq llama-3", "of 27")
        copied: list[str] = []
        operator.app.copy_text = lambda text, what: copied.append(f"{what}: {text}")  # type: ignore[method-assign]
        await operator.press("space", "space", "c")
        await until(lambda: copied)
        what, _, ids = copied[0].partition(": ")
        assert what == "2 model ids"
        assert [line.startswith("groq/") for line in ids.splitlines()] == [True, True]


async def test_a_filter_that_finds_nothing_says_what_to_do(opened: Opens) -> None:
    async with opened() as operator:
        await operator.press("2")
        await operator.sees("the catalog is empty: R syncs it")
        await operator.press("7")
        await operator.synced("groq")
        await operator.finds("no-such-model", "0 of 27")
        await operator.sees("no model is like that: esc shows all")
        await operator.press("escape")
        await operator.sees("27 models")
