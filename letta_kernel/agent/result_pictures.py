"""Pictures that calls returned: read, described in the result's text, and shown."""

from __future__ import annotations

import base64

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError
from letta_kernel.pictures.picture import MOST, Picture, check, marked, read
from letta_kernel.pictures.values import in_bundle
from letta_kernel.tools.outcome import Outcome
from letta_kernel.tools.output import kept


def with_pictures(text: str, outcome: Outcome) -> tuple[str, list[Picture]]:
    """Return the *text* of a result with its pictures described in it, and the pictures.

    One that cannot be kept is left out, and the text says why.
    """
    alone = in_bundle(outcome.display)
    files = outcome.pictures or ([alone] if alone else [])
    pictures: list[Picture] = []
    left_out = []
    for file in files[:MOST]:
        try:
            picture = file if isinstance(file, Picture) else read(file)
            check([*pictures, picture])
        except InvalidInputError as error:
            left_out.append(f"[an image is left out: {error.text}]")
        else:
            pictures.append(picture)
    return "\n".join([marked(text, pictures), *left_out]), pictures


def answered(decision: Decision) -> Outcome:
    """Return the outcome of a call that somebody else ran."""
    pictures, display = decision.pictures, None
    if pictures and pictures[0].data:
        first = pictures[0]
        data = base64.b64encode(first.data).decode("ascii")
        display = {first.media_type: data, "text/plain": first.described.strip("[]")}
    return Outcome(
        status="error" if decision.failed else "ok",
        text=decision.result or "",
        display=display,
        pictures=[*pictures],
        stdout=kept(decision.stdout),
        stderr=kept(decision.stderr),
        elsewhere=True,
    )
