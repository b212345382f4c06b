"""What the audit and a second operator are told of publications: which name, what was changed, and who is at work."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest

from console.actions import REGISTRY
from console.actions.commands import read_command
from console.actions.perform import perform
from console.audit import AuditRow
from console.guard import LOCAL, Principal, Role
from console.operations.types import Progress, StepState
from console.outcome import Ending
from console.publishing import book
from console.publishing.types import PublicationState
from console.rendering import data_text
from tests.support.stack import ADMIN, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
GLOBEX = Principal("joe", Role.PUBLISHER, frozenset({"globex"}), "cli", LOCAL)


async def newest(stack: Running, action: str) -> AuditRow:
    (row,) = await (await stack.services.audit()).recent(1, action=action)
    return row


async def test_the_life_of_a_publication_in_the_audit_and_for_others(stack: Running) -> None:
    assert (await stack.publish("twx", rpm=60)).ending is Ending.DONE
    row = await newest(stack, "publish")
    assert (row.target, row.detail["name"]) == ("deepinfra/meta-llama/Llama-3.1-8B-Instruct", "twx")
    found = (await stack.do("audit", match="publish twx")).data
    assert row.as_json() in found

    changed = await stack.do("update", name="twx", rpm=600, who=dataclasses.replace(ADMIN, origin=LOCAL))
    assert changed.data["changed"] == ["limits.requests_per_minute 60 → 600"]
    row = await newest(stack, "update")
    assert (row.actor, row.origin, row.tenant) == (ADMIN.name, LOCAL, "acme")
    assert row.detail["changed"] == ["limits.requests_per_minute 60 → 600"]
    assert "name" not in row.detail, "it is the target"
    (operation,) = await (await stack.services.journal()).recent(1)
    assert operation.actor == ADMIN.name, "of this machine no address is told"
    lifted = await stack.do("update", name="twx", no=["rpm"])
    assert lifted.data["changed"] == ["limits.requests_per_minute 600 → none"]

    lines = await perform(stack.services, REGISTRY["audit"], {"action": "update", "lines": True}, ADMIN)
    told = data_text(REGISTRY["audit"], lines.data).splitlines()
    assert [json.loads(line)["seq"] for line in told] == sorted(json.loads(line)["seq"] for line in told)
    assert json.loads(told[-1]) == (await newest(stack, "update")).as_json()
    action, given = read_command("audit verify")
    verified = await stack.do(action.id, **given)
    assert verified.ending is Ending.DONE
    assert verified.summary.startswith("the chain of")

    # What another tenant has published: that the name is taken, and no more.
    refused = await stack.publish("twx", tenant="globex", who=GLOBEX)
    assert (refused.ending, refused.code) == (Ending.REFUSED, "ALREADY_PUBLISHED")
    assert refused.summary == "the name twx is taken; nothing was changed"
    row = await newest(stack, "publish")
    assert (row.outcome, row.detail["name"], row.tenant) == ("refused", "twx", "globex")

    # One whose operation is not over.
    publication, _, _ = await book.read(await stack.services.store(), "twx")
    store = await stack.services.store()
    await book.set_state(store, publication.id, PublicationState.PUBLISHING)
    busy = await stack.publish("twx")
    assert (busy.ending, busy.status, busy.code) == (Ending.REFUSED, 409, "OPERATION_UNDER_WAY"), busy
    assert f"twx is publishing by {ADMIN.name}" in busy.summary
    assert " since " in busy.summary
    assert "operations show" in busy.then
    await book.set_state(store, publication.id, PublicationState.READY)

    assert (await stack.do("unpublish", name="twx")).ending is Ending.DONE
    assert (await newest(stack, "unpublish")).tenant == "acme"


async def test_the_second_of_two_who_publish_one_name_is_told_of_the_first(stack: Running) -> None:
    begun = asyncio.Event()

    def emit(item: object) -> None:
        if isinstance(item, Progress) and item.state is StepState.TAKEN:
            begun.set()

    first = asyncio.create_task(stack.publish("both", emit=emit))
    await asyncio.wait_for(begun.wait(), 20)
    second = await stack.publish("both", who=Principal("second", Role.ADMIN))
    assert (second.ending, second.code) == (Ending.REFUSED, "OPERATION_UNDER_WAY"), second
    assert ADMIN.name in second.summary
    assert " since " in second.summary
    assert (await first).ending is Ending.DONE
