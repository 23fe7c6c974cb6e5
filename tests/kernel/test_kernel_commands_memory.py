"""`%agent memory LABEL --…`: versions, properties, sharing; and files into the archive."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer

from letta_kernel import Agent
from letta_kernel.errors import InvalidInputError
from letta_kernel.service import AgentService


def refused(ran: Ran, said: str) -> None:
    assert (ran.status, ran.ename) == ("error", "AgentError"), ran
    assert said in ran.evalue


def test_versions_of_a_block(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new ada --human Kim")
    notebook.run("%agent memory human Kim drinks tea")
    server.call("memory_replace", {"label": "human", "old_string": "tea", "new_string": "sencha"})
    server.say("Noted.")
    notebook.run("%%agent\nIt is sencha, really.")
    history = notebook.run("%agent memory human --history").text
    assert "v3  " in history
    assert "ada" in history
    assert "you" in history
    compared = notebook.run("%agent memory human --diff 1 3").text
    assert "- Kim" in compared
    assert "+ Kim drinks sencha" in compared
    assert "tea" not in compared
    assert "Kim drinks tea" in notebook.run("%agent memory human --undo").text
    assert "Kim drinks sencha" in notebook.run("%agent memory human --redo").text
    refused(notebook.run("%agent memory human --redo"), "redo")
    refused(notebook.run("%agent memory human --diff 1"), "Two versions")
    refused(notebook.run("%agent memory human --diff 1 9"), "no version 9")
    refused(notebook.run("%agent memory --undo"), "Which block?")


def test_an_option_amid_a_text_never_changes_the_block(notebook: Notebook) -> None:
    notebook.run("%agent new careful --human Kim")
    refused(notebook.run("%agent memory human Take it back with --undo"), "One thing at a time")
    assert "Kim" in notebook.run("%agent memory human").text
    notebook.run("%agent memory human -- Take it back with --undo")
    assert "Take it back with --undo" in notebook.run("%agent memory human").text


def test_limits_descriptions_and_read_only(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new strict --human Kim")
    shown = notebook.run("%agent memory human --limit 40 --description Who drinks what").text
    assert "3 of 40 characters" in shown
    refused(notebook.run("%agent memory human --limit 2"), "may hold 2 characters")
    refused(notebook.run(f"%agent memory human {'tea ' * 20}"), "may hold 40 characters")
    assert "read only" in notebook.run("%agent memory human --read-only on").text
    server.call("memory_insert", {"label": "human", "new_string": "Tea."})
    server.say("I may not.")
    ran = notebook.run("%%agent\nWrite that down.")
    assert "read" in ran.items("tool_call")[0]["result"]
    assert "Who drinks what" in str(server.requests[-1]["messages"][0])
    assert "read only" not in notebook.run("%agent memory human --read-only off").text
    refused(notebook.run("%agent memory human --read-only maybe"), "Say on or off")


def test_tags_of_a_block(notebook: Notebook) -> None:
    notebook.run("%agent new tagged --human Kim")
    assert "tags:" not in notebook.run("%agent memory human").text
    assert "tags: home, tea" in notebook.run("%agent memory human --tags home,tea,home").text
    assert "tags: home, tea" in notebook.run("%agent memory human").text
    refused(notebook.run("%agent memory human Lee --tags late"), "One thing at a time")
    both = notebook.run("%agent memory human --limit 40 --tags late").text
    assert "3 of 40 characters" in both
    assert "tags: late" in both
    assert "tags:" not in notebook.run("%agent memory human --tags=").text
    refused(notebook.run("%agent memory --tags a"), "Which block?")
    assert "--tags" in notebook.complete("%agent memory human --")


def test_sharing_and_deleting(notebook: Notebook) -> None:
    notebook.run("%agent new one")
    notebook.run("%agent memory project Brew tea")
    notebook.run("%agent new two")
    notebook.run("%agent use one")
    assert "together now" in notebook.run("%agent memory project --share two").text
    notebook.run("%agent memory project Brew good tea --agent two")
    assert "Brew good tea" in notebook.run("%agent memory project").text
    assert "together now" in notebook.run("%agent memory project --share two").text
    refused(notebook.run("%agent memory human --share two"), "of its own already")
    refused(notebook.run("%agent memory project --delete"), "--yes")
    assert "no longer has" in notebook.run("%agent memory project --delete --yes").text
    refused(notebook.run("%agent memory project"), "no memory block 'project'")
    assert "Brew good tea" in notebook.run("%agent memory project --agent two").text
    assert "--share" in notebook.complete("%agent memory project --")
    assert notebook.complete("%agent memory human --read-only o") == ["on", "off"]


def test_files_into_the_archive(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("# Tea\n\nSencha wants water of 70 degrees.\n")
    (tmp_path / "bike.txt").write_text("The bicycle is in the cellar.")
    page = (
        "<html><head><style>p {}</style></head><body><p>Gyokuro is shaded &amp; sweet.</p></body>"
    )
    (tmp_path / "page.html").write_text(page)
    cells = [{"cell_type": "markdown", "source": ["The kettle ", "boils at 96."]}]
    (tmp_path / "lab.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    notebook.run("%agent new archivist")
    notebook.run(f"import os; os.chdir({str(tmp_path)!r})")
    added = notebook.run("%agent archival add *.md bike.txt page.html lab.ipynb --tags shelf").text
    assert "4 files" in added
    for asked, said in {
        "how hot for sencha?": "70 degrees",
        "where is the bicycle": "cellar",
        "gyokuro": "shaded & sweet",
        "kettle": "boils at 96",
    }.items():
        assert said in notebook.run(f"%agent archival search {asked} --tags shelf").text
    again = notebook.run("%agent archival add tea.md bike.txt").text
    assert "2 known already" in again
    assert notebook.run("%agent archival").text.count("bicycle") == 1
    refused(notebook.run("%agent archival add picture.png"), "picture.png")
    refused(notebook.run("%agent archival add missing.pdf"), "There is no file 'missing.pdf'")
    refused(notebook.run("%agent archival add tea.md missing.md"), "'missing.md'")
    refused(notebook.run("%agent archival add /no/where/"), "There is no file '/no/where/'")
    (tmp_path / "my tea.txt").write_text("Hojicha is roasted.")
    assert "1 file more" in notebook.run('%agent archival add "my tea.txt"').text
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nonsense")
    broken = notebook.run("%agent archival add broken.pdf")
    refused(broken, "cannot be read as a PDF")
    assert broken.stderr == ""
    assert "0%" not in broken.text  # the bar is gone
    notebook.run("%agent archival add Notes about tea are in tea.md")  # a sentence
    assert "Notes about tea are in" in notebook.run("%agent archival").text
    assert "tea.md" in notebook.complete("%agent archival add te")


def test_a_search_is_narrowed_by_tags_and_time(notebook: Notebook) -> None:
    notebook.run("%agent new keeper")
    notebook.run("%agent set timezone Asia/Tokyo")
    kept = {  # the first one is said on the 10th in Tokyo, the second on the 9th
        "Sencha before midnight": (["tea", "green"], datetime(2024, 5, 10, 14, 59, tzinfo=UTC)),
        "Sencha the day before": (["tea"], datetime(2024, 5, 9, 14, 59, tzinfo=UTC)),
        "Sencha after midnight": (["green"], datetime(2024, 5, 10, 15, 1, tzinfo=UTC)),
    }
    with AgentService(notebook.home) as service:
        for text, (tags, moment) in kept.items():
            service.passages.create(text, tags, agent="keeper", created_at=moment)

    def found(options: str) -> set[str]:
        shown = notebook.run(f"%agent archival search sencha {options}")
        assert shown.status == "ok", shown
        return {text.removeprefix("Sencha ") for text in kept if text in shown.text}

    assert found("--tags tea,green") == {"before midnight", "the day before", "after midnight"}
    assert found("--tags tea,green --match all") == {"before midnight"}
    assert found("--from 2024-05-10 --to 2024-05-10") == {"before midnight"}
    assert found("--to 2024-05-10") == {"before midnight", "the day before"}
    assert found("--from 2024-05-11T00:01") == {"after midnight"}
    pages = [found(f"--limit 1 --page {page}") for page in (1, 2, 3)]
    assert sorted(len(page) for page in pages) == [1, 1, 1]
    assert len(set.union(*pages)) == 3
    assert found("--limit 1 --page 4") == set()
    asked = "%agent archival search sencha"
    refused(notebook.run(f"{asked} --tags tea --match some"), "'any' or 'all'")
    refused(notebook.run(f"{asked} --from yesterday"), "'yesterday' is no date")
    refused(notebook.run(f"{asked} --from 2024-05-11 --to 2024-05-10"), "before the start")
    refused(notebook.run(f"{asked} --page 0"), "above 0")
    offered = notebook.complete(f"{asked} --")
    assert {"--tags", "--match", "--from", "--to", "--page"} <= set(offered)
    explained = notebook.run("%agent help archival search").text
    assert "--match any|all" in explained
    assert notebook.complete(f"{asked} --match a") == ["any", "all"]
    assert "--from TIME" in explained


def test_what_was_said_is_found_by_role_and_time(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new talker")
    server.say("Sencha is green, says the answer.")
    notebook.run("%%agent\nWhat is sencha, asks the person?")
    assert "No messages found." in notebook.run("%agent search zebra quantum").text
    both = notebook.run("%agent search sencha").text
    assert "says the answer" in both
    assert "asks the person" in both
    one = notebook.run("%agent search sencha --role user").text
    assert "asks the person" in one
    assert "says the answer" not in one
    assert "asks the person" in notebook.run("%agent search sencha --from 2020-01-01").text
    assert "asks the person" not in notebook.run("%agent search sencha --to 2020-01-01").text
    refused(notebook.run("%agent search sencha --role usr"), "Did you mean 'user'?")
    refused(notebook.run("%agent search sencha --to never"), "'never' is no date")
    offered = set(notebook.complete("%agent search sencha --"))
    assert {"--role", "--from", "--to", "--page"} <= offered
    assert notebook.complete("%agent search sencha --role a") == ["assistant"]
    pages = [notebook.run(f"%agent search sencha --limit 1 --page {n}").text for n in (1, 2)]
    assert sum("asks the person" in page for page in pages) == 1
    assert sum("says the answer" in page for page in pages) == 1


def test_a_plain_call_searches_where_the_agent_is(tmp_path: Path) -> None:
    agent = Agent("far", home=tmp_path / ".letta", settings={"timezone": "Asia/Tokyo"})
    for text, tags, hour in (("Sencha one", ["a", "b"], 14), ("Sencha two", ["a"], 15)):
        moment = datetime(2024, 5, 10, hour, 30, tzinfo=UTC)  # 15:00 is midnight in Tokyo
        agent.service.passages.create(text, tags, agent=agent.id, created_at=moment)

    def found(**filters: Any) -> list[str]:
        return sorted(passage.content for passage in agent.search("sencha", **filters))

    assert found(start="2024-05-10", end="2024-05-10") == ["Sencha one"]
    assert found(start="2024-05-10", end="2024-05-10", timezone="UTC") == [
        "Sencha one",
        "Sencha two",
    ]
    assert found(tags=["a", "b"], match="all") == ["Sencha one"]
    assert sorted(found(top_k=1) + found(top_k=1, page=1)) == ["Sencha one", "Sencha two"]
    with pytest.raises(InvalidInputError, match="no date"):
        found(end="soon")


def test_what_is_found_stands_by_score_without_what_is_not_meant(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new seeker")
    talk = {
        "I like green tea, above all sencha.": "Noted: you like sencha.",
        "The meeting is on Friday at nine.": "Friday at nine, then.",
        "What is the capital of France?": "Paris is the capital of France.",
        "How many rows does the table have?": "The table has 1204 rows.",
        "What do I drink on Friday?": "Sencha, as on other days.",
    }
    for asked, answered in talk.items():
        server.say(answered)
        notebook.run(f"%%agent\n{asked}")
        notebook.run(f"%agent archival add {asked}")
    for command in ("search", "archival search"):
        for query in ("the meeting on Friday", "capital of France", "drinks: sencha"):
            shown = notebook.run(f"%agent {command} {query} --limit 50").text
            scores = [float(found) for found in re.findall(r"^\s*(\d\.\d\d)\b", shown, re.M)]
            assert len(scores) > (command == "search"), shown
            assert scores == sorted(scores, reverse=True), shown
            assert min(scores) >= 0.1, shown
        assert "No " in notebook.run(f"%agent {command} xylophone zebra quux").text


def test_labels_with_slashes_blanks_and_quotes(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    notebook.run("%agent new free")
    assert "Kim" in notebook.run("%agent memory system/human Kim drinks tea").text
    assert "today" in notebook.run('%agent memory "my label" Write a plan today').text
    notebook.run("""%agent memory 'say "hi"' politely""")
    assert notebook.complete("%agent memory my") == ['"my label"']
    assert notebook.complete('%agent memory "my la') == ['"my label"']
    assert "'say \"hi\"'" in notebook.complete("%agent memory ")
    assert "--undo" in notebook.complete('%agent memory "my label" --')
    notebook.run('%agent memory "my label" --limit 99')
    assert "of 99 characters" in notebook.run('%agent memory "my label"').text

    server.call("core_memory_append", {"label": "my label", "content": "Rest tomorrow."})
    server.call(
        "memory_apply_patch", {"label": "system/human", "patch": "@@\n-Kim drinks tea\n+Kim"}
    )
    server.call(
        "memory", {"command": "create", "path": "/memories/notes/today", "file_text": "Rain."}
    )
    notebook.run("%agent tools attach memory")
    notebook.run("%agent tools attach memory_apply_patch")
    server.say("Noted.")
    ran = notebook.run("%%agent\nWrite that down.")
    assert [one["state"] for one in ran.items("tool_call")] == ["ok"] * 3, ran
    assert "Rain." in notebook.run("%agent memory notes/today").text
    assert "Rest tomorrow." in notebook.run('%agent memory "my label" --history').text
    said = str(server.requests[-1]["messages"][0]["content"])
    assert '<block label="my label"' in said
    assert '<block label="say &quot;hi&quot;"' in said

    notebook.run(f"%agent export {tmp_path}/free.af")
    notebook.run(f"%agent import {tmp_path}/free.af --name other")
    assert "Rain." in notebook.run("%agent memory notes/today --agent other").text
    refused(notebook.run('%agent memory " around " no'), "without blanks around it")
    refused(notebook.run(f"%agent memory {'x' * 201} no"), "at most 200 characters; this has 201")
    refused(notebook.run("%agent memory a\u202eb no"), "visible characters")


def test_passages_are_forgotten_after_a_preview_and_restored(notebook: Notebook) -> None:
    notebook.run("%agent new forgetful --human Kim")
    notebook.run("%agent archival add Kim lives in Quebec.")
    made = "from letta_kernel import Agent; forgetful = Agent('forgetful')"
    notebook.run(made)
    told = notebook.run(
        "forgetful.remember('Kim lives in Lisbon.', supersedes=[forgetful.search('')[0].id])"
    )
    assert told.status == "ok", told
    listed = notebook.run("%agent archival")
    assert "superseded by passage-" in listed.text
    assert "Lisbon" in notebook.run("%agent archival search where does Kim live").text
    assert "Quebec" not in notebook.run("%agent archival search where does Kim live").text
    refused(notebook.run("%agent archival forget Lisbon"), "--yes")
    gone = notebook.run("%agent archival forget Lisbon --yes").text
    assert "Kim lives in Lisbon." in gone
    assert "%agent archival restore passage-" in gone
    assert "Quebec" in notebook.run("%agent archival search where does Kim live").text
    assert "Lisbon" in notebook.run("%agent archival --forgotten").text
    assert "1 passage (" in notebook.run("%agent archival restore --yes").text
    refused(notebook.run("%agent memory human --as-of 2999"), "in the future")
    assert "Kim" in notebook.run(f"%agent memory human --as-of {datetime.now(UTC):%Y-%m-%d}").text
    assert "is no date" in notebook.run("%agent search Kim --as-of soon").evalue
