"""A report of a conversation: one page that stands alone, holds all of it and no secret."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from agent_bench import ADD, Bench

from letta_kernel.display.report import report_page
from letta_kernel.errors import InvalidInputError
from letta_kernel.models.masking import masked

KEY = "sk-abcdefghijklmnopqrstuvwx"
HOSTILE = "<script>alert(1)</script><img src=http://evil/x.png onerror=alert(2)>"
CLOSED = {"meta", "img", "br", "rect", "hr", "input"}


class Page(HTMLParser):
    """What a page is made of; fails where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.opened: list[str] = []
        self.feed(text)
        assert self.opened == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in CLOSED:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in CLOSED:
            return
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(bench: Bench, agent: str, conversation: str | None = None) -> tuple[str, Page]:
    text = report_page(bench.service.reports.make(agent, conversation), masked)
    return text, Page(text)


def test_the_page_holds_the_conversation_and_nothing_that_acts(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada", human="Likes tea.")
    service.passages.create("kept by hand", agent="ada")
    bench.give("ada", ADD)
    server.call("add", {"a": 40, "b": 2}, reasoning="I should add.")
    server.calls(
        [
            ("core_memory_append", {"label": "human", "content": f"Says {HOSTILE}"}),
            ("archival_memory_insert", {"content": "Forty-two is the answer."}),
        ]
    )
    server.say(f"**42**, see [here](http://example.com). {HOSTILE}")
    bench.send("ada", f"Add. My key: {KEY} {HOSTILE}")
    server.fault(400, message=f"no, {KEY}")
    bench.send("ada", "Once more")
    text, page = page_of(bench, "ada")
    for told in (
        "I should add.",
        "40",
        "42",
        "Likes tea.",
        "Forty-two is the answer.",
        "Once more",
    ):
        assert told in page.text, told
    assert "alert(1)" in page.text, "what was said is text"
    assert "kept by hand" not in page.text
    assert KEY not in text
    assert "[hidden]" in page.text
    assert "Tokens of each step" in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "form", "img"}
    for tag, given in page.tags:
        assert not [name for name in given if name.startswith("on") or name in ("src", "srcset")]
        assert tag == "a" or "href" not in given
    assert "url(" not in text
    policies = [given["content"] for tag, given in page.tags if "http-equiv" in given]
    assert policies[0].startswith("default-src 'none'")


def test_a_conversation_has_a_report_of_its_own(bench: Bench) -> None:
    service = bench.service
    service.agents.create("ada")
    with pytest.raises(InvalidInputError, match="Nothing was said"):
        service.reports.make("ada")
    talk = service.conversations.create("ada").id
    for conversation, said in ((talk, "beside"), (None, "outright")):
        bench.server.say("Yes.")
        bench.send("ada", said, conversation=conversation)
    assert "outright" not in page_of(bench, "ada", talk)[1].text
    assert "beside" not in page_of(bench, "ada")[1].text


def test_a_fork_tells_what_it_shares_and_not_what_came_after(bench: Bench) -> None:
    service = bench.service
    service.agents.create("ada")
    bench.give("ada", ADD)
    for said in ("first", "second"):
        bench.server.call("add", {"a": 1, "b": 2})
        bench.server.say(f"Answer to the {said}.")
        bench.send("ada", said)
    steps = [one.id for one, _ in service.steps.list(newest_first=False)]
    service.forks.fork("ada", "eve", at=steps[2])  # amid the second run
    text = page_of(bench, "eve")[1].text
    assert "Answer to the first." in text
    assert "second" in text
    assert "Answer to the second." not in text
    assert "Answer to the second." in page_of(bench, "ada")[1].text
