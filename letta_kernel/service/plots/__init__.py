"""What plots show of an agent, as figures: each is computed here alone, and drawn by whoever shows it."""

from __future__ import annotations

from dataclasses import replace

from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.memory.scoring import PARTS
from letta_kernel.models.facts import token_scale
from letta_kernel.models.tokens import count
from letta_kernel.records import Step
from letta_kernel.service.blocks import Blocks
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.explain import Explain
from letta_kernel.service.passages import Passages
from letta_kernel.service.plots import branches, context, memory, retrieval, usage
from letta_kernel.service.plots.chart import Chart, Mark, Node, Pane, Place, Series, total
from letta_kernel.service.plots.context import Seen
from letta_kernel.service.plots.retrieval import Weighed
from letta_kernel.service.rebuild import Rebuilt, rebuild
from letta_kernel.service.runs import Runs
from letta_kernel.service.timeline import Parted, TimedRun, Times
from letta_kernel.store import runs as stored_runs
from letta_kernel.store.database import Tx

__all__ = ["KINDS", "Chart", "Mark", "Node", "Pane", "Place", "Plots", "Series", "total"]

KINDS = ("tokens", "memory", "cost", "context", "retrieval", "branches")
_RUNS = 50  # that are looked at, unless another number is asked for
_PASSAGES = 100_000  # whose times are read
_STEPS = 300  # whose requests are made anew
_FORK_RUNS = 20  # of each fork
_LONG_END = 200  # messages
_MOST_KNOWN = 5000  # steps whose parts are kept at hand


class Plots:
    """The figures behind plots of a project's agents."""

    def __init__(
        self,
        core: Core,
        memories: Memories,
        blocks: Blocks,
        passages: Passages,
        runs: Runs,
        timeline: Times,
        explain: Explain,
    ) -> None:
        self._core = core
        self._memories = memories
        self._blocks = blocks
        self._passages = passages
        self._runs = runs
        self._timeline = timeline
        self._explain = explain
        self._known: dict[str, Seen] = {}

    def of(
        self, agent: str, what: str = "tokens", *, limit: int | None = None, query: str = ""
    ) -> Chart:
        """Return the figures of a plot.

        Parameters
        ----------
        what : tokens, memory, cost, context, retrieval or branches.
        limit : how many of the last runs; of retrieval, how many passages.
        query : of retrieval, what is searched for; what the last run was asked, if not given.

        Raises
        ------
        InvalidInputError
            There is no such plot, or nothing to show.
        """
        if what not in KINDS:
            hint = nearest(what, list(KINDS)) or f" There is: {', '.join(KINDS)}."
            raise InvalidInputError(f"There is no plot of {what!r}.{hint}")
        if limit is not None and limit < 1:
            what = "passage" if what == "retrieval" else "run"
            raise InvalidInputError(f"A plot shows at least one {what}.")
        if query.strip() and what != "retrieval":
            raise InvalidInputError(f"A plot of {what} takes no words to search for.")
        state = self._core.find_agent(agent)
        if what == "retrieval":
            return self._retrieval(state.id, state.name, query.strip(), limit or retrieval.MOST)
        most = limit or _RUNS
        if what == "context":
            return context.context(state.name, self._seen(state.id, most))
        if what == "branches":
            return self._branches(state.id, most)
        walked = self._walked(state.id, most + 1)
        older = len(walked) > most
        walked = walked[-most:]
        if what == "memory":
            history = [(one, self._blocks.versions(one.id)) for one in self._blocks.list(state.id)]
            passages = self._passages.list(state.id, _PASSAGES)
            forgotten = self._passages.forgotten(state.id)
            return memory.memory(state.name, walked, history, passages, forgotten, older)
        return (usage.cost if what == "cost" else usage.tokens)(state.name, walked)

    def _walked(self, agent: str, limit: int) -> usage.Walked:
        found = self._runs.whole(agent, limit)[::-1]
        return self._core.do(
            lambda tx: [(run, stored_runs.whole_steps(tx, run.id)) for run in found]
        )

    def _seen(self, agent: str, limit: int) -> list[Seen]:
        """Return what was in sight in the steps of an agent's line, oldest first."""
        past = self._timeline.of(agent, limit=limit)
        steps = [(one.asked, step) for one in past.runs[::-1] for step in one.steps]
        line = []
        for asked, step in steps[-_STEPS:]:
            asked = " ".join(asked.split())[:80]
            line.append(self._in_sight(step, asked))
        return line

    def _in_sight(self, step: Step, asked: str) -> Seen:
        """Return what the request of a step was made of; without tokens where nobody knows."""

        def work(tx: Tx) -> Rebuilt | None:
            run = stored_runs.get(tx, step.run_id)
            # As it is stored: a timeline has a run's steps under other numbers.
            found = stored_runs.get_step(tx, step.id)
            return None if run is None or found is None else rebuild(tx, found, run, body=False)

        if (known := self._known.get(step.id)) is not None:
            return replace(known, step=step, asked=asked)
        made = self._core.do(work)
        seen = Seen(step, asked)
        if made is None:
            return seen
        seen.window, seen.summary = made.window.get("tokens"), made.window.get("summary")
        seen.first = made.window.get("first")
        seen.cut = bool(made.missing)
        scale = token_scale(step.model)
        for piece in made.pieces:  # nobody waits for the store while they are counted
            tokens = count(piece.text, scale) + piece.images
            seen.tokens[piece.kind] = seen.tokens.get(piece.kind, 0) + tokens
        if step.prompt_tokens:  # it is over: of its request nothing changes any more
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[step.id] = seen
        return seen

    def _branches(self, agent: str, limit: int) -> Chart:
        past = self._timeline.of(agent, limit=limit)
        forks: dict[str, list[TimedRun]] = {}
        for side in past.sides:
            if side.agent and not side.purpose:
                found = self._timeline.of(side.id, limit=_FORK_RUNS).runs[::-1]
                forks[side.id] = [one for one in found if not one.of]
        left = {
            side.id: self._said_first(agent, side)
            for side in past.sides
            if not side.agent and side.said
        }
        return branches.branches(past, forks, left)

    def _said_first(self, agent: str, side: Parted) -> str:
        """Return what an old end begins with; empty where it is so long that it is not looked for."""
        if side.said > _LONG_END:
            return ""
        then = self._timeline.at(agent, side.id, limit=side.said)
        return next((one.said for one in then.messages if one.role in ("user", "event")), "")

    def _retrieval(self, agent: str, name: str, query: str, most: int) -> Chart:
        if not query:
            told = self._explain.step(agent=agent)
            found = [
                Weighed(one.id, one.text or "(gone)", one.relevance, one.scores)
                for one in told.considered
            ]
            asked = self._runs.whole(agent, 1)
            about = f" “{asked[0].asked[:60]}”" if asked and asked[0].id == told.run_id else ""
            if not found:
                raise InvalidInputError(
                    f"{name} looked at no passage for{about or ' its last message'}. Say what to search for."
                )
            title = f"What {name} looked at for{about or ' its last message'}"
            return retrieval.retrieval(title, found, most)
        archive = self._memories.of(self._core.find_agent(agent))[0]
        weighed = [
            Weighed(
                hit.passage.id,
                hit.passage.content,
                one.relevance,
                dict(zip(PARTS, one.parts, strict=False)),
            )
            for hit, one in archive.weighed(agent, query)
        ]
        return retrieval.retrieval(f"What {name} finds for “{query[:60]}”", weighed, most)
