"""Write the TypeScript that is made from the Python package: ``python labextension/generate.py``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from letta_kernel.display.clean import (
    CLOSED_BY_THEMSELVES,
    DROPPED_ELEMENTS,
    FORMATTING,
    KEPT_ELEMENTS,
    LINK,
    LONGEST_TAG,
    MOST_FORMATTING,
    MOST_OPEN,
)
from letta_kernel.display.markdown import DELIMITERS, UNSAFE_TEX
from letta_kernel.display.words import NEARLY_FULL
from letta_kernel.stop_reasons import MEANINGS, Meaning

UI = Path(__file__).parent / "src" / "ui"
TARGET = UI / "stopReasons.ts"
LIMITS = UI / "limits.ts"
RULES = UI / "rules.ts"


def stop_reasons() -> str:
    """Return the module that says what each stop reason means."""
    kinds = " | ".join(f"'{name}'" for name in Meaning.__args__)
    rows = ",\n".join(f"  {reason}: '{kind}'" for reason, kind in MEANINGS.items())
    return (
        "// Written by labextension/generate.py from letta_kernel/stop_reasons.py.\n\n"
        f"export type Meaning = {kinds};\n\n"
        f"const MEANINGS: Record<string, Meaning> = {{\n{rows}\n}};\n\n"
        "/** What it means that a run stopped for `reason`; one of a later version has failed. */\n"
        "export function meaning(reason: string): Meaning {\n"
        "  return MEANINGS[reason] ?? 'failed';\n"
        "}\n"
    )


def limits() -> str:
    """Return the module that says from where on something is nearly full."""
    return (
        "// Written by labextension/generate.py from letta_kernel/display/words.py.\n\n"
        "/** Above this share of what it may hold, something is nearly full. */\n"
        f"export const NEARLY_FULL = {NEARLY_FULL};\n"
    )


def rules() -> str:
    """Return the module that says what texts and markup of models and tools may hold."""
    delimiters = ", ".join(f"[{_quoted(a)}, {_quoted(b)}]" for a, b in DELIMITERS)
    return (
        "// Written by labextension/generate.py from letta_kernel/display/clean.py and markdown.py.\n\n"
        "/** Where links may lead. */\n"
        f"export const LINK = new RegExp({_quoted(f'^{LINK}$')}, 'i');\n\n"
        "/** Commands of TeX that link, restyle or redefine things, or loop. */\n"
        f"export const UNSAFE_TEX = new RegExp(\n  {_quoted(UNSAFE_TEX)},\n  'i'\n);\n\n"
        "/** What formulas stand between. */\n"
        f"export const DELIMITERS = [{delimiters}] as const;\n\n"
        + _set("KEPT_ELEMENTS", KEPT_ELEMENTS, "Elements that rich results may keep")
        + _set(
            "DROPPED_ELEMENTS",
            DROPPED_ELEMENTS,
            "Elements that go with all that is in them; others that are not kept leave what is in them",
        )
        + "/** Elements that may be open at once, those of them that format, characters of a tag. */\n"
        f"export const MOST_OPEN = {MOST_OPEN};\nexport const MOST_FORMATTING = {MOST_FORMATTING};\n"
        f"export const LONGEST_TAG = {LONGEST_TAG};\n\n"
        + _set(
            "CLOSED_BY_THEMSELVES",
            CLOSED_BY_THEMSELVES,
            "Elements that are never left open by one of their own kind, or hold nothing",
        )
        + _set(
            "FORMATTING",
            FORMATTING,
            "Elements that are opened again by themselves in each block, until they are closed",
        ).rstrip()
        + "\n"
    )


def _set(name: str, elements: Sequence[str], about: str) -> str:
    words = _quoted(" ".join(elements))
    return f"/** {about}. */\nexport const {name} = new Set(\n  {words}.split(' ')\n);\n\n"


def _quoted(text: str) -> str:
    inside = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return "'" + inside.replace("'", "\\'") + "'"


if __name__ == "__main__":
    TARGET.write_text(stop_reasons(), encoding="utf-8")
    LIMITS.write_text(limits(), encoding="utf-8")
    RULES.write_text(rules(), encoding="utf-8")
