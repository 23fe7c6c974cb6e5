"""Scripted answers through a real kernel: a story told without a model, its checks, each agent's place."""

from __future__ import annotations

from kernel_notebook import Notebook

STORY = """%%script visit
# What happens when a visitor comes.
expect last contains: my name is
expect tools include: core_memory_append
think: A name. I keep it.
call: core_memory_append(label="human", content="Name: Kim")
say: Nice to meet you, Kim.

expect system contains: Name: Kim
expect conversation lacks: Robin
stream 0: You are Kim,
  the visitor.
"""


def test_a_story_is_told_and_told_again_after_restart_and_run_all(notebook: Notebook) -> None:
    for _ in range(2):
        assert "scripted/visit has 3 answers to give" in notebook.run(STORY).text
        notebook.run("%agent new ada --model scripted/visit")
        first = notebook.run("%%agent ada\nHello, my name is Kim.")
        assert first.answer == "Nice to meet you, Kim."
        assert first.items("reasoning")[0]["text"] == "A name. I keep it."
        assert first.items("tool_call")[0]["name"] == "core_memory_append"
        assert "script: no language model" in first.text
        second = notebook.run("%%agent\nWho am I?")
        assert second.answer == "You are Kim,\nthe visitor."
        notebook.run("%agent delete ada --yes")
        notebook.restart()


def test_each_agent_has_its_own_place_and_the_end_is_said_in_a_line(notebook: Notebook) -> None:
    notebook.run("%%script short\nsay: one\n\nsay: two")
    for name in ("left", "right"):
        notebook.run(f"%agent new {name} --model scripted/short")
    assert notebook.run("%%agent left\nx").answer == "one"
    assert notebook.run("%%agent right\nx").answer == "one"
    assert notebook.run("%%agent left\nx").answer == "two"
    ended = notebook.run("%%agent left\nx")
    assert ended.status == "error"
    assert "The script 'short' is at its end: all 2 answers given. Run its cell again" in ended.text
    assert notebook.run("%%agent right\nx").answer == "two"
    notebook.run("%%script short\nsay: anew")
    assert notebook.run("%%agent left\nx").answer == "anew"


def test_a_check_that_fails_ends_the_run_with_what_came_and_stays_where_it_was(
    notebook: Notebook,
) -> None:
    notebook.run("%agent new checked --model scripted/checked")
    said = {
        "expect last contains: tea": "to contain 'tea'; it is 'coffee, please'",
        "expect last lacks: coffee": "to lack 'coffee'; it is 'coffee, please'",
        "expect tools include: conversation_search, brew": "the tools to include brew; they are ",
        "expect tools lack: conversation_search": "the tools to lack conversation_search; they are ",
        "expect system contains: no such words": "the system prompt to contain 'no such words'; it begins",
    }
    for check, told in said.items():
        notebook.run(f"%%script checked\n\n{check}\nsay: never")
        ran = notebook.run("%%agent checked\ncoffee, please")
        assert ran.status == "error", check
        assert "Line 3 of the script 'checked' expected " in ran.evalue + ran.text
        assert told in ran.text.replace("\n    ", " "), check
        assert ran.items("answer") == []
    notebook.run("%%script checked\nexpect last contains: tea\nsay: Here it is.")
    notebook.run("%%agent checked\ncoffee")
    assert notebook.run("%%agent checked\nTea!").answer == "Here it is."


def test_calls_reach_the_notebooks_functions_by_place_and_by_name(notebook: Notebook) -> None:
    notebook.run("%agent new caller --model scripted/calls\n")
    notebook.run(
        "def double(n: int, twice: bool = False) -> int:\n"
        '    """Double a number.\n\n    Args:\n        n: It.\n        twice: Again.\n    """\n'
        "    return n * 4 if twice else n * 2"
    )
    notebook.run(
        "%%script calls\ncall: double(4)\ncall: double(4, twice=True)\n"
        "expect conversation contains: 16\nsay: Eight and sixteen.\n\n"
        'call: double {"n": \n\nexpect last contains: JSON\nsay: That was no JSON.'
    )  # fmt: skip
    ran = notebook.run("%%agent caller\ndouble four")
    assert [call["result"] for call in ran.items("tool_call")] == ["8", "16"]
    assert ran.answer == "Eight and sixteen."
    assert notebook.run("%%agent\nagain").answer == "That was no JSON."


def test_failing_waiting_and_the_newest_script_and_python(notebook: Notebook) -> None:
    notebook.run("%agent new odd --model scripted")
    missing = notebook.run("%%agent odd --model scripted/nowhere\nhi")
    assert "There is no script 'nowhere' in this process" in missing.text.replace("\n    ", " ")
    made = notebook.run(
        "import letta_kernel\n"
        "letta_kernel.scripted('fail rate_limit: Too many today.\\n\\nwait: 0\\nsay: Back.', 'py')"
    )
    assert "scripted/py" in made.text
    failed = notebook.run("%%agent odd\nhi")
    assert failed.status == "error"
    assert "Too many today." in failed.text
    assert notebook.run("%%agent odd\nhi").answer == "Back."


def test_wrong_lines_are_named_and_change_nothing(notebook: Notebook) -> None:
    notebook.run("%%script kept\nsay: I stay.\n\nsay: I stay, too.")
    for cell, told in {
        "%%script kept\nsay: a\nsya: b": "Line 3 is no move: 'sya: b'. Did you mean 'say'?",
        "%%script kept\nsay: a\n\ncall: f(x=": "Line 4: 'f(x=' is no call.",
        "%%script kept\nwait: long": "Line 2: wait takes seconds",
        "%%script kept\nfail ratelimit: x": "Did you mean 'rate_limit'?",
        "%%script kept\nexpect first contains: x": "Line 2 is no check",
        "%%script kept\nsay:": "Line 2: say what?",
        "%%script kept\n# nothing": "has no moves",
        "%%script 9lives\nsay: x": "'9lives' is no name for a script",
        "%%script two names\nsay: x": "takes one name",
    }.items():
        ran = notebook.run(cell)
        assert (ran.status, ran.ename) == ("error", "InvalidInputError"), cell
        assert told in ran.evalue, cell
        assert "\n" not in ran.evalue
    notebook.run("%agent new keeper --model scripted/kept")
    assert notebook.run("%%agent keeper\nhi").answer == "I stay."


def test_heartbeat_agents_answer_by_their_tool(notebook: Notebook) -> None:
    notebook.run("%%script beats\ncall: core_memory_append(label='human', content='x')\nsay: Kept.")
    notebook.run("%agent new beats --style heartbeat --model scripted/beats")
    assert notebook.run("%%agent beats\nhi").answer == "Kept."


def test_programs_are_still_run_and_the_help_is_there(notebook: Notebook) -> None:
    assert "from sh 2" in notebook.run("%%script sh\necho from sh $((1 + 1))").text
    assert "from bash" in notebook.run("%%bash\necho from bash").text
    assert "Couldn't find program" not in notebook.run("%%script nosuchprog\nhello").text
    shown = notebook.client.inspect("%%script", reply=True, timeout=60)["content"]
    assert "expect last contains" in shown["data"]["text/plain"]


def test_moves_tools_and_scripts_are_completed(notebook: Notebook) -> None:
    notebook.run("%%script tabbed\nsay: x")
    notebook.run("%agent new tabber --model scripted/tabbed")

    def tab(code: str) -> list[str]:
        reply = notebook.client.complete(code, reply=True, timeout=60)["content"]
        return list(reply["matches"])

    assert "tabbed" in tab("%%script ta")
    assert tab("%%script tabbed\nsa") == ["say:"]
    assert tab("%%script tabbed\nexpect sy") == ["system"]
    assert tab("%%script tabbed\nexpect tools in") == ["include:"]
    assert "core_memory_append" in tab("%%script tabbed\ncall: core")
    assert "scripted/tabbed" in tab("%agent model scripted/t")


def test_a_run_goes_on_with_its_cells_model_after_a_persons_word(notebook: Notebook) -> None:
    notebook.run(
        "%%script keen\ncall: ring(times=1)\n\nexpect last contains: denied\nsay: Not allowed."
    )
    notebook.run("%agent new ringer --model demo")
    notebook.run('def ring(times: int) -> str:\n    """Ring a bell."""\n    return "ding"')
    notebook.run("%agent rules add requires_approval ring")
    assert notebook.run("%%agent ringer --model scripted/keen\nRing it.").answer == "Not allowed."
