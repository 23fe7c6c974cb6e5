"""Write a small store with today's code and keep it, for every later version to open.

Run once before the tables change: ``python tests/data/make_store.py`` makes ``store-vN.duckdb.gz`` here,
N being the number of today's schema. A store that is there already is left alone: it stands for the
program that wrote it.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from scripted_server import ScriptedServer  # noqa: E402

from letta_kernel.records import Block, Tool  # noqa: E402
from letta_kernel.service import AgentService  # noqa: E402
from letta_kernel.store.migrations import MIGRATIONS  # noqa: E402
from letta_kernel.tools.schema import schema_from_source  # noqa: E402

COUNT = '''
def count_birds(species: str) -> int:
    """How many birds of a species were seen.

    Args:
        species: The English name.
    """
    return {"puffin": 12}.get(species, 0)
'''
PAY = '''
def pay(euros: float) -> str:
    """Pay an amount.

    Args:
        euros: How much.
    """
    return f"paid {euros}"
'''


def fill(service: AgentService, model: ScriptedServer) -> None:
    """Put a member of every kind into an empty store."""
    service.agents.create(
        "ada",
        model="openai/scripted",
        persona="I am Ada.",
        human="Name: Mara",
        settings={"temperature": 0.5},
        tags=["birds"],
    )
    service.agents.create("bob", model="openai/scripted", blocks={"notes": "Rain."})
    for source, asks in ((COUNT, False), (PAY, True)):
        tool = Tool(**schema_from_source(source), source=source, requires_approval=asks)
        service.tools.attach(service.tools.upsert(tool).id, agent="ada")
    shared = service.blocks.create(Block(label="team", value="We count birds."))
    for name in ("ada", "bob"):
        service.blocks.attach(shared.id, agent=name)
    service.blocks.upsert("human", "Name: Mara. Looks after the puffins.", agent="ada")
    service.blocks.undo("human", agent="ada")
    service.passages.create("The puffin colony is on the north cliff.", ["place"], agent="ada")
    service.passages.create("Mara's boat is called Heron.", agent="ada")
    shelf = service.archives.create("shelf")
    service.archives.attach(shelf.id, agent="bob")
    service.passages.create("The key hangs behind the kitchen door.", agent="bob")
    folder = service.folders.create("papers")
    service.files.create("tide.md", b"# Tides\n\nHigh water is at noon.", folder=folder.id)
    service.folders.attach(folder.id, agent="ada")
    service.identities.create("mara@station", "Mara", agents=[service.agents.retrieve("ada").id])
    service.settings.put("agent", "ada")

    model.call("count_birds", {"species": "puffin"})
    model.say("Twelve puffins.")
    list(service.runs.send("ada", "How many puffins?"))
    list(service.runs.send("ada", "The door opened.", role="event"))
    conversation = service.conversations.create("ada", summary="planning")
    model.say("Let us plan.")
    list(service.runs.send("ada", "A plan, please.", conversation=conversation.id))
    model.call("pay", {"euros": 5})
    list(service.runs.send("ada", "Pay five euros."))


def main() -> None:
    """Make the store and pack it."""
    target = HERE / f"store-v{len(MIGRATIONS)}.duckdb.gz"
    if target.exists():
        sys.exit(f"{target.name} is there already.")
    with tempfile.TemporaryDirectory() as folder, ScriptedServer() as model:
        os.environ.update(OPENAI_BASE_URL=model.url, OPENAI_API_KEY="test", LETTA_APPROVAL="wait")
        with AgentService(Path(folder) / ".letta") as service:
            fill(service, model)
            path = service.database.path
        assert not path.with_name("letta.duckdb.wal").exists(), "the log was not written back"
        target.write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
