"""However many lines there are, and so whichever way they are searched, they rank alike."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from letta_kernel.memory import search, unindexed
from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import Passage
from letta_kernel.store import messages

WORDS = """harbour lamp walrus copper violin ladder pepper meadow tunnel blanket engine parrot candle
    saddle mirror garden anchor basket feather glacier kettle orchard pillow ribbon spoon thunder valley
    window yarn zebra acorn barrel castle dolphin easel fiddle goblet hammer igloo bridge
    红茶 火车 图书馆 自行车"""


def talk(dice: random.Random) -> list[Passage]:
    words = WORDS.split()
    start = datetime(2024, 3, 1, tzinfo=UTC)
    made = []
    for number in range(400):
        who = ("user", "assistant", "Kim")[number % 3]
        text = " ".join(dice.choices(words, k=dice.randint(4, 14)))
        end = "?" if number % 7 == 0 else " in March with Ada." if number % 5 == 0 else "."
        made.append(
            Passage(
                agent_id="agent-ada",
                content=f"{who}: We saw the {text}{end}",
                source=f"talk-{number // 60}",
                position=number,
                created_at=start + timedelta(minutes=number),
            )
        )
    return made


QUERIES = """When did we see the walrus and the violin?
    What did you suggest about the copper ladder?
    Where is my parrot, and who saw the candle bridge?
    Kim's orchard kettle
    thunder in the valley
    who met the zebra at the castle
    我的红茶和火车
    茶"""


@pytest.mark.parametrize(
    ("large", "huge", "way"),
    [(100, 10_000, "loaded"), (100, 200, "candidates")],
    ids=["loaded", "named"],
)
def test_lines_rank_alike_whichever_way_they_are_searched(
    project, monkeypatch: pytest.MonkeyPatch, large: int, huge: int, way: str
) -> None:
    archive = project.archive()
    archive.insert_many(talk(random.Random(3)))

    def found() -> list[list[str]]:
        hits = [archive.search("agent-ada", query) for query in QUERIES.splitlines()]
        return [[hit.passage.id for hit in part] for part in hits]

    whole = found()
    assert all(whole)
    archive.catch_up()
    monkeypatch.setattr(search, "LARGE", large)
    monkeypatch.setattr(search, "HUGE", huge)
    archive = project.archive()
    other = found()
    assert archive._engine._of("agent-ada").way == way
    shared = [len(set(a) & set(b)) / len(a) for a, b in zip(whole, other, strict=True)]
    assert sum(shared) / len(shared) > 0.9, shared
    assert [a[0] for a in whole] == [b[0] for b in other]


def test_a_single_character_of_a_script_without_spaces_is_found(project) -> None:
    archive = project.archive()
    for text in ("我每天早上喝绿茶。", "他喜欢火车。", "猫"):
        archive.insert("agent-ada", text)

    def first(query: str) -> str:
        return str(archive.search("agent-ada", query)[0].passage.content)

    assert (first("茶"), first("车"), first("猫")) == ("我每天早上喝绿茶。", "他喜欢火车。", "猫")


SAID = """The ferry to Ørland leaves on 3 May 2024 at 09:30
    Müller paid 1,250 kroner for the naïve painting of a 'heron'
    Zoë's allergy to hazelnuts was confirmed by Dr. Okafor
    the boiler in Café Lumière was mended for the 3rd time
    hope is a thing with feathers, said the 100% sure "poet"
    红茶 在图书馆 里喝 我的自行车 停在火车 站
    東京タワーの近くで 古い地図を買った
    Иван купил билеты в театр"""
ASKED = """When does the ferry to Ørland leave?
    who paid for Muller's paintings of herons
    Zoe hazelnut allergies
    cafe lumiere's boiler, mended
    hoping for "100%" feathers_
    我的自行车停在哪里
    東京タワー 地図
    Иван театр билеты
    May 2024"""


def many(dice: random.Random, number: int) -> list[Passage]:
    """Talks in which words of a few scripts come up here and there, and notes of no source."""
    start = datetime(2024, 3, 1, tzinfo=UTC)
    common, told = WORDS.split(), [line.split() for line in SAID.splitlines()]
    made = []
    for row in range(number):
        words = dice.choices(common, k=dice.randint(4, 20))
        if row % 40 == 7:
            line = dice.choice(told)
            words += dice.sample(line, dice.randint(1, len(line)))
        made.append(
            Passage(
                agent_id="agent-ada",
                content=f"{('user', 'Kim')[row % 2]}: {' '.join(words)}{'?' if row % 9 == 0 else '.'}",
                source=None if row % 5 == 0 else f"talk-{row // 60}",
                position=row,
                tags=["odd"] if row % 2 else [],
                created_at=start + timedelta(hours=row / 10),
            )
        )
    return made


def test_what_no_index_has_yet_ranks_as_if_all_had_been_read(
    project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.archive().insert_many(many(random.Random(4), 5000))
    some = {"tags": ["odd"], "start": "2024-03-05", "end": "2024-03-15"}

    def found(way: str) -> list[list[str]]:
        archive = project.archive()
        queries = [query.strip() for query in ASKED.splitlines()]
        hits = [archive.search("agent-ada", query, top_k=10) for query in queries]
        hits.append(archive.search("agent-ada", queries[5], top_k=10, **some))
        assert archive._engine._of("agent-ada").way == way
        return [[hit.passage.id for hit in part] for part in hits]

    scanned = found("scan")
    monkeypatch.setattr(unindexed, "_RUN", 1000)  # what is usual is learnt from all lines
    exactly = found("scan")
    monkeypatch.setattr(search, "LARGE", 10_000)
    whole = found("read")
    assert exactly == whole
    assert [one[0] for one in scanned] == [one[0] for one in whole]
    shared = [len(set(a) & set(b)) / len(a) for a, b in zip(whole, scanned, strict=True)]
    assert sum(shared) / len(shared) > 0.9, shared


def test_messages_no_index_has_yet_are_found_like_others(
    project, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [
        ToolCall(id="c", name="send_message", arguments='{"message": "The 9:30 ferry, Zoë!"}'),
        ToolCall(id="d", name="conversation_search", arguments='{"query": "ferry"}'),
    ]
    made = [
        Message(agent_id="agent-ada", role="user", content=f"We spoke of subject {n}")
        for n in range(150)
    ]
    made[40:40] = [
        Message(agent_id="agent-ada", role="assistant", tool_calls=[call]) for call in calls
    ]
    made.append(Message(agent_id="agent-ada", role="tool", content="zoe ferry", tool_call_id="c"))
    project.database.run(lambda tx: messages.append(tx, "agent-ada", made))

    def found(way: str) -> list[list[str]]:
        recall = project.recall()
        hits = [
            recall.search("agent-ada", query, roles=roles, limit=3)
            for query in ("zoe's ferries", "subject 77", "149")
            for roles in (None, ["assistant"], ["user"])
        ]
        assert recall._engine._of("agent-ada").way == way
        return [[hit.message.id for hit in part] for part in hits]

    whole = found("read")
    assert whole[0][0] == made[40].id
    monkeypatch.setattr(search, "LARGE", 100)
    monkeypatch.setattr(search, "_UNREAD", 50)
    assert found("scan") == whole
