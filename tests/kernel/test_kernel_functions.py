"""Functions of cells as tools: found, updated, taken away, and what is said about them."""

from __future__ import annotations

from extras import needs
from kernel_notebook import Notebook
from scripted_server import ScriptedServer


def define(name: str, body: str = "return word", doc: str = "Say it.") -> str:
    return (
        f"def {name}(word: str) -> str:\n"
        f'    """{doc}\n\n    Args:\n        word: What to say.\n    """\n    {body}\n'
    )


def tools(notebook: Notebook, server: ScriptedServer) -> dict[str, dict[str, object]]:
    """What the model is offered now, apart from the built-in tools and the notebook's."""
    server.say("Yes.")
    notebook.run("%%agent\nHello?")
    offered = [tool["function"] for tool in server.requests[-1]["tools"]]
    ours = ("memory", "notebook_")
    return {one["name"]: one for one in offered if not any(part in one["name"] for part in ours)}


def own(notebook: Notebook, server: ScriptedServer) -> set[str]:
    return set(tools(notebook, server)) - {"conversation_search"}


def test_before_there_is_an_agent(notebook: Notebook, server: ScriptedServer) -> None:
    ran = notebook.run(define("echo") + define("shout", "return word.upper()"), "first")
    assert ran.status == "ok"
    assert ran.displays == []
    assert not notebook.home.exists()  # nobody asked for agents yet
    assert notebook.run("del shout").text.strip() == ""
    assert notebook.run(define("later"), "later").text.strip() == ""
    made = notebook.run("%agent new one").text
    assert "echo" in made
    assert own(notebook, server) == {"echo", "later"}
    notebook.run(define("only_one"), "second")
    notebook.run("%agent new two")
    assert own(notebook, server) == {"echo", "later"}  # those that were there before any agent
    notebook.run("%agent use one")
    assert own(notebook, server) == {"echo", "later", "only_one"}


def test_running_again_updates(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new updated")
    notebook.run(define("greet", "return 'old ' + word", "Greet."), "greet")
    notebook.run(define("greet", "return 'new ' + word", "Greet warmly."), "greet")
    assert tools(notebook, server)["greet"]["description"] == "Greet warmly."
    server.call("greet", {"word": "Kim"})
    server.say("Done.")
    ran = notebook.run("%%agent\nGreet Kim.")
    assert "new Kim" in ran.items("tool_call")[0]["result"]


def test_taking_away(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new losing")
    notebook.run(define("a_tool") + define("b_tool"), "both")
    notebook.run(define("c_tool"), "third")
    assert own(notebook, server) >= {"a_tool", "b_tool", "c_tool"}
    ran = notebook.run(define("a_tool"), "both")
    assert "losing no longer has b_tool" in ran.text
    ran = notebook.run("x = 1", "third")
    assert "losing no longer has c_tool" in ran.text
    assert own(notebook, server) >= {"a_tool"}
    assert not own(notebook, server) & {"b_tool", "c_tool"}
    assert "losing no longer has a_tool" in notebook.run("del a_tool").text
    assert "a_tool" not in own(notebook, server)
    # moved to another cell, the old cell no longer has a say
    notebook.run(define("moved"), "from")
    notebook.run(define("moved"), "to")
    assert "moved" not in notebook.run("x = 2", "from").text
    assert "moved" in own(notebook, server)


def test_taking_away_after_a_restart(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new restarted")
    notebook.run(define("stays"), "stays")
    notebook.run(define("goes"), "goes")
    notebook.run(define("goes_later"), "goes-later")
    notebook.restart(anew=True)
    assert notebook.run("x = 1", "goes").text.strip() == ""  # nothing is loaded for this
    assert notebook.run("import sys; 'letta_kernel.service' in sys.modules").text.strip() == "False"
    assert "restarted no longer has goes" in notebook.run("%agent tools").text
    assert "restarted no longer has goes_later" in notebook.run("x = 2", "goes-later").text
    assert own(notebook, server) >= {"stays"}
    assert not own(notebook, server) & {"goes", "goes_later"}


def test_what_is_said(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new told")
    ran = notebook.run(
        'def bad(city: "Town", days: int = 1):\n    """Forecast."""\n    return city'
    )
    assert "not a tool: bad" in ran.text
    assert "city" in ran.text
    assert ran.status == "ok"
    assert len(ran.text.strip().splitlines()) == 1
    assert notebook.run("def plain(x):\n    return x").text.strip() == ""  # no docstring, no tool
    assert notebook.run(define("_private")).text.strip() == ""
    assert notebook.run(define("quiet").replace(":\n", ":  # no tool\n", 1)).text.strip() == ""
    assert "built-in" in notebook.run(define("send_message")).text
    assert "quiet" not in own(notebook, server)


def test_cells_that_fail(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new failing")
    ran = notebook.run(define("before") + "1 / 0\n" + define("after"), "fails")
    assert ran.status == "error"
    assert {"before", "after"} & own(notebook, server) == {"before"}
    notebook.run("def broken(:\n", "fails")  # does not even parse: nothing is known
    assert "before" in own(notebook, server)


@needs("matplotlib")
def test_magics_and_await_around_functions(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new surrounded")
    notebook.run("%%time\n" + define("timed"), "timed")
    notebook.run("%matplotlib inline\n!true\n" + define("shelled") + "x = !echo hi\n", "shelled")
    notebook.run(
        "import asyncio\nawait asyncio.sleep(0)\nasync " + define("waits", "return word"), "waits"
    )
    assert own(notebook, server) >= {"timed", "shelled", "waits"}
    server.call("waits", {"word": "async"})
    server.say("Done.")
    ran = notebook.run("%%agent\nGo.")
    assert "async" in ran.items("tool_call")[0]["result"]
    server.say("Yes.")
    ran = notebook.run("%%agent\n" + define("in_a_message"), "message")
    assert "in_a_message" not in own(notebook, server)


def test_a_rebound_name_is_no_tool(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new rebound")
    notebook.run(define("shape"), "shape")
    assert "rebound no longer has shape" in notebook.run("shape = 3").text
    assert "shape" not in own(notebook, server)


def test_it_prints_into_its_own_cell(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new printer")
    notebook.run(define("prints", "print('printed', word); return 'ok'"), "prints")
    server.call("prints", {"word": "here"})
    server.say("Done.")
    ran = notebook.run("%%agent\nPrint.")
    assert "printed here" in ran.items("tool_call")[0]["output"]
    assert ran.stdout == ""


def test_the_python_interface_is_part_of_the_notebook(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.env["JPY_SESSION_NAME"] = "python.ipynb"  # a notebook of its own, without an agent
    notebook.restart()
    notebook.run(define("waiting"), "waiting")
    notebook.run("from letta_kernel import Agent\nvera = Agent('vera')")
    assert "vera can call: present" in notebook.run(define("present"), "present").text
    assert own(notebook, server) == {"waiting", "present"}
    server.call("present", {"word": "seen"})
    server.say("Seen.")
    ran = notebook.run("vera.send('Go.')")
    assert ran.answer == "Seen."
    assert ran.items("tool_call")[0]["runs_in"] == "notebook"
    notebook.run("Agent('wim')")
    assert "* vera" in notebook.run("%agent list").text


def test_two_notebooks_do_not_take_each_others_tools(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.env["JPY_SESSION_NAME"] = "left.ipynb"
    notebook.restart()
    notebook.run("%agent new left")
    notebook.run(define("same", doc="Left's."), "cell")
    notebook.env["JPY_SESSION_NAME"] = "right.ipynb"
    notebook.restart()
    notebook.run("%agent new right")
    notebook.run(
        define("same", doc="Right's."), "cell"
    )  # the same cell id, as in a copied notebook
    assert tools(notebook, server)["same"]["description"] == "Right's."
    assert "right no longer has same" in notebook.run("del same").text
    notebook.run("%agent use left")
    assert tools(notebook, server)["same"]["description"] == "Left's."
