"""A walk at random among agents that fork, go back and go on: every step stays what it was."""

from __future__ import annotations

import random

import pytest
from agent_bench import Bench, kept_whole
from test_service_forks import heard, human, remember, sound, steps

from letta_kernel.errors import NotFoundError

OPERATIONS = ("say", "say", "undo", "rewind", "fork", "adopt", "compact", "reset", "delete")


def look(bench: Bench, agent: str) -> tuple[list[str], str, list[str]]:
    known = bench.service.passages.list(agent, 100)
    return heard(bench, agent), human(bench, agent), sorted(one.content for one in known)


@pytest.mark.parametrize("seed", [7])
def test_every_step_stays_what_it_was(bench: Bench, seed: int) -> None:
    service, dice = bench.service, random.Random(seed)
    service.agents.create("a0", human="Kim")
    known: dict[str, dict[str, tuple[list[str], str, list[str]]]] = {"a0": {}}
    done: list[str] = []  # shown where it fails
    for number in range(16):
        agent, operation = dice.choice([*known]), dice.choice(OPERATIONS)
        done.append(f"{operation} {agent}")
        points, before = known[agent], look(bench, agent)
        if operation == "say":
            service.passages.create(f"passage {number}", agent=agent)
            run = remember(bench, f"question {number}", f"fact {number}", agent)
            points[steps(bench, run)[-1]] = look(bench, agent)
        elif operation == "undo":
            try:
                service.forks.undo(agent)
            except NotFoundError:  # nothing was said
                continue
            service.forks.redo(agent)
            assert look(bench, agent) == before, done
        elif operation == "rewind" and points:
            step = dice.choice([*points])
            service.forks.rewind(agent, step)
            assert look(bench, agent) == points[step], done
        elif operation == "fork" and len(known) < 4:
            fork = service.forks.fork(agent, f"a{number + 1}").name
            assert look(bench, fork) == before, done
            line = {one.step_id for one in bench.history(agent)}
            known[fork] = {step: seen for step, seen in points.items() if step in line}
        elif operation == "adopt":
            other = dice.choice([*known])
            if other != agent:
                service.forks.adopt(agent, other)
                assert look(bench, agent) == look(bench, other), done
        elif operation == "compact":
            bench.server.say("What was said.")
            service.messages.compact(agent)
            bench.server.forget()
        elif operation == "reset":
            service.agents.reset(agent)
            points.clear()
        elif operation == "delete" and len(known) > 2:
            del known[agent]
            service.agents.delete(agent)
    for agent, points in known.items():
        for step, seen in points.items():
            then = service.timeline.at(agent, step, limit=100)
            said = [one.content for one in then.messages if one.role != "tool" and one.content]
            held = sorted(one.content for one in then.passages)
            assert (said, then.blocks["human"], held) == seen, (done, agent, step)
    sound(bench)
    kept_whole(service)
