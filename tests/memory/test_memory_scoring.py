"""How lines are ordered, where what is known of them differs."""

from __future__ import annotations

import numpy as np

from letta_kernel.ids import now
from letta_kernel.memory import scoring
from letta_kernel.memory.corpus import Corpus
from letta_kernel.store.indexes import Line


def line(number: int) -> Line:
    return Line(f"line-{number}", number, "the walrus sings", now(), (), None, 0, "")


def test_a_line_whose_vector_is_not_known_yet_counts_as_neither_like_nor_unlike() -> None:
    corpus = Corpus()
    alike = np.array([[0.9, np.sqrt(1 - 0.81)], [0.5, np.sqrt(0.75)]], dtype=np.float32)
    corpus.add([line(1), line(2)], alike)
    corpus.add([line(3)], None)
    asked = scoring.query("walrus", np.array([1, 0], dtype=np.float32))
    rank = scoring.score(asked, corpus, np.ones(3, dtype=bool)).rank
    assert rank[0] > rank[2] > rank[1]
