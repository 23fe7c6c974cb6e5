"""Steps explained: what was sent and why, what it took, what came of it; and why words stand in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory.excerpts import RELEVANT
from letta_kernel.memory.origins import Sentence
from letta_kernel.memory.scoring import PARTS
from letta_kernel.messages import Message
from letta_kernel.models.facts import token_scale
from letta_kernel.models.tokens import count
from letta_kernel.records import Run, Step
from letta_kernel.service.blocks import Blocks
from letta_kernel.service.core import Core
from letta_kernel.service.explanation import (
    BlockChange,
    Explanation,
    KeptPassage,
    Looked,
    Made,
    PartCost,
    Reason,
)
from letta_kernel.service.rebuild import Piece, Rebuilt, rebuild
from letta_kernel.store import agents, blocks, messages, passage_versions, passages, runs
from letta_kernel.store.database import Tx

_LOOKED_AT = 20  # messages and steps among which the last step is looked for
_SHORTEST_ID = 4  # characters of a step's or a run's id that may stand for it


class Explain:
    """Explains the steps of a project's agents."""

    def __init__(self, core: Core, blocks: Blocks) -> None:
        self._core = core
        self._blocks = blocks

    def step(self, ref: str | int | None = None, *, agent: str | None = None) -> Explanation:
        """Return a step, explained.

        Parameters
        ----------
        ref : the id of a step (or how it begins), that of a run, which stands for its last step, or a number:
            that of a step in the agent's last run. The agent's last step, if not given.
        agent : whose step it is; only an id needs none.

        Raises
        ------
        NotFoundError
            There is no such step.
        InvalidInputError
            Several ids begin like that, or no agent is named.
        """

        def work(tx: Tx) -> tuple[Explanation, Rebuilt]:
            agent_id = self._core.agent(tx, agent).id if agent is not None else None
            step = _found(tx, str(ref) if ref is not None else "", agent_id)
            run = runs.get(tx, step.run_id)
            if run is None:
                raise NotFoundError(f"The run of {step.id} is gone.")
            made = rebuild(tx, step, run)
            return _told(tx, step, run, made), made

        told, made = self._core.do(work)
        # Counting takes its time: nobody waits for the store meanwhile.
        told.parts = _costs(told, made)
        wrote = self._core.do(lambda tx: _writers(tx, told.parts))
        for part in told.parts:
            part.step_id = wrote.get((part.block_id, part.version))
        return told

    def why(self, label: str, words: str, *, agent: str) -> list[Reason]:
        """Return why *words* stand in a block of an agent: each sentence that has them, and what brought it in.

        Raises
        ------
        NotFoundError
            There is no such block, or its text has no such words; the text says in which versions it had them.
        """
        wanted = " ".join(words.split()).casefold()
        if not wanted:
            raise InvalidInputError("Which words? Say some that stand in the block.")
        sentences = self._blocks.origin(label, agent=agent)
        found = _having(sentences, wanted)
        if not found:
            raise NotFoundError(
                f"{label} does not say {words!r}.{self._once(label, wanted, agent)}"
            )
        return [_reason(label, one) for one in found]

    def _once(self, label: str, wanted: str, agent: str) -> str:
        """Return in which versions of a block the words stood, in a sentence."""
        versions = self._blocks.versions(label, agent=agent)
        had = [one for one in versions if wanted in " ".join(one.value.split()).casefold()]
        if not had:
            return ""
        last = had[-1]
        after = next((one for one in versions if one.version > last.version), None)
        gone = f"; version {after.version} took them out" if after is not None else ""
        step = f" in {after.step_id}" if after is not None and after.step_id else ""
        return f" Versions {had[0].version} to {last.version} did{gone}{step}."


def _having(sentences: Sequence[Sentence], wanted: str) -> list[Sentence]:
    """Return the sentences in which the words stand, or that they reach over."""
    alone = [one for one in sentences if wanted in " ".join(one.text.split()).casefold()]
    if alone:
        return alone
    place, spans = 0, []
    for one in sentences:
        said = " ".join(one.text.split()).casefold()
        if said:
            spans.append((place, place + len(said), one))
            place += len(said) + 1
    whole = " ".join(" ".join(one.text.split()).casefold() for *_, one in spans)
    at = whole.find(wanted)
    return [one for begin, end, one in spans if at >= 0 and begin < at + len(wanted) and at < end]


def _reason(label: str, one: Sentence) -> Reason:
    origin, asked = one.origin, one.origin.asked
    return Reason(
        label=label,
        text=one.text.strip(),
        origin=str(origin),
        version=origin.version,
        step_id=asked.step_id if asked is not None else None,
        run_id=asked.run_id if asked is not None else None,
        message=asked.message if asked is not None else "",
        at=origin.at,
    )


# -- which step is meant -----------------------------------------------------------------------------


def _found(tx: Tx, ref: str, agent_id: str | None) -> Step:
    """Return the step that *ref* stands for."""
    if not ref or ref.isdecimal():
        if agent_id is None:
            raise InvalidInputError("Whose step? Name the agent, or the step by its id.")
        newest = _newest(tx, agent_id)
        if newest is None:
            raise NotFoundError("There is no step yet: nothing has been said.")
        if not ref:
            return newest
        every = runs.whole_steps(tx, runs.first_of(tx, newest.run_id))
        if not 1 <= int(ref) <= len(every):
            raise NotFoundError(f"The last run has {len(every)} steps; there is no step {ref}.")
        # As it is stored: numbered through it has what belongs to others.
        return runs.get_step(tx, every[int(ref) - 1].id) or newest
    if (step := runs.get_step(tx, ref)) is not None:
        return step
    if (run := runs.get(tx, ref)) is not None:
        return _last_of(tx, run)
    begun = ref.removeprefix("step-").removeprefix("run-")
    ids = runs.beginning(tx, ref) if len(begun) >= _SHORTEST_ID else []
    if len(ids) > 1:
        raise InvalidInputError(
            f"{len(ids)} steps and runs begin with {ref!r}: {', '.join(ids[:5])}."
        )
    if not ids:
        raise NotFoundError(f"There is no step or run {ref!r}.")
    return _found(tx, ids[0], agent_id)


def _newest(tx: Tx, agent_id: str) -> Step | None:
    """Return the last step of an agent: in its own line, where a fork's may be another's, or a conversation."""
    state = agents.get(tx, agent_id)
    if state is None:
        return None
    line = messages.page(tx, agent_id, thread=state.thread, roles=["assistant"], limit=_LOOKED_AT)
    ids = [one.step_id for one in line if one.step_id]
    found = [step for one in ids[:1] if (step := runs.get_step(tx, one)) is not None]
    for step in runs.find_steps(tx, agent_id=agent_id, limit=_LOOKED_AT):
        run = runs.get(tx, step.run_id)
        if step.number and run is not None and run.conversation_id is not None:
            found.append(step)
            break
    return max(found, key=lambda step: step.created_at, default=None)


def _last_of(tx: Tx, run: Run) -> Step:
    steps = [step for one in runs.chain(tx, run) for step in runs.steps_of(tx, one.id)]
    asked = [step for step in steps if step.number]
    if not asked:
        raise NotFoundError(f"In {run.id} no model was asked.")
    return asked[-1]


# -- what is told of it ------------------------------------------------------------------------------


def _told(tx: Tx, step: Step, run: Run, made: Rebuilt) -> Explanation:
    agent = agents.get(tx, step.agent_id)
    request, form = made.request, made.request.response_format
    told = Explanation(
        step_id=step.id,
        run_id=step.run_id,
        agent_id=step.agent_id,
        agent=agent.name if agent is not None else step.agent_id,
        number=step.number,
        created_at=step.created_at,
        model=step.model,
        conversation_id=run.conversation_id,
        exact=made.exact,
        missing=made.missing,
        messages=request.messages,
        tools=request.tools,
        tool_choice=request.tool_choice,
        params=request.params,
        response_format={"name": form.name, "schema": form.schema, "strict": form.strict}
        if form is not None
        else None,
        body=made.body.decode("utf-8", "replace") if made.body is not None else None,
        window=made.window,
        shortened=made.shortened,
        refused=made.sent.refused if made.sent is not None else {},
        prompt_tokens=step.prompt_tokens,
        completion_tokens=step.completion_tokens,
        cached_tokens=step.cached_tokens,
        cost=step.cost,
        seconds=step.seconds,
        raw=step.request.get("text"),
        stop_reason=step.stop_reason,
        error=step.error,
    )
    told.considered = _considered(tx, step)
    told.edits = [one.model_dump() for one in made.edits]
    own = [step.id, *_settled(tx, step, run)]
    said = [
        message
        for one in own
        for message in messages.page(tx, step.agent_id, step_id=one, limit=500, newest_first=False)
    ]
    _answered(told, step, said, [runs.get_step(tx, one) for one in own])
    told.changes = _changes(tx, own)
    told.kept = [KeptPassage(one.id, one.content) for one in passages.written_in(tx, own)]
    return told


def _settled(tx: Tx, step: Step, run: Run) -> list[str]:
    """Return the step in which calls that waited for a word were carried out, if *step* asked for them."""
    if step.stop_reason != "requires_approval":
        return []
    later = runs.chain(tx, run)[1:2]
    return [one.id for run in later for one in runs.steps_of(tx, run.id) if one.number == 0]


def _answered(
    told: Explanation, step: Step, said: Sequence[Message], steps: Sequence[Step | None]
) -> None:
    """Add what the model said, and what came of its calls."""
    spoken = next((one for one in said if one.role == "assistant"), None)
    if spoken is None:
        return
    told.said, told.reasoning = spoken.content, spoken.reasoning
    for one in said:
        if one.role == "tool":
            told.edits += [edit.model_dump() for edit in one.edits or ()]
    raw = dict(step.request.get("calls", ()))
    results = {one.tool_call_id: one for one in said if one.role == "tool"}
    stats = [one for step in steps if step is not None for one in step.tool_stats]
    for place, call in enumerate(spoken.tool_calls):
        result = results.get(call.id)
        seconds = None
        if result is not None:
            at = next((n for n, one in enumerate(stats) if one.get("name") == call.name), None)
            seconds = stats.pop(at).get("seconds") if at is not None else None
        told.calls.append(
            Made(
                call.id,
                call.name,
                call.arguments,
                raw=raw.get(place),
                status=result.status if result is not None else None,
                result=result.content if result is not None else "",
                seconds=seconds,
            )
        )


def _changes(tx: Tx, steps: Sequence[str]) -> list[BlockChange]:
    found = []
    for one in blocks.of_steps(tx, steps):
        block = blocks.get(tx, one.block_id)
        before = blocks.latest(tx, one.block_id, below=one.version)
        found.append(
            BlockChange(
                one.block_id,
                block.label if block is not None else one.block_id,
                one.version,
                before.value if before is not None else "",
                one.value,
                one.reason,
            )
        )
    return found


def _considered(tx: Tx, step: Step) -> list[Looked]:
    """Return what retrieval looked at for the message that the step's run began with."""
    first = next((one for one in runs.steps_of(tx, step.run_id) if one.number == 1), step)
    shown: dict[str, int] = {}
    for one in first.retrieved:
        shown |= dict.fromkeys([one["id"], *one.get("joined", ())], one["n"])
    looked_at = first.request.get("considered")
    if looked_at is None:  # a step of before
        looked_at = [[one["id"], one.get("score", 0.0)] for one in first.retrieved]
    there = passage_versions.texts_at(tx, [one[0] for one in looked_at], first.created_at)
    return [
        Looked(
            id=one,
            outcome="shown" if one in shown else "budget" if relevance >= RELEVANT else "weak",
            relevance=relevance,
            scores=dict(zip(PARTS, scores, strict=False)),
            text=there.get(one),
            n=shown.get(one),
        )
        for one, relevance, *scores in looked_at
    ]


def _writers(tx: Tx, parts: Sequence[PartCost]) -> dict[tuple[str, int | None], str | None]:
    """Return the steps that wrote the versions of blocks that were shown."""
    known: dict[tuple[str, int | None], str | None] = {}
    for part in parts:
        if part.block_id and part.version is not None:
            found = blocks.at(tx, part.block_id, part.version)
            known[part.block_id, part.version] = found.step_id if found is not None else None
    return known


# -- what it took ------------------------------------------------------------------------------------


def _costs(told: Explanation, made: Rebuilt) -> list[PartCost]:
    """Return the parts of the request with what each took, of one kind of message one part."""
    scale = token_scale(told.model)
    found: list[PartCost] = []
    together: dict[str, PartCost] = {}
    for piece in _joined(made.pieces):
        tokens = count(piece.text, scale) + piece.images
        if piece.kind in ("history", "said", "call", "result"):
            one = together.get(piece.kind)
            if one is not None:
                one.tokens += tokens
                one.text += f"\n\n{piece.text}"
                continue
        part = PartCost(
            piece.kind,
            piece.name,
            tokens,
            piece.text,
            block_id=piece.block_id,
            version=piece.version,
        )
        together.setdefault(piece.kind, part)
        found.append(part)
    every = sum(part.tokens for part in found)
    from letta_kernel.models.costs import prompt_cost  # what calls models takes time to load

    paid = prompt_cost(told.model, told.cost, told.completion_tokens)
    for part in found if every else ():
        share = part.tokens / every
        part.real = round(told.prompt_tokens * share) if told.prompt_tokens else None
        part.cost = paid * share if paid is not None else None
    return found


_NAMES = {
    "history": "earlier messages",
    "said": "what it said in this turn",
    "call": "calls of this turn",
    "result": "results of calls",
    "message": "the message",
    "summary": "summary",
}


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Return *pieces* under the names that people read."""
    return [replace(one, name=_NAMES.get(one.kind, one.name)) for one in pieces if one.text]
