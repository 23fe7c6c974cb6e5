import pytest

from letta_kernel.memory.chunking import LONGEST, chunks


def test_a_text_that_fits_stays_whole():
    assert chunks("  one small fact \n") == ["one small fact"]
    assert chunks(" \n ") == []


def test_paragraphs_stay_together_and_nothing_is_lost():
    paragraphs = [f"Paragraph {n}. " + "word " * (20 + n) for n in range(60)]
    pieces = chunks("\n\n".join(paragraphs))
    assert 5 < len(pieces) < 30
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert all(piece.startswith("Paragraph") for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join("".join(paragraphs).split())


def test_a_heading_begins_a_new_piece():
    text = "\n".join(f"## Section {n}\n\n" + "Some text here. " * 50 for n in range(4))
    assert [piece.split("\n")[0] for piece in chunks(text)] == [f"## Section {n}" for n in range(4)]


def test_sentences_are_not_torn_where_it_can_be_helped():
    text = " ".join(f"This is sentence number {n}, of no great length." for n in range(200))
    assert all(piece.endswith(".") for piece in chunks(text))


@pytest.mark.parametrize("text", ["x" * 5000, "字" * 5000, "😀" * 5000, "a\n" * 5000])
def test_text_without_seams_is_cut_all_the_same(text):
    pieces = chunks(text)
    assert all(0 < len(piece) <= LONGEST for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
