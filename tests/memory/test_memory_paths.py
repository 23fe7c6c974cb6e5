"""However many lines there are, and so whichever way they are searched, they rank alike."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from letta_kernel.memory import search
from letta_kernel.records import Passage

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
    [(100, 10_000, "loaded"), (100, 200, "shelf")],
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
