"""What a reader gets of a search: what is relevant, in a budget of tokens, neighbours as one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from letta_kernel.ids import now
from letta_kernel.memory.archival import excerpts
from letta_kernel.memory.chunking import sentences
from letta_kernel.memory.excerpts import cut
from letta_kernel.models.tokens import estimate
from letta_kernel.records import Passage

TALK = """Kim: the walrus lives at the north pier
Ada: the walrus of the pier eats clams
Kim: the harbour market opens at nine
Ada: lamps are cheap there
Kim: rain all day
Ada: we stayed inside
Kim: a walrus was seen in Oslo too""".splitlines()
FACTS = """我每天早上喝绿茶。
我的猫叫咪咪，今年三岁。
我住在杭州西湖旁边。
我女儿在学钢琴。
私の猫の名前はミケです。
京都に住んでいます。
แมวของฉันชื่อมะลิ
ลูกสาวของฉันเรียนเปียโน
My cat is called Tom.
I work as a nurse in Leeds.""".splitlines()
ASKED = {
    "我喝什么茶？": 0,
    "我的猫叫什么名字？": 1,
    "我住在哪里？": 2,
    "我女儿学什么乐器？": 3,
    "私の猫の名前は？": 4,
    "どこに住んでいますか": 5,
    "แมวของฉันชื่ออะไร": 6,
    "What is my cat called?": 8,
    "Where do I work as a nurse?": 9,
}
UNRELATED = """钨的沸点是多少？
火山是怎样在冰川下形成的？
谁发现了青霉素？
潜水艇怎么下潜？
小提琴的漆是怎么上的？
タングステンの沸点は何度ですか
ペニシリンを発見したのは誰ですか
バイカル湖の深さはどのくらいですか
จุดเดือดของทังสเตนคือเท่าไร
ใครค้นพบเพนิซิลลิน
ฉลามมีกระดูกกี่ชิ้น
What is the boiling point of tungsten?
Which treaty ended the Thirty Years' War?
How do submarines dive?
Who painted the Sistine Chapel ceiling?
recipe for injera bread""".splitlines()


def texts(archive, query: str, **options) -> list[str]:
    hits = archive.search("agent-ada", query, top_k=40)
    return [hit.passage.content for hit in excerpts(query, hits, **options)]


@pytest.fixture
def talk(project):
    archive = project.archive()
    archive.insert_many(
        [
            Passage(agent_id="agent-ada", content=text, source="t", position=n, created_at=now())
            for n, text in enumerate(TALK)
        ]
    )
    return archive


def test_neighbours_are_one_hit_in_reading_order_and_each_stands_there_once(talk) -> None:
    shown = texts(talk, "What does the walrus at the pier eat, clams?")
    assert shown[0].startswith(f"{TALK[0]}\n{TALK[1]}")
    assert "\n".join(shown).count("walrus") == 3
    assert len(talk.search("agent-ada", "walrus")) == len(TALK)  # as they are: one a passage


def test_what_holds_and_what_was_replaced_are_never_one_text(talk) -> None:
    first, second = talk.search("agent-ada", "what does the walrus at the pier eat, clams")[:2]
    talk.insert("agent-ada", "The walrus has left.", supersedes=[second.passage.id])
    hits = talk.search("agent-ada", "walrus pier clams", top_k=40, include_superseded=True)
    shown = {one.passage.id: one for one in excerpts("walrus pier clams", hits)}
    assert second.passage.id not in shown[first.passage.id].ids
    assert shown[second.passage.id].ids == (second.passage.id,)
    assert shown[second.passage.id].passage.superseded_by
    assert shown[first.passage.id].passage.superseded_by is None


def test_a_budget_holds_as_many_as_fit_and_long_ones_are_cut_to_what_matched(project) -> None:
    archive = project.archive()
    filler = "The weather of that day was fair and nobody said much about it. "
    for n in range(30):
        archive.insert("agent-ada", f"{filler * 8}The walrus {n} sang at noon. {filler * 8}")
    few, many = (texts(archive, "Which walrus sang?", budget_tokens=b) for b in (500, 2000))
    assert 1 < len(few) < len(many) < 30
    assert all("walrus" in text and text.startswith("…") and text.endswith("…") for text in many)
    assert sum(map(estimate, many)) < 2000
    assert texts(archive, "Which walrus sang?", budget_tokens=10) == []


def test_a_text_is_cut_where_its_sentences_end_also_without_spaces() -> None:
    text = "今天天气很好。" * 60 + "猫的名字叫咪咪。" + "今天天气很好。" * 60
    short = cut(text, frozenset({"咪咪"}), 60)
    assert "猫的名字叫咪咪。" in short
    assert len(short) < 120
    assert cut("short", frozenset(), 60) == "short"


@pytest.mark.parametrize(
    "text",
    [
        "costs 1250.50 at shop.example.com/a.b?c=d by bob@example.com, e.g. v1.2.3 ",
        '{"a":1,"b":[2.5,"x.y"],"c":"d"},',
        "word",
        "猫的名字",
        "\ud83d\U0001f600é",
        ". ",
        "Dr. ",
        "\n ",
    ],
)
def test_nothing_of_a_text_is_lost_and_a_longer_one_takes_no_more_than_its_share(text) -> None:
    steps = []
    for size in (6_000, 60_000):
        line = text * (size // len(text)) + " needle.x .y"
        pieces = sentences(line, 400)
        assert "".join(pieces) == line
        assert max(map(len, pieces)) <= 400
        steps.append(lines_run(lambda line=line: cut(line, frozenset({"needl"}), 60)))
        short = cut(line, frozenset({"needl"}), 60)
        assert "needle.x" in short
        assert estimate(short) < 150
    assert steps[1] < 15 * steps[0]


def test_a_word_in_a_long_line_of_data_is_what_is_shown_of_it() -> None:
    line = '{"a":1,"b":[2.5,"x.y"]},' * 1000 + '{"needle":1250.50}' + ',{"a":1}' * 1000
    assert '"needle":1250.50' in cut(line, frozenset({"needl"}), 60)


def lines_run(work: Callable[[], object]) -> int:
    """Return how many lines of this project's code *work* runs."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if "letta_kernel" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_what_has_nothing_to_do_with_a_query_is_left_out_in_every_script(project) -> None:
    archive = project.archive()
    for text in FACTS:
        archive.insert("agent-ada", text)
    missing = {query for query, at in ASKED.items() if FACTS[at] not in texts(archive, query)}
    assert missing == set()
    shown = {query: found for query in UNRELATED if (found := texts(archive, query))}
    assert len(shown) <= 0.15 * len(UNRELATED), shown
