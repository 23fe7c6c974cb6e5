"""A block that agents of two processes share."""

from __future__ import annotations

import subprocess
import sys

from scripted_server import ScriptedServer

from letta_kernel.notebook.panel import rpc
from letta_kernel.service import AgentService
from letta_kernel.service.changes import ChangeWatch

BOB = """
import sys
from letta_kernel.service import AgentService

with AgentService(sys.argv[1]) as service:
    for event in service.runs.send("bob", "We meet at nine."):
        pass
"""


def test_an_edit_by_an_agent_elsewhere_is_seen_with_whose_it_was(
    service: AgentService, scripted: ScriptedServer
) -> None:
    for name in ("ada", "bob"):
        service.agents.create(name)
    ada = service.agents.retrieve("ada").id
    service.blocks.upsert("team", "We count birds.", agent="ada")
    watch = ChangeWatch(service.database)
    watch.changed()

    service.blocks.share("team", agent="ada", other="bob")
    told = watch.changed()
    assert told is not None
    assert "blocks" in told["what"]
    assert ada in told["agents"]  # whose block it was before, too

    scripted.call("memory_insert", {"label": "team", "new_string": "At nine."})
    scripted.say("Noted.")
    subprocess.run([sys.executable, "-c", BOB, str(service.home)], check=True, timeout=120)
    told = watch.changed()
    assert told is not None
    assert ada in told["agents"]
    (team,) = (b for b in rpc.answer(service, "blocks", {"agent": ada}) if b["label"] == "team")
    assert team["value"] == "We count birds.\nAt nine."
    assert (team["shared_with"], team["by"], team["how"]) == (["bob"], "bob", "memory_insert")
    newest, first = rpc.answer(service, "block.versions", {"agent": ada, "label": "team"})
    assert (newest["by"], newest["after"], first["by"]) == ("bob", "We meet at nine.", "")
    run = service.runs.whole("bob")[0]
    assert (newest["run_id"], newest["run_id"]) == (run.id, service.steps.of_run(run.id)[0].run_id)

    refused = _refused(service, {"agent": ada, "label": "team", "expected_version": 1})
    assert refused == "ConflictError"
    scripted.say("At nine, together.")
    list(service.runs.send("ada", "When do we meet?"))
    prompt = scripted.requests[-1]["messages"][0]["content"]
    assert "We count birds.\nAt nine." in prompt


def _refused(service: AgentService, params: dict[str, object]) -> str:
    try:
        rpc.answer(service, "block.undo", params)
    except Exception as error:
        return type(error).__name__
    return ""
