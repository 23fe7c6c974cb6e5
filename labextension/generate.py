"""Write the TypeScript that is made from the Python package: ``python labextension/generate.py``."""

from __future__ import annotations

from pathlib import Path

from letta_kernel.stop_reasons import MEANINGS, Meaning

TARGET = Path(__file__).parent / "src" / "stopReasons.ts"


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


if __name__ == "__main__":
    TARGET.write_text(stop_reasons(), encoding="utf-8")
