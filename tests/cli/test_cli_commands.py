"""Each group of commands, as processes: what they print, for people and for programs, and how they end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import postgres
import pytest
from cli_bench import PROGRAM, Cli

from letta_kernel.service import AgentService

TOOLS = '''\
import math


def area(radius: float) -> float:
    """Return the area of a circle.

    Args:
        radius: In metres.
    """
    return round(math.pi * radius**2, 2)


def whisper(text):
    """Has no types."""
    return text


def draw(frame: Frame):
    """Cannot be called with JSON."""


def _bare(text="a"):
    return text
'''


def test_help_is_light() -> None:
    code = (
        "import sys; sys.argv = ['letta-kernel', '--help']\n"
        "from letta_kernel.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print([n for n in ('pydantic', 'duckdb', 'numpy', 'rich', 'httpx') if n in sys.modules])\n"
        "import gc; from letta_kernel import lazy_import\n"
        "before = gc.get_freeze_count(); lazy_import.load('fractions')\n"
        "print(before > 1000, gc.get_freeze_count() > before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, loaded, frozen = done.stdout.splitlines()
    assert loaded == "[]"
    assert frozen == "True True", "what is imported is looked at by each garbage collection"
    for word in ("agent", "chat", "send", "memory", "archive", "tool", "model", "sql", "doctor"):
        assert f"\n  {word} " in done.stdout


def test_agents_from_made_to_deleted(cli: Cli) -> None:
    assert "letta-kernel agent new NAME" in cli.fails("agent", "show", "ada")
    assert cli.json("agent", "list") == []
    assert not cli.home.exists(), "looking makes no project"
    made = cli.json("agent", "new", "ada", "--human", "Looks after puffins.", "--tag", "sea")
    cli("agent", "new", "bob", "--model", "openai/gpt-5-mini")
    lines = cli.out("agent", "list").splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["ada", ""], ["bob", "openai/gpt-5-mini"]]
    shown = cli.json("agent", "show", "ada")
    assert shown["id"] == made["id"]
    assert shown["tags"] == ["sea"]
    assert shown["answering_model"] == "demo"
    assert shown["blocks"][1]["value"] == "Looks after puffins."
    assert "Looks after puffins." in cli.out("agent", "show", "ada")
    assert "'ada'" in cli.fails("agent", "show", "adda")
    assert "add --yes" in cli.fails("agent", "delete", "bob")
    cli("agent", "delete", "bob", "--yes")
    assert [a["name"] for a in cli.json("agent", "list")] == ["ada"]


def test_new_takes_the_agent_of_that_name(cli: Cli) -> None:
    made = cli.json("agent", "new", "ada", "--human", "Kim.", "--tag", "sea")
    again = cli("agent", "new", "ada", "--human", "Lee.", "--tag", "sea", "--description", "Gulls.")
    assert "Found ada" in again.stdout
    assert "letta-kernel memory set ada human" in again.stderr
    assert "letta-kernel agent set ada description" in again.stderr
    assert "tags" not in again.stderr
    cli("agent", "set", "ada", "description", "Gulls.")
    assert "Did you mean 'tags'?" in cli.fails("agent", "set", "ada", "tag", "x")
    assert cli.json("agent", "new", "ada", "--description", "Gulls.")["id"] == made["id"]
    fresh = cli.json("agent", "new", "ada", "--fresh")
    assert fresh["id"] != made["id"]
    assert [one["id"] for one in cli.json("agent", "list")] == [fresh["id"]]
    assert f"{made['id']}\tset aside" in cli.out("agent", "list", "--all")
    assert fresh["id"] in cli.out("agent", "use", made["id"])
    assert [one["id"] for one in cli.json("agent", "list")] == [made["id"]]


def test_agents_go_out_and_come_in(cli: Cli) -> None:
    cli("agent", "new", "ada", "--human", "Looks after puffins.")
    (cli.folder / "shapes.py").write_text(TOOLS)
    cli("tool", "add", "shapes.py", "--agent", "ada")
    cli("archive", "add", "ada", "Puffins dive deep.")
    cli("agent", "export", "ada")
    assert "--force" in cli.fails("agent", "export", "ada")
    other = ("--home", "other")
    done = cli("agent", "import", "ada.af", *other)
    assert "Made ada" in done.stdout
    assert "area stays off" in done.stderr
    assert cli.out("memory", "show", "ada", "human", *other) == "Looks after puffins.\n"
    assert "area" not in cli.out("tool", "list", "--agent", "ada", *other)
    piped = cli.out("agent", "export", "ada", "-", "--legacy")
    again = cli.json("agent", "import", "-", "--name", "eve", *other, given=piped)
    assert [a["name"] for a in again["agents"]] == ["eve"]
    cli.fails("agent", "import", "shapes.py", *other)
    cli.fails("agent", "import", "missing.af", *other)
    assert len(cli.json("agent", "list", *other)) == 2


def test_home_by_option_and_variable(cli: Cli) -> None:
    cli("agent", "new", "ada", "--home", "elsewhere")
    assert postgres.WANTED or (cli.folder / "elsewhere" / "letta.duckdb").exists()
    assert cli.json("agent", "list") == []
    assert len(cli.json("agent", "list", LETTA_HOME=str(cli.folder / "elsewhere"))) == 1


def test_wrong_usage_is_two(cli: Cli) -> None:
    assert "agent" in cli.fails("agent", "show", code=2)
    assert "Did you mean 'show'?" in cli.fails("agent", "shw", code=2)
    assert "--top" in cli.fails("archive", "search", "ada", "x", "--top", "0", code=2)
    assert "Commands:" in cli(code=2).stderr


def test_memory(cli: Cli) -> None:
    cli("agent", "new", "ada", "--human", "Kim.")
    cli("memory", "set", "ada", "human", "-", given="Kim,\nof the puffins.\n")
    assert cli.out("memory", "show", "ada", "human") == "Kim,\nof the puffins.\n"
    cli.fails("memory", "set", "ada", "human", "x", "--version", "1")
    assert cli.out("memory", "show", "ada", "human") == "Kim,\nof the puffins.\n"
    assert cli.out("memory", "diff", "ada", "human") == "- Kim.\n+ Kim,\n+ of the puffins.\n"
    assert cli.json("memory", "undo", "ada", "human")["value"] == "Kim."
    assert cli.json("memory", "redo", "ada", "human")["value"].startswith("Kim,\n")
    versions = cli.json("memory", "history", "ada", "human")
    assert [v["version"] for v in versions] == [1, 2, 3, 4]
    assert "it has: 1 to 4" in cli.fails("memory", "diff", "ada", "human", "1", "9")
    assert "persona" in cli.fails("memory", "show", "ada", "nothing")
    assert {b["label"] for b in cli.json("memory", "list", "ada")} == {"persona", "human"}


def test_archive(cli: Cli) -> None:
    cli("agent", "new", "ada")
    (cli.folder / "gulls.md").write_text("# Gulls\n\nGulls follow the ferry at noon.\n")
    cli("archive", "add", "ada", "Puffins dive sixty metres deep.", "--tag", "birds")
    added = cli.json("archive", "add", "ada", "--file", "gulls.md")
    assert added[0]["status"] == "added"
    assert cli.json("archive", "add", "ada", "--file", "gulls.md")[0]["status"] == "known"
    best = cli.json("archive", "search", "ada", "how deep do puffins dive", "--top", "1")[0]
    assert best["passage"]["tags"] == ["birds"]
    assert len(cli.out("archive", "list", "ada").splitlines()) == 2
    cli("archive", "delete", "ada", best["passage"]["id"])
    assert len(cli.json("archive", "list", "ada")) == 1
    assert "no passage" in cli.fails("archive", "delete", "ada", best["passage"]["id"])
    assert "--file" in cli.fails("archive", "add", "ada")


def test_passages_are_superseded_forgotten_restored_and_tagged(cli: Cli) -> None:
    cli("agent", "new", "ada")
    old = cli.json("archive", "add", "ada", "Kim lives in Quebec.")[0]["id"]
    new = cli.json("archive", "add", "ada", "Kim lives in Lisbon.", "--supersedes", old)[0]["id"]
    assert [row.split("\t")[-1] for row in cli.out("archive", "list", "ada").splitlines()] == [
        "",
        new,
    ]
    assert [one["id"] for one in cli.json("archive", "list", "ada", "--superseded")] == [old]
    asked = ("archive", "search", "ada", "where does Kim live")
    assert [one["passage"]["id"] for one in cli.json(*asked)] == [new]
    assert len(cli.json(*asked, "--include-superseded")) == 2
    assert cli.json(*asked, "--as-of", "2020-01-01") == []
    assert "in the future" in cli.fails(*asked, "--as-of", "2999-01-01")
    refused = cli.fails("archive", "forget", "ada", "lives in")
    assert "Forget 2 passages (“Kim lives in Lisbon.”, “Kim lives in Quebec.”)" in refused
    assert len(cli.json("archive", "forget", "ada", "lives in", "--preview")) == 2
    assert "--yes" in refused
    assert len(cli.json("archive", "list", "ada")) == 2
    told = cli.out("archive", "forget", "ada", "lives in", "--yes")
    assert f"archive restore ada {new} {old} brings them back." in told
    assert cli.json("archive", "list", "ada") == []
    assert len(cli.json("archive", "list", "ada", "--forgotten")) == 2
    assert len(cli.json("archive", "restore", "ada", "--last")) == 2
    for refused in (("--forgotten", "--as-of", "2020-01-01"), ("--superseded", "--forgotten")):
        assert "do not go together" in cli.fails("archive", "list", "ada", *refused)
    cli("archive", "forget", "ada", old, "--yes")
    assert "passage-typo" in cli.fails("archive", "forget", "ada", f"{new}, passage-typo", "--yes")
    assert "nothing to forget" in cli.out("archive", "forget", "ada", old, "--yes")
    assert "no passage" in cli.fails("archive", "delete", "ada", old)
    cli("archive", "restore", "ada", old)
    assert f"archive restore ada {old} brings it back" in cli.out("archive", "delete", "ada", old)
    assert len(cli.json("archive", "restore", "ada", "--yes")) == 1
    assert "no forgotten passage" in cli.fails("archive", "restore", "ada", "passage-none")
    tagged = cli.json("archive", "tag", "ada", "Kim", "--add", "home", "--yes")
    assert [one["tags"] for one in tagged] == [["home"], ["home"]]
    assert "--add" in cli.fails("archive", "tag", "ada", "Kim")
    cli("archive", "forget", "ada", new, "--yes")
    assert len(cli.json("archive", "forget", "ada", f"{new},{old}", "--now", "--yes")) == 2
    assert cli.json("archive", "list", "ada", "--forgotten") == []
    assert "Which passages?" in cli.fails("archive", "forget", "ada")


def test_an_archive_is_searched_by_tags_and_time(cli: Cli) -> None:
    (cli.folder / "gulls.md").write_text("Gulls follow the ferry at noon.\n")
    with AgentService(cli.home) as service:
        service.agents.create("ada", settings={"timezone": "Asia/Tokyo"})
        for text, tags, hour in (("Puffin one", ["a", "b"], 14), ("Puffin two", ["a"], 15)):
            moment = datetime(2024, 5, 10, hour, 30, tzinfo=UTC)  # 15:00 is midnight in Tokyo
            service.passages.create(text, tags, agent="ada", created_at=moment)
    asked = ("archive", "search", "ada", "puffin")

    def found(*options: str) -> list[str]:
        return [hit["passage"]["content"] for hit in cli.json(*asked, *options)]

    assert set(found("--tag", "a", "--tag", "b")) == {"Puffin one", "Puffin two"}
    assert found("--tag", "a", "--tag", "b", "--match", "all") == ["Puffin one"]
    assert found("--from", "2024-05-10", "--to", "2024-05-10") == ["Puffin one"]
    assert found("--from", "2024-05-11") == ["Puffin two"]
    pages = [found("--top", "1", "--page", page) for page in ("1", "2", "3")]
    assert sorted(pages[:2]) == [["Puffin one"], ["Puffin two"]]
    assert pages[2] == []
    assert "'any' or 'all'" in cli.fails(*asked, "--match", "some")
    assert "no date" in cli.fails(*asked, "--to", "soon")
    assert "--page" in cli.fails(*asked, "--page", "0", code=2)
    assert len(cli.out("archive", "list", "ada").splitlines()[0].split("\t")) == 5
    cli("archive", "add", "ada", "--file", "gulls.md")
    newest = cli.out("archive", "list", "ada").splitlines()[0]
    assert newest.endswith("\tgulls.md, you, letta-kernel archive add")
    best = cli.out("archive", "search", "ada", "gulls ferry", "--top", "1").splitlines()[0]
    assert best.endswith("\tgulls.md, you, letta-kernel archive add")


def test_tools_of_a_file_run_in_the_sandbox(cli: Cli) -> None:
    cli("agent", "new", "ada")
    (cli.folder / "shapes.py").write_text(TOOLS)
    done = cli("tool", "add", "shapes.py", "--agent", "ada")
    assert "ada can call area" in done.stdout
    assert "not a tool: draw" in done.stderr
    assert "not a tool: whisper" not in done.stderr
    assert cli.out("tool", "run", "ada", "whisper", "text=hush") == "hush\n"
    cli("tool", "add", "shapes.py", "--agent", "ada", "--only", "_bare")
    assert cli.out("tool", "run", "ada", "_bare") == "a\n"
    assert cli.out("tool", "run", "ada", "area", "radius=2") == "12.57\n"
    assert cli.json("tool", "run", "ada", "area", '{"radius": 1}')["result"] == "3.14"
    assert "radius" in cli.fails("tool", "run", "ada", "area", "radius=wide")
    assert cli.json("tool", "show", "area")["runs_in"] == "sandbox"
    cli("tool", "detach", "ada", "area")
    assert "area" not in cli.out("tool", "list", "--agent", "ada")
    cli("tool", "attach", "ada", "area")
    assert "area" in cli.out("tool", "list", "--agent", "ada")
    assert "no function 'missing'" in cli.fails("tool", "add", "shapes.py", "--only", "missing")
    (cli.folder / "broken.py").write_text("def (")
    assert "no Python" in cli.fails("tool", "add", "broken.py")


def test_models(cli: Cli) -> None:
    cli("agent", "new", "ada")
    assert cli.json("model", "list")[0]["name"] == "demo"
    assert any(not m["usable"] for m in cli.json("model", "list", "--all"))
    assert cli.json("model", "set", "ada", "openai/gpt-5-mini")["model"] == "openai/gpt-5-mini"
    assert cli.json("model", "set", "ada", "auto")["model"] == "demo"
    assert {"name", "licence", "here"} <= cli.json("model", "get")[0].keys()
    assert "not on the list" in cli.fails("model", "get", "nothing", "--yes")


def test_sql_reads_and_nothing_else(cli: Cli) -> None:
    cli("agent", "new", "ada")
    (cli.folder / "secret.csv").write_text("a\n1\n")
    assert cli.json("sql", "SELECT agent, tags FROM agents") == [{"agent": "ada", "tags": []}]
    assert cli.out("sql", "-", given="SELECT 1, NULL") == "1\t\n"
    said = cli.fails(
        "sql", "SELECT error('no' || chr(27) || '[2J' || chr(8238))"
    )  # a model's words
    assert said == "The query failed: Invalid Input Error: no\n"
    twice = cli.json("sql", "SELECT 1 AS a, 2 AS a, 3 AS a_2")
    assert twice == [{"a": 1, "a_2": 2, "a_2_2": 3}]
    more = cli("sql", "SELECT * FROM range(10)", "--limit", "3")
    assert more.stdout == "0\n1\n2\n"
    assert "more than 3" in more.stderr
    for statement in (
        "DELETE FROM agents",
        "DROP TABLE agents",
        "COPY agents TO 'out.csv'",
        "SELECT * FROM read_csv('secret.csv')",
        "ATTACH 'other.duckdb'",
        "SET enable_external_access = true",
        "SELECT 1; SELECT 2",
        "SELEC",
    ):
        cli.fails("sql", statement)
    assert "0.2 seconds" in cli.fails(
        "sql",
        "SELECT count(*) FROM range(100000000) a, range(100000000) b",
        "--seconds",
        "0.2",
    )
    assert len(cli.json("agent", "list")) == 1
    assert {p.name for p in cli.folder.iterdir()} - {".letta"} == {"secret.csv"}


@pytest.mark.duckdb
def test_backup_while_another_process_writes(cli: Cli) -> None:
    cli("agent", "new", "ada")
    stop = threading.Event()
    written = []

    def write() -> None:
        with AgentService(cli.home) as service:
            while not stop.is_set():
                written.append(
                    service.blocks.upsert("human", f"number {len(written)}", agent="ada")
                )
                service.passages.create(f"passage {len(written)}", agent="ada")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not written and writer.is_alive():
            time.sleep(0.01)
        made = cli.json("backup", "copy.duckdb")
        before = len(written)
        while len(written) == before and writer.is_alive():  # something that the copy has not
            time.sleep(0.01)
    finally:
        stop.set()
        writer.join()
    copy = cli.folder / "copy.duckdb"
    assert made["bytes"] == copy.stat().st_size
    assert copy.stat().st_mode & 0o077 == 0
    assert "--force" in cli.fails("backup", "copy.duckdb")
    assert not list(cli.folder.glob(".*part*"))
    last = cli.out("memory", "show", "ada", "human")
    theirs = cli.folder / ".letta" / "vectors" / "embeddings.npy"
    theirs.parent.mkdir(exist_ok=True)
    theirs.touch()
    assert cli.json("restore", "copy.duckdb", "--yes")["kept"]
    assert theirs.exists()  # of the indexes' folder the indexes alone go
    passages = cli.json("archive", "list", "ada", "--limit", "10000")
    restored = cli.out("memory", "show", "ada", "human")
    assert restored != last
    number = int(restored.split()[1]) + 1
    assert number - len(passages) in (0, 1), "block and passage of one moment"
    if passages:
        found = cli.json("archive", "search", "ada", passages[0]["content"])
        assert passages[0]["id"] in {hit["passage"]["id"] for hit in found}


@pytest.mark.duckdb
def test_copies_and_folders_of_any_name(cli: Cli) -> None:
    cli("agent", "new", "ada")
    where = cli.folder / 'o\'dd "a" %41#ü[b]{x}:;'
    where.mkdir()
    cli("backup", f"{where}/what?.duckdb")
    cli("restore", f"{where}/what?.duckdb", "--yes", "--home", f"{where}/.letta")
    cli("memory", "set", "ada", "human", "Kim", "--home", f"{where}/.letta")
    assert cli.out("memory", "show", "ada", "human", "--home", f"{where}/.letta") == "Kim\n"
    (cli.folder / "a?b").mkdir()
    for refused in (
        ("backup", "a?b/copy.duckdb"),
        ("agent", "new", "eve", "--home", "a?b/.letta"),
        ("agent", "new", "eve", "--home", "a\\b"),
    ):
        assert "has the character" in cli.fails(*refused)
    assert list((cli.folder / "a?b").iterdir()) == []
    assert not (cli.folder / "a").exists()


@pytest.mark.duckdb
def test_restore_refuses_what_is_no_copy(cli: Cli) -> None:
    cli("agent", "new", "ada")
    (cli.folder / "junk.duckdb").write_bytes(b"junk" * 5000)
    assert "no copy" in cli.fails("restore", "junk.duckdb", "--yes")
    assert "no file" in cli.fails("restore", "missing.duckdb")
    assert len(cli.json("agent", "list")) == 1
    assert not list(cli.home.glob(".*part*"))


@pytest.mark.duckdb
def test_a_damaged_store_is_told_looked_into_and_repaired(cli: Cli) -> None:
    cli("agent", "new", "ada")
    assert cli.out("check").endswith("is whole: 1 agent, 0 messages, 0 passages.\n")
    assert cli.json("restore") == []
    folder = cli.home / "backups"
    copy = Path(shutil.copy(cli.home / "letta.duckdb", folder / "letta-20260101-000000.duckdb"))
    store = cli.home / "letta.duckdb"
    store.write_bytes(store.read_bytes()[:20_000])
    assert "See what can be saved: letta-kernel check." in cli.fails("agent", "list")
    examined = cli("doctor", "--quick", "--json", code=1)
    (wrong, *_) = [one for one in json.loads(examined.stdout) if one["state"] == "wrong"]
    assert (wrong["what"], wrong["todo"]) == ("project", "letta-kernel check")
    assert "letta-kernel check --repair does" in cli.out("check", code=1)
    assert "The files as they were are in" in cli.out("check", "--repair")
    assert [one["name"] for one in cli.json("agent", "list")] == ["ada"]
    assert [one["name"] for one in cli.json("restore")] == [copy.name]
    cli("agent", "new", "bob")
    cli("restore", copy.name, "--yes")
    assert [one["name"] for one in cli.json("agent", "list")] == ["ada"]


def test_doctor_says_what_to_do_and_no_secret(cli: Cli) -> None:
    cli("agent", "new", "ada")
    key = "sk-not-to-be-seen"
    found = cli("doctor", "--json", LETTA_MODEL="anthropic/claude-sonnet-5", ANTHROPIC_API_KEY=key)
    assert key not in found.stdout + found.stderr
    by = {one["what"]: one for one in json.loads(found.stdout)}
    assert "ANTHROPIC_API_KEY" in by["keys"]["text"]
    assert by["project"]["text"].endswith("MB")
    assert by["sandbox"]["state"] == "ok"
    assert {"python", "packages", "kernel", "extension", "server", "folder", "ollama"} <= by.keys()
    bad = cli(
        "doctor", "--quick", "--json", code=1, LETTA_MODEL="anthropic/claude", ANTHROPIC_API_KEY=""
    )
    wrong = [one for one in json.loads(bad.stdout) if one["state"] == "wrong"]
    assert [one["todo"] for one in wrong] == ["letta-kernel model key ANTHROPIC_API_KEY"]


def test_a_closed_pipe_is_no_matter(cli: Cli) -> None:
    cli("agent", "new", "ada")
    command = f"{' '.join(PROGRAM)} sql --limit 0 'SELECT * FROM range(300000)' | head -1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=cli.folder, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "0\n"
    assert done.stderr == ""


def test_completion(cli: Cli) -> None:
    with AgentService(cli.home) as service:
        for name in ("ada", "amos", "bob"):
            service.agents.create(name)
        service.blocks.upsert("to do/it", "Row", agent="amos")
    for line, offered in {
        "letta-kernel agent show a": {"ada", "amos"},
        "letta-kernel memory show ada ": {"persona", "human"},
        "letta-kernel memory show ada p": {"persona"},
        "letta-kernel tool detach ada archival_memory_s": {"archival_memory_search"},
        "letta-kernel model set ada dem": {"demo"},
        "letta-kernel help store-n": {"store-newer"},
        "letta-kernel memory show amos to": {"to\\ do/it"},
        "letta-kernel memory show amos 'to": {"to do/it"},
    }.items():
        done = cli(
            code=None,
            _LETTA_KERNEL_COMPLETE="complete_bash",
            COMP_WORDS=line,
            COMP_CWORD=str(len(line.split(" ")) - 1),
        )
        assert set(done.stdout.splitlines()) == offered, line
        assert done.stderr == ""


def test_an_error_ends_with_a_name_that_help_explains(cli: Cli) -> None:
    line = cli.fails("agent", "show", "ada")
    assert line.endswith("(letta-kernel help no-agent)\n")
    assert "There is no agent here yet [no-agent]" in cli.out("help", "no-agent")
    assert cli.json("help", "no-agent")["name"] == "no-agent"
    assert "no-agent\tThere is no agent here yet\n" in cli.out("help")
    assert "Did you mean 'no-agent'?" in cli.fails("help", "no-agnt")
    assert "letta-kernel send --help" in cli.fails("help", "send")


def test_what_a_model_wrote_cannot_command_the_terminal(cli: Cli, tmp_path: Path) -> None:
    cli("agent", "new", "ada")
    cli("memory", "set", "ada", "human", "red \x1b[31m \x1b]0;title\x07 end")
    terminal = cli.terminal("memory", "show", "ada", "human")
    shown = terminal.read()
    assert "red   end" in shown
    assert "\x1b[31m" not in shown
    assert "title" not in shown


def test_models_that_cannot_be_are_refused_when_they_are_set(cli: Cli) -> None:
    cli("agent", "new", "ada", "--model", "demo")
    assert "no model 'nosuch'" in cli.fails("model", "set", "ada", "nosuch")
    assert "no embedding model" in cli.fails("agent", "new", "eve", "--embedding", "nonsense")
    assert "no model 'nosuch'" in cli.fails("send", "ada", "Hello", "--model", "nosuch")
    assert cli.json("agent", "show", "ada")["model"] == "demo"
    said = cli("model", "set", "ada", "anthropic/claude-sonnet-5", ANTHROPIC_API_KEY="").stderr
    assert "ANTHROPIC_API_KEY is not set" in said
