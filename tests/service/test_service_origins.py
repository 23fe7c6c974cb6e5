"""Where memory comes from: each sentence of a block and each passage, to the message it came after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from agent_bench import Bench
from documents import pdf

from letta_kernel.agent.decisions import Decision
from letta_kernel.ids import now
from letta_kernel.memory.attribution import attribute
from letta_kernel.memory.origins import Sentence
from letta_kernel.records import BlockVersion, Passage
from letta_kernel.service import blocks
from letta_kernel.store import passages


@pytest.fixture(autouse=True)
def ada(bench: Bench) -> None:
    bench.service.agents.create("ada")


def _said(bench: Bench, text: str, *calls: tuple[str, dict[str, str]]) -> None:
    bench.server.calls(list(calls), ids=[f"call-{n}-{text[:8]}" for n in range(len(calls))])
    bench.server.say("Noted.")
    bench.send("ada", text)


def _origins(bench: Bench, label: str = "human") -> dict[str, Sentence]:
    found = bench.service.blocks.origin(label, agent="ada")
    whole = "".join(one.text for one in found)
    assert whole == bench.service.blocks.retrieve(label, agent="ada").value
    return {one.text.strip(): one for one in found}


def test_each_sentence_of_a_block_leads_to_who_wrote_it_and_the_message(bench: Bench) -> None:
    service = bench.service
    append = {"label": "human", "content": "Mara likes figs. She lives in Rome."}
    _said(bench, "I like figs", ("core_memory_append", append))
    edit = {"label": "human", "old_string": "Rome", "new_string": "Oslo"}
    _said(bench, "I have moved", ("memory_replace", edit))
    text = "A line by hand.\n" + service.blocks.retrieve("human", agent="ada").value
    service.blocks.upsert("human", text, agent="ada", reason="panel")

    found = _origins(bench)
    figs, home = found["Mara likes figs."].origin, found["She lives in Oslo."].origin
    assert (figs.who, figs.how, figs.version) == ("ada", "core_memory_append", 2)
    assert figs.asked is not None
    assert home.asked is not None
    assert (figs.asked.message, home.asked.message) == ("I like figs", "I have moved")
    assert home.how == "memory_replace"
    message = service.messages.retrieve(figs.asked.message_id or "")
    assert message.content == "I like figs"
    by_hand = found["A line by hand."].origin
    assert (by_hand.who, by_hand.how, by_hand.asked) == ("you", "panel", None)

    # Tidied up, what only moved stays with whoever wrote it; taken back, all is as it was.
    tidy = "She lives in Oslo.\nMara likes figs and dates.\nA line by hand."
    rethink = {"label": "human", "new_memory": tidy}
    _said(bench, "Tidy up", ("memory_rethink", rethink))
    found = _origins(bench)
    assert found["She lives in Oslo."].origin == home
    assert "Tidy up" in str(found["Mara likes figs and dates."].origin)
    service.blocks.undo("human", agent="ada")
    assert _origins(bench)["Mara likes figs."].origin == figs

    # What a tool makes has its step too; of a step that is gone, who wrote it is still known.
    service.tools.attach("memory", agent="ada")
    made = {"command": "create", "path": "/memories/trips", "file_text": "Oslo in May."}
    _said(bench, "Plan it", ("memory", made))
    assert "after “Plan it”" in str(_origins(bench, "trips")["Oslo in May."].origin)
    service.database.run(lambda tx: tx.execute("DELETE FROM steps"))
    assert str(_origins(bench, "trips")["Oslo in May."].origin) == "ada, memory"


def test_whose_a_sentence_is_is_worked_out_while_others_use_the_store(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = bench.service
    inside: list[int] = []

    def seen(versions: Sequence[BlockVersion]) -> list[tuple[str, BlockVersion | None]]:
        service.database.run(lambda tx: inside.append(len(versions)))  # refused in a transaction
        return attribute(versions)

    monkeypatch.setattr(blocks, "attribute", seen)
    for text in ("It rains in Oslo. It snows in Bergen.", "It rains in Oslo. It thaws."):
        service.blocks.upsert("human", text, agent="ada")
    assert len(_origins(bench)) == 2
    assert inside == [3]


def test_a_passage_leads_to_its_message_or_to_file_and_page(bench: Bench, tmp_path: Path) -> None:
    service = bench.service
    _said(bench, "Note the tide", ("archival_memory_insert", {"content": "High water at noon."}))
    service.passages.create("By hand. " * 400, agent="ada", reason="panel")
    (tmp_path / "gulls.pdf").write_bytes(pdf("Gulls nest in May.", "Puffins dive deep."))
    service.passages.add_files([tmp_path / "gulls.pdf"], agent="ada", reason="files")
    old = Passage(agent_id=service.agents.retrieve("ada").id, content="Of old.", created_at=now())
    service.database.run(lambda tx: passages.append(tx, [old]))

    found = service.passages.list("ada")[::-1]
    lines = [str(origin) for origin in service.passages.origins(found)]
    assert lines[0] == "ada, archival_memory_insert, after “Note the tide”"
    assert lines[1] == "part 1 of 4, you, panel"
    assert lines[-2] == "gulls.pdf, page 1, you, files"
    assert lines[-1] == "not recorded"


def test_a_call_that_was_approved_leads_to_the_message_before(bench: Bench) -> None:
    bench.service.agents.update(
        "ada", tool_rules=[{"type": "requires_approval", "tool_name": "archival_memory_insert"}]
    )
    bench.server.calls([("archival_memory_insert", {"content": "Figs."})], ids=["call-figs"])
    bench.send("ada", "Keep the figs")
    bench.server.say("Kept.")
    list(bench.service.runs.approve("ada", [Decision("call-figs", approve=True)]))
    (origin,) = bench.service.passages.origins(bench.service.passages.list("ada"))
    assert origin.asked is not None
    assert origin.asked.message == "Keep the figs"
