"""Record runs that both pictures of a run are tested on: ``python tests/data/make_runs.py``, or some by name.

Each file in ``runs/`` holds the events of a real run of a scripted model, as front ends are sent them, and the
snapshot that Python makes of them; the page has to make the same of them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "display"))

from sample_run import png  # noqa: E402

from letta_kernel import Agent, scripted  # noqa: E402
from letta_kernel.agent.decisions import Decision  # noqa: E402
from letta_kernel.agent_messages import BROADCAST, WAIT  # noqa: E402
from letta_kernel.display.transcript import Transcript  # noqa: E402
from letta_kernel.messages import Event, RunQueued, ToolCallDelta, ToolProgress  # noqa: E402
from letta_kernel.records import Beside  # noqa: E402
from letta_kernel.remedies import PLAIN  # noqa: E402
from letta_kernel.service.event_json import messages  # noqa: E402
from letta_kernel.service.event_log import RunLog  # noqa: E402


class Figure:
    """Something that shows itself as a picture."""

    def __repr__(self) -> str:
        return "<Figure>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"image/png": png(8, 4), "text/plain": "<Figure>"}


def forecast(city: str, days: int = 3, options: dict[str, int] | None = None) -> str:
    """Look up the weather.

    Args:
        city: Where.
        days: How many days.
        options: Others.
    """
    print("\x1b[1masking\x1b[0m the station")
    print("10 %\r50 %\r100 %")
    return json.dumps({"city": city, "highs": [24.1] * days})


def plot(title: str) -> Figure:
    """Draw a figure.

    Args:
        title: What stands above it.
    """
    return Figure()


def fails(code: int) -> str:
    """Do something that goes wrong.

    Args:
        code: With which number.
    """
    raise ValueError(f"no such code: {code}")


def pay(to: str, euros: float) -> str:
    """Pay somebody.

    Args:
        to: Whom.
        euros: How much.
    """
    return f"{to} has {euros} more"


TOOLS = """
think: I look it up, \u202eand then draw it.
call: forecast {"days": 2, "city": "Zürich 🌦", "options": {"b": 1, "a": 2}}
call: plot(title="Highs")

call: core_memory_append(label="human", content="Lives in Zürich.")
call: core_memory_append(label="human", content="Likes rain.")

call: fails(code=7)

stream: It is **24.1 °C**, as $x_1$ says. And more: e\u0301\u0301\u0301\u0301\u0301\u0301!
"""
APPROVAL = """
say: One moment.
call: pay(to="Mara", euros=12.5)
call: pay(to="Ben", euros=1)

say: Mara has it, Ben not.
"""
ANSWERS = """
call: send_message(message="Hello from inside a call.")
"""
FAILS = """
say: This is cut off
fail: no such model
"""
LIMITED = """
call: forecast(city="Rome")

call: forecast(city="Oslo")
"""
ASKS = """
think: Ben and Eve know.
call: send_message_to_agents_matching_tags(message="Where?", match_all=["knows"], match_some=[])

call: send_message_to_agent_and_wait_for_reply(message="And you?", other_agent_id="zoe <b>z</b>")

say: They say so.
"""
BEN = """
think: I look.
call: forecast(city="Rome")

call: core_memory_append(label="human", content="Asks a lot.")

call: plot(title="Ben's")

say: In **Rome**.
"""
EVE = """
say: Cut
fail: no such model
"""
LEADS = """
think: I ask them.
call: send_message_to_all_agents_in_group(message="Is it good?")

say: The **writer** says yes.
"""
WRITER = """
think: Of course it is.
call: core_memory_append(label="human", content="Asks the critic, too.")

stream: Yes, it is.
"""
CRITIC = """
say: It is not
fail: no such model
"""
LOOKS = """
say: A picture.
"""


class Placed:
    """Places something beside a message, as a notebook does."""

    notes = ("What cells do goes to nobody.",)

    def gather(self, ahead: object) -> list[Beside]:
        return [
            Beside(kind="notebook", name="work.ipynb", text="<cell>x = 1</cell>", note="1 cell"),
            Beside(
                kind="variable", name="@d\u202ef", text="\x1b[1mcolumns\x1b[0m: a, b", note="2 rows"
            ),
            Beside(kind="file", name="@" + "long" * 100, text="line\n" * 500),
        ]

    def went(self) -> None:
        return


def recorded(name: str, events: Iterator[Event], prompt: str) -> None:
    """Keep a run, if it is one of those that are wanted."""
    if sys.argv[1:] and name not in sys.argv:
        return
    log, transcript = RunLog(), Transcript(prompt)
    for event in events:
        transcript.handle(event)
        log.add(event)
    told = [event for news in messages(log, 0, PLAIN) for event in news["events"]]
    kept = {"prompt": prompt, "events": told, "snapshot": transcript.snapshot()}
    text = json.dumps(kept, ensure_ascii=False, indent=1)
    (HERE / "runs" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Record all of them."""
    home = Path(tempfile.mkdtemp()) / ".letta"

    def agent(name: str, moves: str, **options: Any) -> Agent:
        made = Agent(
            name, home=home, model=scripted(moves, name.split()[0]), human="Name: Lin", **options
        )
        for function in (forecast, plot, fails):
            made.add_tool(function)
        return made

    def said(name: str, moves: str, *, sends: dict[str, Any] | None = None, **options: Any) -> None:
        prompt = f"Please do {name}."
        ada = agent(name, moves, **options)
        ada.remember("Lin asks about the weather: please do it.")
        recorded(name, ada.stream(prompt, **(sends or {})), prompt)

    said("tools", TOOLS)
    said("heartbeat", ANSWERS, style="heartbeat")
    said("fails", FAILS)
    said("limited", LIMITED, sends={"max_steps": 1})
    said("pictures", LOOKS, sends={"pictures": [b64decode(png(8, 4)), b64decode(png(4, 8))] * 4})

    reader = agent("beside", "say: I see.")
    sent = reader.service.runs.send(reader.id, "See @df", beside=Placed())
    recorded("beside", sent, "See @df")

    payer = agent("approval", APPROVAL)
    payer.add_tool(pay)
    service = payer.service
    service.tools.update(next(t.id for t in payer.tools if t.name == "pay"), requires_approval=True)

    def decided() -> Iterator[Event]:
        calls = []
        for event in payer.stream("Pay Mara and Ben."):
            calls += event.calls if event.type == "approval_requested" else []
            yield event
        first, second = calls
        given = [Decision(first.id, True), Decision(second.id, False, "he has enough")]
        yield from service.runs.approve(payer.id, given, host=payer._host)

    recorded("approval", decided(), "Pay Mara and Ben.")

    def stopped() -> Iterator[Event]:
        queued = {"run_id": "run-1", "agent_id": "agent-1", "agent_name": "ada", "said": "Hi"}
        yield RunQueued(**queued, where="another notebook", text="ada is busy in another notebook.")
        events = agent("stopped", TOOLS).stream("Go")
        for event in events:
            yield event
            if isinstance(event, ToolProgress):
                break
        yield ToolCallDelta(index=5, id="c9", name="plot", arguments='{"title": "cut')

    recorded("stopped", stopped(), "Hi")

    asker = agent("asks", ASKS)
    for name, moves in (("ben", BEN), ("eve", EVE), ("zoe <b>z</b>", "say: I do not know.")):
        agent(name, moves, tags=["knows"] if name != "zoe <b>z</b>" else [])
    for tool in (WAIT, BROADCAST):
        asker.service.tools.attach(tool, agent=asker.id)
    recorded("asks", live(asker, "Ask them."), "Ask them.")

    lead = agent("lead", LEADS)
    agent("writer", WRITER)
    agent("critic", CRITIC)
    groups = lead.service.groups
    groups.create(["writer", "critic"], name="team", manager_type="supervisor", manager="lead")
    told: list[Event] = []

    def each(_: str) -> Any:
        return {"host": lead._host}

    for _ in groups.send("team", "Is it good?", live=told.append, each=each):
        pass
    recorded("group", iter(told), "Is it good?")


def live(asker: Agent, text: str) -> Iterator[Event]:
    """Return what a run tells, in the order in which it is told."""
    found: list[Event] = []
    for _ in asker.service.runs.send(asker.id, text, host=asker._host, live=found.append):
        pass
    return iter(found)


if __name__ == "__main__":
    main()
