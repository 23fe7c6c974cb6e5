"""Which agent tidies the memory of another one, and what it is given for that."""

from __future__ import annotations

from letta_kernel.agent import prompts
from letta_kernel.records import REST, SLEEPTIME_OF, AgentState, Block, Group, ToolRule
from letta_kernel.service.agents import Agents
from letta_kernel.store import agents, blocks, groups, messages
from letta_kernel.store.database import Tx

EVERY = 5
"""Turns after which memory is tidied, unless something else is asked for."""
STEPS = 20
"""Model calls that one look may take."""
TOKENS = 100_000
"""Tokens that one look may take; the setting ``budget_tokens`` of the sleep-time agent changes it."""
TOOLS = (
    *("memory_replace", "memory_insert", "memory_rethink", "memory_finish_edits"),
    *("archival_memory_insert", "archival_memory_search", "conversation_search"),
)
"""What a sleep-time agent can call: nothing of a notebook's, nothing that would ask a person."""
PERSONA = "memory_persona"
"""The block that a sleep-time agent has for itself."""
_INHERITED = ("fallbacks", "context_window", "timezone", "tool_calls")  # settings of the agent's


def make(
    tx: Tx, made_by: Agents, state: AgentState, every: int, review: bool, model: str | None
) -> Group:
    """Return a new group of an agent and one that tidies its memory: made, or back from being set aside."""
    known = [one for one in agents.list_all(tx, set_aside=True) if one.looks_after == state.id]
    if known:
        sleeper = agents.save(tx, known[-1].model_copy(update={"set_aside": False}))
        if model is not None:
            sleeper = made_by.update(sleeper.id, model=model)
    else:
        sleeper = made_by.create(
            f"{state.name[:80]}-sleeptime",
            namesakes="keep",
            description=f"Tidies the memory of {state.name} while it rests.",
            model=model or state.model,
            known_models=model is not None,
            embedding=state.embedding,
            instructions=prompts.SLEEPTIME,
            blocks=[
                Block(
                    label=PERSONA,
                    value=prompts.SLEEPTIME_PERSONA,
                    description=prompts.BLOCK_DESCRIPTIONS[PERSONA],
                    read_only=True,
                )
            ],
            own_blocks=False,
            core_tools=TOOLS,
            tool_rules=[ToolRule(type="exit_loop", tool_name="memory_finish_edits")],
            max_steps=STEPS,
            settings={
                "autoclear": True,
                "retrieval": False,
                "notebook": "off",
                "notebook_context": "off",
                "budget_tokens": TOKENS,
                **{key: state.settings[key] for key in _INHERITED if key in state.settings},
            },
            metadata={REST: {"agent_type": "sleeptime_agent", SLEEPTIME_OF: state.id}},
        )
    newest = messages.last(tx, state.id)
    return groups.add(
        tx,
        Group(
            description=f"{sleeper.name} tidies the memory of {state.name}.",
            manager_type="sleeptime",
            agent_ids=[sleeper.id],
            manager_agent_id=state.id,
            sleeptime_agent_frequency=every,
            sleeptime_propose_only=review,
            turns_counter=0,
            last_processed_message_id=newest.id if newest else None,
        ),
    )


def tidies_another(tx: Tx, agent_id: str) -> bool:
    """Return whether an agent tidies the memory of another one."""
    found = groups.list_all(tx, manager_type="sleeptime", agent_id=agent_id, hidden=True)
    return any(agent_id in one.agent_ids for one in found)


def share_blocks(tx: Tx, agent_id: str, sleeper_id: str) -> None:
    """Let the sleep-time agent have the blocks its agent has now, and no longer those it has not."""
    own = {one.id: one for one in blocks.of_agent(tx, agent_id)}
    sleeper, has = agents.get(tx, sleeper_id), {}
    for block in blocks.of_agent(tx, sleeper_id):
        made_here = sleeper is not None and sleeper.looks_after == agent_id
        if made_here and block.id not in own and block.label != PERSONA:
            blocks.detach(tx, sleeper_id, block.id)  # the block stays, as after any detaching
        else:
            has[block.label] = block.id
    for block in own.values():
        if block.label not in has:
            blocks.attach(tx, sleeper_id, block.id)


def part(tx: Tx, group: Group, state: AgentState) -> None:
    """Let nobody tidy an agent's memory any more; who did is set aside, so that its versions have a name."""
    groups.delete(tx, group.id)
    for sleeper in (agents.get(tx, one) for one in group.agent_ids):
        if sleeper is None:
            continue
        for block in blocks.of_agent(tx, sleeper.id):
            if state.id in blocks.agents_with(tx, block.id):
                blocks.detach(tx, sleeper.id, block.id)
        if sleeper.looks_after == state.id:
            agents.save(tx, sleeper.model_copy(update={"set_aside": True}))
