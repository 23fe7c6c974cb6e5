"""Whether people write English: the offline embedder knows little of other languages."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Words that every English text is full of, and that mean nothing in other languages written in Latin letters.
_TELLING = "the and you your my that with this what which are have from how they"
_ENGLISH = frozenset(_TELLING.split())
_SHARE = 0.05  # of all words; of English chats 10 to 18 % are such, whoever writes them
_ENOUGH = 60  # words; of fewer nothing is said; a character of a script without spaces is about half a word
_WORD = re.compile(r"[^\W\d_]+")


def is_other(texts: Sequence[str], enough: int = _ENOUGH) -> bool:
    """Return whether *texts* are mostly not in English; False where they are too short to say.

    Parameters
    ----------
    enough
        How many words there have to be.
    """
    words = [word for text in texts for word in _WORD.findall(text[:2000].lower())]
    letters = sum(map(len, words))
    latin = sum(len(word) for word in words if word < "\u0250")
    if 2 * latin < letters:
        return letters - latin >= 2 * enough
    return len(words) >= enough and sum(word in _ENGLISH for word in words) < _SHARE * len(words)
