"""What agent cells need of the panel's calls: settings, the notebook's agent, and how a missed run went on."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from letta_kernel.display.live import bundle
from letta_kernel.display.transcript import Transcript
from letta_kernel.models import naming, registry
from letta_kernel.notebook.panel.registry import Params, RequestContext, Word, method
from letta_kernel.notebook.preferences import PREFERENCES, Policy


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
            naming.check_model(model)
        registry.prefer(asked.default_model)
    return {
        "default_model": registry.preferred(),
        "approval": PREFERENCES.approval,
        "streaming": PREFERENCES.streaming,
    }


@method("notebook", empty={"notebook": "", "agent": None})
def notebook(context: RequestContext, asked: Params) -> dict[str, Any]:
    """Return which notebook this is and the id of the agent it talks to."""
    return {"notebook": context.notebook, "agent": context.current()}


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
