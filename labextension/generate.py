"""Write the TypeScript that is made from the Python package: ``python labextension/generate.py``."""

from __future__ import annotations

from pathlib import Path

from letta_kernel.display.words import NEARLY_FULL
from letta_kernel.stop_reasons import MEANINGS, Meaning

UI = Path(__file__).parent / "src" / "ui"
TARGET = UI / "stopReasons.ts"
LIMITS = UI / "limits.ts"


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


if __name__ == "__main__":
    TARGET.write_text(stop_reasons(), encoding="utf-8")
    LIMITS.write_text(limits(), encoding="utf-8")
