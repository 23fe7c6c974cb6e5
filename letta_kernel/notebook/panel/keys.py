"""What the panel asks about keys: where they are taken from, and keeping one."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from letta_kernel.models import keys
from letta_kernel.notebook.panel.registry import Params, RequestContext, Word, method


class Kept(Params):
    """A key and the variable it is for."""

    variable: Word
    key: SecretStr = Field(max_length=5_000)  # does not show itself, in an error's text either


@method("keys", empty=None)
def of_providers(context: RequestContext, asked: Params) -> dict[str, Any]:
    """Return where keys are looked for, which there are (names alone), and what is wrong with a ``.env``."""
    return {
        "places": keys.places(),
        "found": [{"variable": name, "place": place} for name, place in keys.found().items()],
        "variables": [names[0] for names in keys.VARIABLES.values()],
        "problems": keys.problems(),
    }


@method("key.keep", Kept)
def keep(context: RequestContext, asked: Kept) -> dict[str, Any]:
    """Keep a key outside the notebook; return where it is."""
    return {"place": keys.keep(asked.variable, asked.key.get_secret_value(), context.service.home)}
