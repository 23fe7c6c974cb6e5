"""The memory tools' edits, as pure functions."""

from __future__ import annotations

import pytest

from letta_kernel.memory import edits
from letta_kernel.memory.edits import EditError


def test_append_adds_a_line() -> None:
    assert edits.append("", "a") == "a"
    assert edits.append("a", "b") == "a\nb"


def test_replace_all_takes_every_occurrence() -> None:
    assert edits.replace_all("a b a", "a", "c") == "c b c"
    with pytest.raises(EditError, match="'x'"):
        edits.replace_all("a", "x", "y")
    with pytest.raises(EditError, match="empty"):
        edits.replace_all("a", "", "y")


def test_replace_once_wants_one_match_and_lists_the_lines() -> None:
    assert edits.replace_once("a\nb", "b", "c") == "a\nc"
    with pytest.raises(EditError, match="lines 1, 3"):
        edits.replace_once("tea\nmilk\ntea", "tea", "x")
    with pytest.raises(EditError, match="old_string carries line numbers"):
        edits.replace_once("tea", "1: tea", "x")


@pytest.mark.parametrize("text", ["1→tea", "Line 1: tea"])
def test_the_numbers_of_lines_are_refused(text: str) -> None:
    with pytest.raises(EditError, match="new_string carries line numbers"):
        edits.replace_once("tea", "tea", text)
    with pytest.raises(EditError, match="new_string carries line numbers"):
        edits.insert("tea", text)


@pytest.mark.parametrize("text", ["2019: met Anna", "7: 30 up\n8: 15 train", "1\tone", "1| a |"])
def test_years_times_and_lists_are_no_line_numbers(text: str) -> None:
    assert edits.insert("tea", text) == f"tea\n{text}"
    assert edits.replace_once(f"tea\n{text}", text, "milk") == "tea\nmilk"


@pytest.mark.parametrize(
    ("line", "expected"), [(0, "new\na\nb"), (1, "a\nnew\nb"), (2, "a\nb\nnew"), (-1, "a\nb\nnew")]
)
def test_insert(line: int, expected: str) -> None:
    assert edits.insert("a\nb", "new", line) == expected


@pytest.mark.parametrize("line", [-2, 3, 99])
def test_insert_out_of_range(line: int) -> None:
    with pytest.raises(EditError, match="out of range"):
        edits.insert("a\nb", "new", line)


def test_insert_into_an_empty_block() -> None:
    assert edits.insert("", "new") == "new"


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ("@@ -1,3 +1,3 @@\n a\n-b\n+B\n c", "a\nB\nc\nd"),
        ("--- x\n+++ y\n@@ -1 +1 @@\n-a\n+A", "A\nb\nc\nd"),
        ("@@\n-d", "a\nb\nc"),
        ("@@ -90 +90 @@\n c\n+new", "a\nb\nc\nnew\nd"),
        ("@@\n-a\n@@\n-c\n+C", "b\nC\nd"),
        ("@@\n+end", "a\nb\nc\nd\nend"),
    ],
)
def test_a_patch(patch: str, expected: str) -> None:
    assert edits.apply_patch("a\nb\nc\nd", patch) == expected


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("", "begins with a line"),
        ("hello", "begins with a line"),
        ("@@\n-x", "does not fit"),
        ("@@\n-b\n+c", "fits at lines"),
        ("@@\nno sign", "begins with none"),
    ],
)
def test_a_bad_patch(patch: str, words: str) -> None:
    with pytest.raises(EditError, match=words):
        edits.apply_patch("b\nb", patch)
