"""What a kernel notes of the cells that ran in it, without changing anything of the user's."""

from __future__ import annotations

import json
from typing import Any

from kernel_notebook import Notebook

from letta_kernel.notebook.executed import is_ours

RECORD = "get_ipython()._letta_magics.executed"


def noted(notebook: Notebook) -> list[dict[str, Any]]:
    """Every cell the kernel has noted but the ones that ask."""
    said = notebook.run(
        "import json, dataclasses; "
        "print(json.dumps([dict(dataclasses.asdict(c), ours=c.ours, private=c.private)"
        f" for c in {RECORD}.all() if 'dataclasses' not in c.source], default=repr))"
    )
    return list(json.loads(said.stdout))


def send_tagged(notebook: Notebook, code: str, tags: list[str], cell_id: str) -> None:
    """Run a cell as JupyterLab does, which sends the cell's metadata with it."""
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }
    message = notebook.client.session.msg(
        "execute_request", content, metadata={"cellId": cell_id, "tags": tags}
    )
    notebook.client.shell_channel.send(message)
    notebook.finish(str(message["header"]["msg_id"]))


def test_cells_are_noted_with_what_they_put_out(notebook: Notebook) -> None:
    notebook.run("print('one'); print('two')\n3 + 4", cell_id="a")
    notebook.run(
        "from IPython.display import display\nimport sys\nprint('before')\n"
        "display({'text/plain': 'shown', 'image/png': 'iVBORw0KGgo='}, raw=True)\n"
        "print('after', file=sys.stderr)",
        cell_id="b",
    )
    notebook.run("def f():\n    return 1 / 0\nf()", cell_id="c")
    notebook.run("1 +", cell_id="d")
    notebook.run("", cell_id="empty")
    notebook.run("get_ipython().run_cell('inner = 1')\nprint('x' * 100_000)", cell_id="e")
    notebook.run("%agent list", cell_id="f")
    send_tagged(notebook, "quiet = 1", ["private", "other"], "g")
    cells = {one["cell_id"]: one for one in noted(notebook)}
    assert set(cells) == {"a", "b", "c", "d", "e", "f", "g"}

    a, b, c, d, e = (cells[name] for name in "abcde")
    assert a["state"] == "ok"
    assert a["outputs"][0] == {"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"}
    assert a["outputs"][1]["data"] == {"text/plain": "7"}
    assert b["count"] == a["count"] + 1
    by_type = {(o["output_type"], o.get("name")): o for o in b["outputs"]}
    assert by_type["stream", "stdout"]["text"] == "before\n"
    assert by_type["stream", "stderr"]["text"] == "after\n"
    assert by_type["display_data", None]["data"]["text/plain"] == "shown"
    assert by_type["display_data", None]["data"]["image/png"]
    assert c["state"] == "error"
    assert c["outputs"][-1]["ename"] == "ZeroDivisionError"
    assert "ZeroDivisionError" in "\n".join(c["outputs"][-1]["traceback"])
    assert d["outputs"][-1]["ename"] == "SyntaxError"
    assert len(e["outputs"][0]["text"]) < 30_000
    assert e["outputs"][0]["text"].startswith("xxx")
    assert not a["ours"]
    assert cells["f"]["ours"]
    assert cells["g"]["private"]
    assert [one["serial"] for one in cells.values()] == sorted(c["serial"] for c in cells.values())


def test_cells_that_only_speak_to_agents_are_told_apart() -> None:
    for ours in (
        "%%agent\nHi",
        "%agent list\n\n# a note\n%agent use ada",
        "%load_ext letta_kernel",
        "%%script visit\n# What happens.\n\nexpect last contains: my name",
        "%%script\nsay: one",
    ):
        assert is_ours(ours), ours
    for theirs in ("x = 1\n%agent list", "%%script bash\nwait\necho 1", "# %agent", "", "%time x"):
        assert not is_ours(theirs), theirs


def test_a_stopped_cell_is_noted_and_silent_ones_are_not(notebook: Notebook) -> None:
    request = notebook.send("import time\nprint('begun')\nwhile True: time.sleep(0.05)", "stop-me")
    notebook.finish(request, when=lambda ran: "begun" in ran.stdout, then=notebook.interrupt)
    notebook.client.execute("unseen = 1", silent=True, store_history=False)
    notebook.client.execute("unseen = 2", store_history=False)
    cells = noted(notebook)
    assert [c["state"] for c in cells if c["cell_id"] == "stop-me"] == ["interrupted"]
    assert not [c for c in cells if "unseen" in c["source"]]
