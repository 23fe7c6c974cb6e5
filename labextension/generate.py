"""Write the TypeScript that is made from the Python package: ``python labextension/generate.py``."""

from __future__ import annotations

import json
from pathlib import Path

from letta_kernel.display.clean import DROPPED_ELEMENTS, KEPT_ELEMENTS, LINK
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
        "/** Elements that rich results may keep. */\n"
        f"export const KEPT_ELEMENTS = new Set(\n  {_quoted(' '.join(KEPT_ELEMENTS))}.split(' ')\n);\n\n"
        "/** Elements that go with all that is in them; others that are not kept leave what is in them. */\n"
        f"export const DROPPED_ELEMENTS = new Set(\n  {_quoted(' '.join(DROPPED_ELEMENTS))}.split(' ')\n);\n"
    )


def _quoted(text: str) -> str:
    inside = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return "'" + inside.replace("'", "\\'") + "'"


if __name__ == "__main__":
    TARGET.write_text(stop_reasons(), encoding="utf-8")
    LIMITS.write_text(limits(), encoding="utf-8")
    RULES.write_text(rules(), encoding="utf-8")
