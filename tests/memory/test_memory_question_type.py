"""A question is answered by a line that has what it asks for, among those that speak of the same."""

from __future__ import annotations

import pytest

from letta_kernel.memory import question_type, terms
from letta_kernel.memory.question_type import NAME, NUMBER, TIME


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("When did Kim move?", TIME),
        ("how many gannets were there", NUMBER),
        ("How long did the storm last?", NUMBER),
        ("Who repaired the boat?", NAME),
        ("In which town does Kim live?", NAME),
        ("Why did Kim move?", ""),
        ("How did Kim move?", ""),
        ("Kim's move", ""),
        ("Quand Kim a-t-il déménagé ?", ""),
        ("", ""),
    ],
)
def test_the_first_question_word_says_what_is_asked_for(query: str, kind: str) -> None:
    assert question_type.asked_for(query) == kind


@pytest.mark.parametrize(
    ("line", "marks"),
    [
        ("Kim: I moved last week.", [TIME]),
        ("Kim: I saw three of them.", [NUMBER]),
        ("Kim: I met Ada, Bob and Eve there.", [NAME] * 3),
        ("Kim: it was great. Really great.", []),
    ],
)
def test_a_line_has_times_numbers_and_names(line: str, marks: list[str]) -> None:
    assert question_type.offered(line, terms.terms(line)) == marks


def test_a_line_that_has_what_is_asked_for_comes_first(project) -> None:
    archive = project.archive()
    told = "I moved to the lighthouse in March with all the boxes"
    for text in ("I moved to the lighthouse, I moved!", told, "The market opens in March"):
        archive.insert("agent-ada", text)

    def first(query: str) -> str:
        return str(archive.search("agent-ada", query)[0].passage.content)

    assert first("moved to the lighthouse") == "I moved to the lighthouse, I moved!"
    assert first("When was the move to the lighthouse?") == told
