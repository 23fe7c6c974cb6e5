"""The stop button at the moment something is committed: nothing is written twice, nobody stays busy."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import pytest
from agent_bench import Bench, ended, valid

from letta_kernel.messages import RunEnded
from letta_kernel.store.database import Database

ADD = '''
def add(a: int, b: int) -> int:
    """Add numbers.

    Args:
        a: one
        b: another
    """
    return a + b
'''


@pytest.mark.parametrize("commit", range(1, 5))
def test_stop_at_any_commit_leaves_the_agent_usable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, commit: int
) -> None:
    bench.give("ada", ADD)
    bench.server.call("add", {"a": 1, "b": 2})
    bench.server.say("Three.")
    bench.server.say("Three.")
    real, commits = Database.run, []

    def pressed(self: Database, work: Any, **how: Any) -> Any:
        result = real(self, work, **how)
        commits.append(work)
        if len(commits) == commit:
            signal.raise_signal(signal.SIGINT)  # noted at once, raised where that is allowed
        return result

    monkeypatch.setattr(Database, "run", pressed)
    events = []
    with contextlib.suppress(KeyboardInterrupt):
        for event in bench.service.runs.send("ada", "One and two?", host=bench.host):
            events.append(event)
    monkeypatch.setattr(Database, "run", real)
    assert len(commits) >= commit
    for end in (event for event in events if isinstance(event, RunEnded)):
        assert end.stop_reason in ("end_turn", "cancelled"), end.error
    assert all(run.status != "running" for run in bench.service.runs.whole("ada"))
    assert not [run for run in bench.service.runs.whole("ada") if run.error]
    bench.server.forget()
    bench.server.say("Here.")
    assert ended(bench.send("ada", "Still there?")).stop_reason == "end_turn"
    valid(bench.server.requests[-1]["messages"])
    ids = [message.id for message in bench.history("ada")]
    assert len(ids) == len(set(ids))
