"""Sentences of a block and the versions that brought them in."""

from __future__ import annotations

import pytest

from letta_kernel.memory.attribution import attribute
from letta_kernel.memory.chunking import sentences
from letta_kernel.records import BlockVersion


def _written(*texts: str, first: int = 1) -> list[BlockVersion]:
    return [
        BlockVersion(block_id="b", version=number, value=text, actor="a")
        for number, text in enumerate(texts, start=first)
    ]


def _numbers(versions: list[BlockVersion]) -> list[int | None]:
    return [version and version.version for _, version in attribute(versions)]


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (("", "A one. B two.", "A one. B two.\nC three."), [2, 2, 3]),
        (("A one. B two.", "B two. A one."), [1, 1]),
        (("A one.\nA one.", "A one.\nNew.\nA one."), [1, 2, 1]),
        (("x\nA", "A\nx\nA"), [2, 1, 1]),
        (("他住在柏林。他喜欢茶。", "他住在罗马。他喜欢茶。"), [2, 1]),
        (("1. Be brief.\n2. Be kind.", "1. Be brief.\n2. Be very kind."), [1, 2]),
        (("A one.", "", "A one."), [3]),
        (("",), []),
    ],
)
def test_a_sentence_is_of_the_version_that_wrote_it(
    texts: tuple[str, ...], numbers: list[int]
) -> None:
    versions = _written(*texts)
    assert _numbers(versions) == numbers
    assert "".join(text for text, _ in attribute(versions)) == texts[-1]


def test_what_came_before_the_versions_that_are_known_is_nobodys() -> None:
    assert _numbers(_written("Old.", "Old.\nNew.", first=7)) == [None, 8]


def test_hostile_texts_are_split_into_what_they_are() -> None:
    for text in (". " * 10_000, ".'" * 10_000, "\n" * 50_000, "a. " * 10_000, "x" * 300_000):
        assert "".join(sentences(text)) == text
        versions = _written(text, text + "New.")
        assert "".join(one for one, _ in attribute(versions)) == text + "New."
