"""What plots show: figures of what agents really did, said and found."""

from __future__ import annotations

import json

import pytest
from agent_bench import Bench

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory.excerpts import RELEVANT
from letta_kernel.notebook.panel import rpc
from letta_kernel.service.plots import KINDS, Chart, total

APPEND = ("core_memory_append", {"label": "human", "content": "Kim lives in Oslo."})
KEEP = ("archival_memory_insert", {"content": "The boat is blue."})


@pytest.fixture
def ada(bench: Bench) -> str:
    """An agent that was told two things in four steps, and once changed by hand between them."""
    ada = bench.service.agents.create("ada", human="Nothing yet.").id
    for call in (APPEND, KEEP):
        bench.server.calls([call])
        bench.server.say("I see.")
        bench.send(ada, "Listen!")
        if call is APPEND:
            bench.service.blocks.upsert("human", "", agent=ada, reason="test")
    return ada


def _of(bench: Bench, what: str, **options: object) -> Chart:
    return bench.service.plots.of("ada", what, **options)  # type: ignore[arg-type]


def test_memory_step_by_step_with_changes_by_hand_between(bench: Bench, ada: str) -> None:
    chart = _of(bench, "memory")
    assert [place.at for place in chart.places] == [0, 1, 2, 2.5, 3, 4]
    human = next(one for one in chart.panes[0].series if one.name == "human")
    before, after = len("Nothing yet."), len("Nothing yet.\nKim lives in Oslo.")
    assert human.values == [before, after, after, 0, 0, 0]
    assert human.changed == [0, 1, 3]
    assert human.most == 20_000
    assert chart.panes[1].unit == "passages"
    assert chart.panes[1].series[0].values == [0, 0, 0, 0, 1, 1]
    bench.service.passages.forget([one.id for one in bench.service.passages.list(ada)], agent=ada)
    assert _of(bench, "memory").panes[1].series[0].values[-2:] == [1, 0]
    # Of the last run alone: what was before it is one place.
    short = _of(bench, "memory", limit=1)
    assert [place.name for place in short.places][:3] == ["before", "step 1", "step 2"]
    assert short.panes[0].series[-1].values[0] == 0


def test_tokens_and_cost_of_each_step(bench: Bench, ada: str) -> None:
    steps = [one for one, _ in bench.service.steps.list(limit=10, newest_first=False)]
    chart = _of(bench, "tokens")
    assert total(chart.panes[0]) == [one.prompt_tokens + one.completion_tokens for one in steps]
    assert [mark.at for mark in chart.marks] == [0.5, 2.5]
    assert [place.ref for place in chart.places] == [one.id for one in steps]
    known = [one.cost for one in steps]
    if any(known):
        spent = _of(bench, "cost")
        assert spent.panes[0].series[0].values == known
        assert spent.panes[1].series[0].values[-1] == pytest.approx(sum(one or 0 for one in known))
    else:
        with pytest.raises(InvalidInputError, match="No price"):
            _of(bench, "cost")


def test_the_context_window_is_what_each_request_was_made_of(bench: Bench, ada: str) -> None:
    chart = _of(bench, "context")
    assert len(chart.places) == 4
    bands = {one.name: one.values for one in chart.panes[0].series}
    for place, ref in enumerate(one.ref for one in chart.places):
        told = bench.service.explain.step(ref)
        kinds = {part.kind: part.tokens for part in told.parts}
        assert bands["tools"][place] == kinds["tools"]
        blocks = sum(part.tokens for part in told.parts if part.kind == "block")
        assert bands["memory blocks"][place] == blocks
        assert chart.panes[0].limit == told.window["tokens"]
    assert bands["earlier messages"][0] == 0 < (bands["earlier messages"][3] or 0)
    over = chart.panes[0].over
    assert over is not None
    assert over.values == [one.prompt_tokens for one, _ in
                           bench.service.steps.list(limit=10, newest_first=False)]  # fmt: skip


def test_compactions_are_marked_where_the_summary_changed(bench: Bench) -> None:
    bench.service.agents.create("ada", settings={"context_window": 3000})
    for _ in range(8):
        bench.server.say("Well. " * 60)
        bench.send("ada", "A long story. " * 60)
    chart = _of(bench, "context")
    marks = [mark.at for mark in chart.marks if mark.kind == "compaction"]
    first = [one.request["first"] for one, _ in
                 bench.service.steps.list(limit=50, newest_first=False)]  # fmt: skip
    assert marks
    moved = [place + 0.5 for place in range(1, len(first)) if first[place] > first[place - 1]]
    assert marks == moved
    assert "compacted" in chart.summary
    over = chart.panes[0].over
    assert over is not None
    gaps = [place + 0.5 for place, value in enumerate(over.values) if value is None]
    assert gaps == marks


def test_retrieval_adds_up_and_has_the_threshold(bench: Bench, ada: str) -> None:
    bench.service.passages.remember("Oslo is cold in winter.", agent=ada)
    chart = _of(bench, "retrieval", query="Which colour has the boat?")
    assert chart.places[0].about == "The boat is blue."
    ranks = total(chart.panes[0])
    assert ranks == sorted(ranks, reverse=True)
    relevance = chart.panes[1]
    assert relevance.limit == RELEVANT
    hits = bench.service.passages.search("Which colour has the boat?", agent=ada)
    scores = {hit.passage.id: hit.score for hit in hits}
    for place, value in zip(chart.places, relevance.series[0].values, strict=True):
        assert value == pytest.approx(scores[place.ref], abs=1e-3)
        assert place.weak == (scores[place.ref] < RELEVANT)
    bench.server.say("Blue.")
    bench.send(ada, "Which colour has my boat?")
    looked = _of(bench, "retrieval")
    assert "Which colour has my boat?" in looked.title
    assert {place.ref for place in looked.places} == set(scores)
    assert len(_of(bench, "retrieval", query="boat", limit=1).places) == 1


def test_branches_have_lanes_of_their_own(bench: Bench, ada: str) -> None:
    service = bench.service
    service.forks.fork(ada, "bold")
    bench.server.say("Hello.")
    bench.send("bold", "You are bold.")
    bench.server.say("No.")
    bench.send(ada, "A mistake.")
    service.forks.undo(ada)
    bench.server.say("Yes.")
    bench.send(ada, "Better.")
    nodes = _of(bench, "branches").nodes
    said = [(one.kind, one.lane, one.about) for one in nodes]
    fork = next(one.lane for one in nodes if one.kind == "fork")
    end = next(one.lane for one in nodes if one.kind == "end")
    assert said == [
        ("run", 0, "Listen!"),
        ("run", 0, "Listen!"),
        ("fork", fork, ""),
        ("fork_run", fork, "You are bold."),
        ("end", end, "A mistake."),
        ("run", 0, "Better."),
    ]
    assert 0 not in (fork, end)
    assert fork != end
    assert [one.parent for one in nodes] == [None, 0, 1, 2, 1, 1]


def test_a_fork_has_the_context_it_shares_and_tokens_of_its_own(bench: Bench, ada: str) -> None:
    fork = bench.service.forks.fork(ada, "bold")
    shared, line = (bench.service.plots.of(one, "context") for one in (ada, fork.id))
    assert [place.ref for place in line.places] == [place.ref for place in shared.places]
    assert line.panes[0].series == shared.panes[0].series
    with pytest.raises(InvalidInputError, match="no step yet"):
        bench.service.plots.of(fork.id, "tokens")
    assert {node.about for node in bench.service.plots.of(fork.id, "branches").nodes} == {"Listen!"}


def test_what_cannot_be_plotted_says_why(bench: Bench) -> None:
    bench.service.agents.create("ada")
    for what in ("tokens", "cost", "context", "branches", "retrieval"):
        with pytest.raises(
            (InvalidInputError, NotFoundError), match=r"said|say something|No price"
        ):
            _of(bench, what)
    with pytest.raises(InvalidInputError, match="Did you mean 'context'"):
        _of(bench, "contxt")
    with pytest.raises(InvalidInputError, match="no words to search for"):
        _of(bench, "tokens", query="boat")
    with pytest.raises(InvalidInputError, match="at least one"):
        _of(bench, "tokens", limit=0)


def test_every_plot_has_a_table_and_a_sentence(bench: Bench, ada: str) -> None:
    for what in set(KINDS) - {"cost", "retrieval"}:
        chart = _of(bench, what)
        columns, rows = chart.table()
        assert rows
        assert all(len(row) == len(columns) for row in rows)
        assert chart.summary.endswith(".")
        asked = {"agent": "ada", "what": what}
        assert json.loads(json.dumps(rpc.answer(bench.service, "plot", asked)))["kind"] == what
    with pytest.raises(InvalidInputError, match="plot: what"):
        rpc.answer(bench.service, "plot", {"agent": "ada", "what": "nothing"})
