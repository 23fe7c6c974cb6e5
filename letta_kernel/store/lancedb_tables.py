"""LanceDB, imported when it is needed, and what our tables in it look like: columns and indexes."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from letta_kernel import lazy_import


@functools.cache
def lancedb() -> ModuleType:
    """Return LanceDB, told not to warn in children that the user's code forks: they do not use our tables."""
    ours = "lancedb" not in sys.modules
    module = lazy_import.load("lancedb")
    loop: Any = sys.modules.get("lancedb.background_loop")
    if ours and hasattr(
        loop, "_FORK_WARNED"
    ):  # private: in a version without it the warning is seen
        loop._FORK_WARNED = True
    return module


def schema(dimension: int) -> Any:
    """Return the columns of a table, whose vectors have so many numbers."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("agent_id", pa.string()),
            ("seq", pa.int64()),
            ("stamp", pa.int64()),
            ("created_at", pa.timestamp("us", "UTC")),
            ("tags", pa.list_(pa.string())),
            ("source", pa.string()),
            ("position", pa.int64()),
            ("words", pa.string()),
            ("speaker", pa.string()),
            ("asks", pa.bool_()),
            ("digest", pa.string()),
            ("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def index_words(table: Any) -> None:
    """Let rows be found by their words."""
    # The words are stems already: nothing is to be folded, stemmed or left out again.
    config = lancedb().index.FTS(
        base_tokenizer="whitespace",
        with_position=False,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
        max_token_length=None,
    )
    table.create_index("words", config=config)


def index_filters(table: Any) -> None:
    """Let rows be filtered without reading all of them."""
    index = lancedb().index
    table.create_index("agent_id", config=index.Bitmap())
    table.create_index("created_at", config=index.BTree())
    table.create_index("tags", config=index.LabelList())


def index_vectors(table: Any) -> None:
    """Let rows be found by meaning without comparing every vector."""
    table.create_index("vector", config=lancedb().index.IvfFlat(distance_type="cosine"))
