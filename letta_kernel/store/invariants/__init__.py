"""What always holds in an undamaged store, and how a repair restores it.

Each `Rule` is a query for what breaks it. What a repair cannot bring back is noted in the settings as known, so
that the next check tells only of what is new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from letta_kernel.store import settings
from letta_kernel.store.database import Tx
from letta_kernel.store.invariants.history import CALLS, NUMBERS
from letta_kernel.store.invariants.memory import MEMORY
from letta_kernel.store.invariants.references import REFERENCES
from letta_kernel.store.invariants.rule import Rule

KNOWN = "check: known"
"""The setting for what is gone for good: how often each rule was broken when that was last accepted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    what : what it is about, a word or two.
    text : what is wrong, in a sentence.
    repair : what a repair does about it.
    """

    what: str
    text: str
    repair: str


def find(tx: Tx) -> list[Finding]:
    """Return what is wrong with the rows of a store, but for what is known to be gone."""
    known = json.loads(settings.get(tx, KNOWN) or "{}")
    found = []
    for rule in RULES:
        broken = rule.found(tx)
        if len(broken) > (0 if rule.mend is not None else known.get(rule.text, 0)):
            shown = ", ".join(broken[:3]) + (", …" if len(broken) > 3 else "")
            text = f"{rule.text}: {len(broken)} ({shown})"
            found.append(Finding(rule.what, text, rule.repair or "take them for gone"))
    return found


def mend(tx: Tx) -> None:
    """Repair what can be repaired, and note what is gone."""
    for rule in RULES:
        if rule.mend is None or not (broken := rule.found(tx)):
            continue
        if callable(rule.mend):
            rule.mend(tx, broken)
        else:
            for sql in rule.mend:
                tx.execute(sql)
    every = {rule.text: len(rule.found(tx)) for rule in RULES if rule.mend is None}
    gone = {text: count for text, count in every.items() if count}
    settings.put(tx, KNOWN, json.dumps(gone) if gone else None)


RULES: tuple[Rule, ...] = (*REFERENCES, *NUMBERS, *CALLS, *MEMORY)
"""All of them, in an order in which it makes sense to mend them."""
