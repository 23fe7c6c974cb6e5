"""What agent cells need at the desk: settings, the notebook's agent, and how a missed run went on."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from letta_kernel.display.live import bundle
from letta_kernel.display.replay import Kept, replay
from letta_kernel.errors import NotFoundError
from letta_kernel.messages import MemoryChanged
from letta_kernel.models import naming, registry
from letta_kernel.notebook.desk_registry import Params, Room, Word, method
from letta_kernel.notebook.preferences import PREFERENCES, Policy
from letta_kernel.records import Run, Step
from letta_kernel.store import agents, blocks, messages, runs
from letta_kernel.store.database import Tx

_MOST_MESSAGES = 5_000


class Chosen(Params):
    """What the person chose in JupyterLab's settings; None leaves it as it is."""

    default_model: str | None = Field(None, max_length=500)
    approval: Policy | None = None
    streaming: bool | None = None


class OfRun(Params):
    """A question about one run, by its id; ``label`` is what was said beside its model's answers."""

    run: Word
    label: str = Field("", max_length=500)


@method("settings", Chosen)
def settings(room: Room, asked: Chosen) -> dict[str, Any]:
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
def notebook(room: Room, asked: Params) -> dict[str, Any]:
    """Return which notebook this is and the id of the agent it talks to."""
    return {"notebook": room.notebook, "agent": room.current()}


@method("run.view", OfRun)
def view(room: Room, asked: OfRun) -> dict[str, Any]:
    """Return what a cell would show of a run (MIME types), from what is stored.

    A run whose process is dead counts as failed from then on.
    """

    def work(tx: Tx) -> dict[str, Any]:
        run = runs.get(tx, asked.run)
        if run is None:
            raise NotFoundError(f"There is no run {asked.run!r} in this project.")
        if run.status in ("created", "running"):
            runs.recover(tx, run.agent_id, run.conversation_id)
            run = runs.get(tx, asked.run) or run
        agent = agents.get(tx, run.agent_id)
        name = agent.name if agent is not None else "agent"
        kept = [_kept(tx, one) for one in runs.chain(tx, run)]
        return replay(kept, name, label=asked.label)

    return bundle(room.service.database.run(work))


def _kept(tx: Tx, run: Run) -> Kept:
    steps = runs.steps_of(tx, run.id)
    said = messages.page(tx, run.agent_id, run_id=run.id, limit=_MOST_MESSAGES, newest_first=False)
    return Kept(run, steps, said, _changes(tx, run.agent_id, steps))


def _changes(tx: Tx, agent_id: str, steps: list[Step]) -> list[tuple[str, MemoryChanged]]:
    """Return what these steps wrote into the agent's blocks, each with its step's id."""
    own = {step.id for step in steps}
    found = []
    for block in blocks.of_agent(tx, agent_id):
        versions = blocks.versions(tx, block.id)
        for before, after in zip([None, *versions], versions, strict=False):
            if after.step_id in own and after.step_id is not None:
                change = MemoryChanged(
                    label=block.label,
                    before=before.value if before is not None else "",
                    after=after.value,
                    version=after.version,
                )
                found.append((after.step_id, change))
    return found
