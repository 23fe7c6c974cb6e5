"""What agent cells need of the panel's calls: settings, keys, the notebook's agent, a run that was missed."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from letta_kernel.display.live import bundle
from letta_kernel.display.transcript import Transcript
from letta_kernel.models import keys, registry
from letta_kernel.notebook.approvals import PREFERENCES, Policy
from letta_kernel.notebook.panel.registry import Params, RequestContext, Word, method


class Chosen(Params):
    """What the person chose in JupyterLab's settings; None leaves it as it is."""

    default_model: str | None = Field(None, max_length=500)
    approval: Policy | None = None
    streaming: bool | None = None


class OfRun(Params):
    """A request about one run, by its id; ``label`` is what was said beside its model's answers."""

    run: Word
    label: str = Field("", max_length=500)


@method("settings", Chosen)
def settings(context: RequestContext, asked: Chosen) -> dict[str, Any]:
    """Take over what was chosen, for this kernel; return what holds now.

    A model that cannot be is refused when the rest has been taken over, which must hold all the same.
    """
    if asked.approval is not None:
        PREFERENCES.approval = asked.approval
    if asked.streaming is not None:
        PREFERENCES.streaming = asked.streaming
    if asked.default_model is not None:
        if model := asked.default_model.strip():
            registry.check_model(model)
        registry.prefer(asked.default_model)
    return {
        "default_model": registry.preferred(),
        "approval": PREFERENCES.approval,
        "streaming": PREFERENCES.streaming,
    }


@method("notebook", empty={"notebook": "", "agent": None})
def notebook(context: RequestContext, asked: Params) -> dict[str, Any]:
    """Return which notebook this is and the id of the agent it talks to."""
    return {"notebook": context.notebook, "agent": context.talked_to()}


@method("run.view", OfRun)
def view(context: RequestContext, asked: OfRun) -> dict[str, Any]:
    """Return what a cell would show of a run (MIME types), from what is stored.

    A run whose process is dead counts as failed from then on.
    """
    prompt, events = context.service.runs.replay(asked.run, asked.label)
    transcript = Transcript(prompt)
    for event in events:
        transcript.handle(event)
    return bundle(transcript.snapshot())


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
