"""The memory panel in a real kernel: what a page is sent, what it may ask, what is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from display_checks import check_html
from front_end import VIEW, Cell, FrontEnd
from hostile_strings import HOSTILE
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from letta_kernel.display.tables import PANEL_MIME

SAVED = {PANEL_MIME, "text/html", "text/plain"}


@pytest.fixture(scope="module")
def front_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontEnd]:
    opened = FrontEnd()
    home = str(tmp_path_factory.mktemp("memory") / ".letta")
    cell = opened.run(
        f"import os; os.environ['LETTA_HOME'] = {home!r}\n"
        "from letta_kernel import Agent\n"
        "%load_ext letta_kernel"
    )
    assert cell.reply["content"]["status"] == "ok"
    yield opened
    opened.close()


class Page:
    """A page that shows the panel of one agent."""

    def __init__(self, front_end: FrontEnd, name: str, **ready: Any) -> None:
        self.front_end = front_end
        made = f"ada = Agent({name!r}, model='demo', human='Name: Mara', persona='Short.')\n"
        self.cell = front_end.run(made + "ada.memory", ready=False)
        (shown,) = self.cell.of("display_data")
        self.shown, self.display = shown["data"], shown["transient"]
        self.model = self.shown[VIEW]["model_id"]
        self.say({"type": "ready", "hosted": True, **ready})

    def say(self, content: dict[str, Any]) -> None:
        self.front_end.say(self.model, content)

    def told(self, kind: str) -> dict[str, Any]:
        """The next thing of a kind that the panel is told."""

        def wanted(message: dict[str, Any]) -> bool:
            data = message["content"].get("data", {})
            return (
                message["msg_type"] == "comm_msg"
                and data.get("method") == "custom"
                and data["content"]["type"] == kind
            )

        content: dict[str, Any] = self.front_end.listen(wanted)[-1]["content"]["data"]["content"]
        return content

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.say({"type": "request", "id": "q", "method": method, "params": params})
        return self.told("reply")

    def saved(self) -> dict[str, Any]:
        """The next saved form, with or without the view beside it; other panels may say theirs too."""
        heard = self.front_end.listen(
            lambda m: (
                m["msg_type"] == "update_display_data"
                and m["content"].get("transient") == self.display
            )
        )
        data: dict[str, Any] = heard[-1]["content"]["data"]
        return data


def test_the_panel_has_its_saved_form_beside_it(front_end: FrontEnd) -> None:
    page = Page(front_end, "ada")
    assert set(page.shown) == SAVED | {VIEW}
    text = check_html(page.shown["text/html"])
    for said in ("Memory of ada", "human", "Name: Mara", "10 of 20,000 characters", "3 tokens"):
        assert said in text
    told = page.told("state")
    assert told["agent"] == "ada"
    human = next(b for b in told["blocks"] if b["label"] == "human")
    assert (human["value"], human["tokens"], human["shared_with"]) == ("Name: Mara", 3, [])
    opened = [c["data"]["state"] for c in page.cell.of("comm_open")]
    assert sum(len(state.get("_esm", "")) for state in opened) < 3_000
    page.say({"type": "module"})  # what draws it is sent once, to a page that asks
    assert "letta-kernel" in page.told("module")["code"]


def test_an_edit_is_told_and_then_in_the_saved_form(front_end: FrontEnd) -> None:
    page = Page(front_end, "bea")
    page.told("state")
    params = {"label": "human", "value": "Name: Bea", "expected_version": 1}
    page.say({"type": "request", "id": "w", "method": "block.write", "params": params})
    told = [(b["label"], b["value"], b["version"]) for b in page.told("state")["blocks"]]
    assert told == [("persona", "Short.", 1), ("human", "Name: Bea", 2)]
    assert page.told("reply")["result"]["version"] == 2
    saved = page.saved()
    assert set(saved) == SAVED | {VIEW}
    assert "Name: Bea" in saved["text/html"]
    assert "Name: Bea" in saved["text/plain"]
    conflict = page.ask("block.write", label="human", value="mine", expected_version=1)["error"]
    assert conflict["kind"] == "ConflictError"
    versions = page.ask("block.versions", label="human")["result"]
    assert [(v["version"], v["value"]) for v in versions] == [(2, "Name: Bea"), (1, "Name: Mara")]


def test_what_cannot_be_asked_is_refused_in_one_line(front_end: FrontEnd) -> None:
    page = Page(front_end, "cleo")
    for method, params, kind in (
        ("agent.delete", {}, "NotFoundError"),
        ("block.write", {"label": "human"}, "InvalidInputError"),
        ("block.write", {"label": "human", "value": 5, "expected_version": 1}, "InvalidInputError"),
        ("block.undo", {"label": "nothing"}, "NotFoundError"),
        ("block.versions", {}, "InvalidInputError"),
        ("block.create", {"label": "human", "value": ""}, "InvalidInputError"),
    ):
        error = page.ask(method, **params)["error"]
        assert error["kind"] == kind, (method, error)
        assert "\n" not in error["message"]
    page.say({"type": "request", "id": "q", "method": ["x"], "params": 7})
    assert page.told("reply")["error"]["kind"] == "NotFoundError"
    # Another agent's blocks cannot be named: the panel adds its own agent.
    page.ask("block.create", label="plans", value="", agent="ada")
    cell = front_end.run("print('plans' in Agent('ada').memory, 'plans' in Agent('cleo').memory)")
    assert cell.stdout == "False True\n"


def test_hostile_values_are_harmless_in_the_saved_form(front_end: FrontEnd) -> None:
    page = Page(front_end, "dora")
    block = next(b for b in page.told("state")["blocks"] if b["label"] == "human")
    value = "\n".join(text[:300] for text in HOSTILE.values())
    value = value.encode("utf-8", "replace").decode()  # no page can send half a character
    given = {"label": "human", "value": value, "expected_version": block["version"]}
    reply = page.ask("block.write", **given)
    assert "result" in reply, reply
    check_html(page.saved()["text/html"])


def test_where_the_saved_form_would_not_be_shown_only_that_is_left(front_end: FrontEnd) -> None:
    """A page without the JupyterLab extension would say "model not found" later."""
    page = Page(front_end, "eve", hosted=False)
    heard = front_end.listen(
        lambda m: m["msg_type"] == "comm_close" and m["content"]["comm_id"] == page.model
    )
    # Panels of the tests before may still say something.
    (update,) = [m for m in heard if m["content"].get("transient") == page.display]
    assert set(update["content"]["data"]) == SAVED
    assert page.shown["text/html"] == update["content"]["data"]["text/html"]


def test_the_agent_is_deleted_under_an_open_panel(front_end: FrontEnd) -> None:
    page = Page(front_end, "fay")
    page.told("state")
    front_end.run("Agent('fay').delete()", ready=False)
    page.say({"type": "here"})
    assert set(page.saved()) == SAVED


def test_a_program_that_runs_the_notebook_gets_the_saved_form(front_end: FrontEnd) -> None:
    cell: Cell = front_end.run("Agent('ada').memory", allow_stdin=False)
    (shown,) = cell.of("display_data")
    assert set(shown["data"]) == SAVED
    assert not cell.of("comm_open")


def test_a_notebook_saved_with_a_live_panel_is_converted_by_its_saved_form(
    front_end: FrontEnd,
) -> None:
    page = Page(front_end, "hal")
    output = new_output("display_data", data=page.shown)
    notebook = new_notebook(cells=[new_code_cell("ada.memory", outputs=[output])])
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert "Name: Mara" in html
    assert page.model not in html


def test_outside_of_ipython_it_is_text(tmp_path: Path) -> None:
    from letta_kernel import Agent

    agent = Agent("gus", home=tmp_path / ".letta", human="Name: Mara")
    bundle = agent.memory._repr_mimebundle_()
    assert "10 of 20,000 characters · 3 tokens · v1" in bundle["text/plain"]
    assert "Name: Mara" in repr(agent.memory)
    assert list(agent.memory) == ["persona", "human"]
    assert len(agent.memory) == 2
    assert "plans" not in agent.memory
