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
    service.create_agent(
        "ada",
        model="openai/scripted",
        persona="I am Ada.",
        human="Name: Mara",
        settings={"temperature": 0.5},
        tags=["birds"],
    )
    service.create_agent("bob", model="openai/scripted", blocks={"notes": "Rain."})
    for source, asks in ((COUNT, False), (PAY, True)):
        tool = Tool(**schema_from_source(source), source=source, requires_approval=asks)
        service.attach_tool("ada", service.save_tool(tool).id)
    shared = service.make_block(Block(label="team", value="We count birds."))
    for name in ("ada", "bob"):
        service.attach_block(name, shared.id)
    service.write_block("ada", "human", "Name: Mara. Looks after the puffins.")
    service.undo_block("ada", "human")
    service.add_passage("ada", "The puffin colony is on the north cliff.", ["place"])
    service.add_passage("ada", "Mara's boat is called Heron.")
    shelf = service.create_archive("shelf")
    service.attach_archive("bob", shelf.id)
    service.add_passage("bob", "The key hangs behind the kitchen door.")
    folder = service.create_folder("papers")
    service.add_folder_file(folder.id, "tide.md", b"# Tides\n\nHigh water is at noon.")
    service.attach_folder("ada", folder.id)
    service.save_identity("mara@station", "Mara", agents=[service.agent("ada").id])
    service.set_setting("agent", "ada")

    model.call("count_birds", {"species": "puffin"})
    model.say("Twelve puffins.")
    list(service.send("ada", "How many puffins?"))
    list(service.send("ada", "The door opened.", role="event"))
    conversation = service.create_conversation("ada", summary="planning")
    model.say("Let us plan.")
    list(service.send("ada", "A plan, please.", conversation=conversation.id))
    model.call("pay", {"euros": 5})
    list(service.send("ada", "Pay five euros."))


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
