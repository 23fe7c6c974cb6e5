"""Nothing a model or a tool says runs, loads, deceives or breaks the layout."""

from __future__ import annotations

import json
from typing import Any

import pytest
from display_checks import check_html, check_text
from hostile_run import hostile_run
from hostile_strings import HOSTILE, HUGE

from letta_kernel.display.block_panels import block_panel
from letta_kernel.display.clean import clean_bundle, clean_html, clean_text, one_line
from letta_kernel.display.differences import difference_panel, then_panel
from letta_kernel.display.html import to_html
from letta_kernel.display.live import MIME, bundle
from letta_kernel.display.markdown import code_html, markdown_html
from letta_kernel.display.memory import static_panel
from letta_kernel.display.panels import (
    agent_card,
    agents_table,
    context_panel,
    history_table,
    messages_found,
    models_table,
    passages_table,
    runs_table,
    tools_table,
)
from letta_kernel.display.tables import PANEL_MIME, Panel, note
from letta_kernel.display.timeline import timeline_panel
from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import AgentState, Block, BlockVersion, Passage, Tool, ToolRule, WholeRun
from letta_kernel.service.differences import Difference
from letta_kernel.service.timeline import AgentThen

LARGEST = 1_500_000  # characters of HTML, whatever is thrown at it


@pytest.fixture(params=sorted(HOSTILE))
def hostile(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


def test_there_are_enough_hostile_strings() -> None:
    assert len(HOSTILE) >= 40


def test_a_hostile_run_is_shown_harmlessly(hostile: str) -> None:
    snapshot = hostile_run(hostile).snapshot()
    data = bundle(snapshot)
    assert set(data) == {MIME, "text/html", "text/plain"}
    check_html(data["text/html"])
    check_text(data["text/plain"])
    written = json.dumps(data, allow_nan=False, ensure_ascii=False).encode("utf-8")
    check_text(json.loads(written)["text/plain"])
    assert len(data["text/html"]) < LARGEST
    assert len(written) < 3 * LARGEST


def test_a_hostile_snapshot_from_a_file_is_shown_harmlessly(hostile: str) -> None:
    text = hostile[:20_000].encode("utf-8", "replace").decode("utf-8")
    for value in (text, [text], {text: text}, 7, None):
        items: Any = [
            {"kind": kind, "text": value, "name": value, "arguments": value, "state": value}
            | {"result": value, "error": value, "traceback": value, "output": value}
            | {
                "display": {"text/html": value, "image/png": value},
                "passages": [value, {"text": value}],
            }
            | {"label": value, "before": value, "after": value, "version": value, "level": value}
            | {"pictures": [value, {"alt": value, "src": value}]}
            for kind in (
                *("reasoning", "answer", "tool_call", "memory", "notice", "retrieved", "pictures"),
                value,
            )
        ]
        footer: Any = {
            "stop_reason": value,
            "error": value,
            "steps": 1,
            "seconds": value,
            "cost": value,
        }
        check_html(
            to_html(
                {"agent": value, "model": value, "label": value, "items": items, "footer": footer}
            )
        )


def test_hostile_markdown_is_harmless(hostile: str) -> None:
    check_html(markdown_html(hostile))


def test_code_that_takes_long_to_colour_is_shown_as_it_is() -> None:
    code = "\n " * 9_000 + "x"
    assert code_html(code, "c") == code_html(code, "")


def test_hostile_rich_results_are_cleaned(hostile: str) -> None:
    for markup in (
        hostile,
        f"<table><tr><td>{hostile}</td></tr></table>",
        f"<td colspan='{hostile}'>",
    ):
        check_html(clean_html(markup))


def test_hostile_panels_are_harmless(hostile: str) -> None:
    text = hostile
    agent = AgentState(name=text, model=text, description=text, tags=[text], embedding=text)
    block = Block(label=text, value=text, description=text, limit=10)
    versions = [
        BlockVersion(block_id="b", version=n, value=value, actor=text, reason=text)
        for n, value in enumerate(("", text, "z"), 1)
    ]
    tool = Tool(name=text, description=text, parameters={"properties": {text: {}}})
    message = Message(
        agent_id="a",
        role="assistant",
        content=text,
        tool_calls=[ToolCall(id="c", name=text, arguments=text)],
    )
    run = WholeRun(agent_id="a", asked=text, model=text, error=text)
    passage = Passage(agent_id="a", content=text, tags=[text])
    panels: list[Panel] = [
        agents_table([agent], text),
        agent_card(agent, [block], {text: text}),
        block_panel(block, versions),
        tools_table([tool], {text: {"calls": 2, "seconds": 1.0, "last_error": text}}),
        history_table([message]),
        messages_found([message]),
        runs_table([run]),
        passages_table([passage]),
        models_table([{"name": text, "provider": text, "note": text}], text),
        static_panel(
            [
                {
                    **block.model_dump(mode="json"),
                    **{"tokens": 5, "shared_with": [text], "by": text, "how": text},
                }
            ],
            text,
        ),
        context_panel([{"name": text, "tokens": 5, "text": text}], 10, text),
        timeline_panel(_past(text), text),
        then_panel(_then(text, block, tool, message)),
        difference_panel(
            Difference(
                text,
                text,
                shared=1,
                said=([message], []),
                blocks={text: (text, None)},
                passages=([text], [text]),
                tools={text: (None, text)},
                fields={"model": (text, None), "settings": ({}, {text: [text]})},
            )
        ),
        note(text),
    ]
    for panel in panels:
        shown = panel._repr_mimebundle_()
        told = shown.pop(PANEL_MIME, {})
        assert set(told) <= {"version", "kind", "tables"}
        for column in (c for table in told.get("tables", ()) for c in table.values()):
            assert all(key is None or isinstance(key, float) for key in column)
        assert set(shown) == {"text/html", "text/plain"}
        check_html(shown["text/html"])
        check_text(shown["text/plain"])


def _past(text: str) -> dict[str, Any]:
    """A page of a timeline in which everything is *text*."""
    when = "2026-03-01T09:00:00+00:00"
    figures = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.1, "seconds": 1.0}
    step = {"id": "step-1", "number": 1, "model": text, "error": text, "tools": [text], **figures}
    run = {
        **{"id": "run-1", "asked": text, "of": text, "error": text, "status": text, "waits": False},
        **{"created_at": when, "steps": [step], **figures},
    }
    side = {"id": "branch-1", "after": "run-1", "created_at": when, "reason": "undo", "messages": 1}
    sides = [{**side, "agent": ""}, {**side, "agent": text}]
    return {"runs": [run], "branches": sides, "origin": text, "more": True}


def _then(text: str, block: Block, tool: Tool, message: Message) -> AgentThen:
    return AgentThen(
        name=text,
        at=text,
        moment=block.created_at,
        messages=[message],
        blocks={text: text},
        tools=[tool],
        rules=[ToolRule(type="requires_approval", tool_name=text)],
        settings={text: text},
        model=text,
        instructions=text,
        archives=[text],
        folders=[text],
        seq=1,
        passage=1,
        note=text,
        known=False,
    )


def test_what_was_said_is_still_readable() -> None:
    assert (
        check_html(markdown_html("<script>alert(1)</script>")).strip()
        == "<script>alert(1)</script>"
    )
    assert clean_text("a\x1b[31mred\x1b[0m\x00b") == "aredb"
    assert clean_text("10 %\r50 %\r100 %\ndone\r\n") == "100 %\ndone\n"
    assert (
        clean_text("שלום \u200fabc\u200e é e\u0301 👩‍👩‍👧")
        == "שלום \u200fabc\u200e é e\u0301 👩‍👩‍👧"
    )
    assert one_line("a\n\tb  c") == "a b c"


def test_dangerous_mathematics_is_shown_as_code() -> None:
    assert "mathjax_process" not in markdown_html(HOSTILE["latex_macro"])
    assert "mathjax_process" not in markdown_html(HOSTILE["latex_newcommand"])
    assert "mathjax_process" not in markdown_html(HOSTILE["latex_dollars"].replace("$x$y", ""))
    assert (
        markdown_html(r"$\alpha \leq \Delta$ and $$\int_0^1 x\,dx$$").count("mathjax_process") == 2
    )


def test_only_pictures_tables_and_text_are_kept_of_a_bundle() -> None:
    kept = clean_bundle(
        {
            "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
            "application/javascript": "alert(1)",
            "text/html": "<table onclick=x><tr><td>1</td></tr></table><script>alert(1)</script>",
            "image/png": "not base64 <>",
            "text/plain": ["a", "b"],
        }
    )
    assert kept is not None
    assert set(kept) == {"text/html", "text/plain"}
    assert kept["text/plain"] == "ab"
    assert check_html(kept["text/html"]) == "1"


def test_huge_text_is_bounded_and_says_so() -> None:
    text = clean_text("W" * HUGE, 1_000)
    assert len(text) < 1_100
    assert f"{HUGE - 1_000:,} characters left out" in text
