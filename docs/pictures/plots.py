"""Makes the pictures of docs/how-to/plots.md: `make pictures`, without a key or a network."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from images import write  # noqa: E402
from scripted_server import ScriptedServer  # noqa: E402

Call = tuple[str, dict[str, str]]


def _learns(text: str) -> Call:
    return "core_memory_append", {"label": "human", "content": text}


def _keeps(text: str) -> Call:
    return "archival_memory_insert", {"content": text}


TALK: tuple[tuple[str, Call | None], ...] = (
    ("I am Kim, I live in Oslo.", _learns("Kim, lives in Oslo.")),
    ("My boat is blue. Keep that.", _keeps("Kim has a blue boat called Hope.")),
    ("It gets new paint in May.", _keeps("The boat gets new paint in May.")),
    ("Winter here is cold. I ski.", _keeps("Kim skis when it is cold in Oslo.")),
    ("Which colour has my boat?", None),
    ("I have moved to Bergen.", _learns("Moved to Bergen in June.")),
    ("Tell me of Bergen, at length.", None),
    ("And of its harbour.", None),
    ("When is the boat painted?", None),
    ("Shall we sail?", None),
)
SAID = "It rains, the mountains are seven, and there is fish. "


def _usage(calls: int, long: bool) -> dict[str, object]:
    """Return what a provider would say that the request of that number took."""
    read = 2000 + 40 * calls + (120 if long else 0)
    cached = {"cached_tokens": 1792 if calls else 0}
    return {"prompt_tokens": read, "completion_tokens": 60, "total_tokens": read + 60,
            "prompt_tokens_details": cached}  # fmt: skip


def make() -> None:
    """Talk to an agent on a model that says what it is told, and draw what came of it."""
    warnings.simplefilter("ignore")  # the model is on no list
    with ScriptedServer() as model, tempfile.TemporaryDirectory() as home:
        os.environ |= {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "none", "LETTA_HOME": home}
        from letta_kernel import Agent

        ada = Agent(
            "ada", model="openai/gpt-4o-mini", human="Somebody.", settings={"context_window": 2900}
        )
        calls, long = 0, False
        for text, call in TALK:
            if call is not None:
                model.calls([call], usage=_usage(calls, long))
                calls += 1
            model.say(SAID * (20 if "at length" in text else 3), usage=_usage(calls, long))
            calls += 1
            long = long or "at length" in text
            ada.send(text)
            if "colour" in text:
                ada.fork("bold")
                model.say("Aye.")
                Agent("bold").send("From now on you are bold.")
            if "harbour" in text:
                ada.undo()
        for what, query in (
            ("tokens", ""), ("memory", ""), ("context", ""), ("branches", ""),
            ("retrieval", "Which colour has the boat?"),
        ):  # fmt: skip
            figure = ada.plot(what, query)
            drawn = io.BytesIO()
            figure.savefig(drawn, dpi=150, facecolor="white")
            write(drawn.getvalue(), HERE / f"plot-{what}.png")


if __name__ == "__main__":
    make()
