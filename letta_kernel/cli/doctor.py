"""``letta-kernel doctor``: looks at everything that has to be right, and says what to do."""

from __future__ import annotations

from letta_kernel.cli import output
from letta_kernel.cli.checks import examine
from letta_kernel.cli.door import TerminalDoor

_SIGNS = {"ok": ("✓", "green"), "note": ("·", "dim"), "wrong": ("✗", "red")}


def examined(session: TerminalDoor, quick: bool) -> int:
    """Print what is found, and return 1 if something is wrong."""
    findings = []
    for finding in examine(session.home, quick=quick):
        findings.append(finding)
        if not session.json:
            sign, style = _SIGNS[finding.state]
            output.put(f"{sign} ", style=style, end="")
            output.put(f"{finding.what:<12} {finding.text}")
            if finding.todo:
                output.put(f"{'':<14} → {finding.todo}", style="bold")
    wrong = sum(one.state == "wrong" for one in findings)
    if session.json:
        output.put_json([one.as_dict() for one in findings])
    elif wrong:
        output.put(f"\n{wrong} thing{'s' * (wrong != 1)} to mend.", stderr=True)
    return 1 if wrong else 0
