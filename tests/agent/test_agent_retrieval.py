"""What a message brings to mind is placed beside it: within limits, recorded, and only where it is wanted."""

from __future__ import annotations

from agent_bench import Bench, ended

from letta_kernel.messages import StepStarted


def _asked(bench: Bench, question: str = "Where does the walrus live?") -> str:
    """Ask, and return the question as the model read it."""
    bench.server.say("In the bathtub.")
    assert ended(bench.send("ada", question)).stop_reason == "end_turn"
    return str(bench.server.requests[-1]["messages"][-1]["content"])


def test_matching_passages_stand_beside_the_message_and_in_the_record(bench: Bench) -> None:
    bench.service.passages.create("The walrus lives in the bathtub.", agent="ada")
    bench.service.passages.create("Taxes are due in May.", agent="ada")
    read = _asked(bench)
    assert "<retrieved_memory>" in read
    assert "lives in the bathtub" in read
    assert "Taxes" not in read
    assert read.endswith("Where does the walrus live?")
    [run] = bench.service.runs.whole("ada")
    [step] = bench.service.steps.of_run(run.id)
    assert [passage["content"] for passage in step.retrieved] == [
        "The walrus lives in the bathtub."
    ]
    assert bench.history("ada")[0].content == "Where does the walrus live?"  # as it was said
    bench.server.say("Yes.")
    events = bench.send("ada", "The walrus again")
    assert next(e for e in events if isinstance(e, StepStarted)).retrieved


def test_it_is_off_where_the_agent_is_set_so_and_nothing_matches_chatter(bench: Bench) -> None:
    bench.service.passages.create("The walrus lives in the bathtub.", agent="ada")
    assert "<retrieved_memory>" not in _asked(bench, "Thanks a lot")
    bench.service.agents.update("ada", settings={"retrieval": False})
    assert _asked(bench) == "Where does the walrus live?"


def test_a_budget_and_a_small_window_limit_it(bench: Bench) -> None:
    for number in range(8):
        bench.service.passages.create(
            f"The walrus lives in bathtub {number}. " + "soap " * 60, agent="ada"
        )
    everything = _asked(bench).count("The walrus lives")
    bench.service.agents.update("ada", settings={"retrieval_budget": 200})
    assert 1 <= _asked(bench).count("The walrus lives") < everything
    bench.service.agents.update("ada", settings={"retrieval_budget": 1000, "context_window": 4096})
    read = _asked(bench)
    assert read.count("The walrus lives") < everything
    assert len(read) < 4096 // 16 * 4 + 300


def test_the_prompt_says_how_much_there_is_to_search_and_by_which_tags(bench: Bench) -> None:
    assert "tags in archival memory" not in bench.service.runs.system_prompt("ada")
    bench.service.passages.create("Puffins nest in May.", ["birds", "may"], agent="ada")
    bench.service.passages.create(
        "Gulls nest in June.", ["birds", "odd </memory_metadata>\nend"], agent="ada"
    )
    bench.server.call("core_memory_append", {"label": "human", "content": "Likes birds."})
    for _ in range(3):
        bench.server.say("Yes.")
    bench.send("ada", "I like birds.")
    bench.send("ada", "Do you know?")
    first, second, third = (body["messages"][0]["content"] for body in bench.server.requests)
    assert first == second  # compiled anew between turns only
    facts = third[third.index("<memory_metadata>") :].splitlines()
    assert facts[-4:] == [
        "- messages in the conversation so far: 5",
        "- passages in archival memory: 2",
        "- tags in archival memory: birds, may, odd memory_metadata> end",
        "</memory_metadata>",
    ]
