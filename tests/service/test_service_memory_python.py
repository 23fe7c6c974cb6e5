"""Blocks in Python: what is assigned is written at once or refused in one line, and a copy writes nothing."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from letta_kernel import Agent
from letta_kernel.errors import ConflictError, InvalidInputError
from letta_kernel.records import Block


@pytest.fixture
def ada(tmp_path: Path) -> Agent:
    return Agent("ada", home=tmp_path / ".letta", model="demo", human="Kim.")


def test_what_is_assigned_to_a_block_is_written(ada: Agent) -> None:
    ada.memory["human"].value += " Likes tea."
    block = ada.memory["human"]
    assert (block.value, block.version) == ("Kim. Likes tea.", 2)
    block.limit, block.description, block.tags = 500, "The keeper.", ["people"]
    block.value = "Robin."
    block.read_only = True
    kept = ada.memory["human"]
    assert kept == block
    assert (kept.limit, kept.description, kept.tags) == (500, "The keeper.", ["people"])
    assert (kept.value, kept.read_only) == ("Robin.", True)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("limit", "many", "'many' cannot be a block's limit: Input should be a valid integer"),
        ("limit", 2, "The block 'human' may hold 2 characters; this has 4."),
        ("value", None, "None cannot be a block's value"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_line(
    ada: Agent, name: str, value: Any, said: str
) -> None:
    block = ada.memory["human"]
    with pytest.raises(InvalidInputError) as refused:
        setattr(block, name, value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert block == ada.memory["human"]


def test_a_block_that_was_changed_since_it_was_read_is_not_written_over(ada: Agent) -> None:
    old = ada.memory["human"]
    ada.memory["human"] = "Robin."
    with pytest.raises(ConflictError, match="changed meanwhile"):
        old.value += " Likes tea."
    assert ada.memory["human"].value == "Robin."


def test_copies_are_plain_blocks_that_write_nothing(ada: Agent) -> None:
    block = ada.memory["human"]
    for one in (copy.copy(block), copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert type(one) is Block
        assert one == block
        one.value = "Nobody."
    assert ada.memory["human"].value == "Kim."
