"""``letta-kernel doctor``: looks at everything that has to be right, and says what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from letta_kernel.cli import output
from letta_kernel.cli.session import Session, command

_SIGNS = {"ok": ("✓", "green"), "note": ("·", "dim"), "wrong": ("✗", "red")}


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "doctor")(doctor)


def doctor(
    session: Session,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the sandbox, which takes a second.")
    ] = False,
) -> int:
    """Check this installation and project and say what to do; 1 if something is wrong.

    Of keys the names of their variables are shown, never their values.
    """
    from letta_kernel.cli.checks import examine

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
