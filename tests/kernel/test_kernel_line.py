"""How IPython hands over `%agent` lines."""

from __future__ import annotations

import pytest

from letta_kernel.magics import protect_lines


def run_line(text: str) -> str:
    return f"get_ipython().run_line_magic('agent', {text!r})\n"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%agent memory human It's me\nx = 1\n", run_line("memory human It's me") + "x = 1\n"),
        ("%agent search what is it?\n", run_line("search what is it?")),
        ("%agent\n", run_line("")),
        ("if x:\n    %agent list\n", "if x:\n    " + run_line("list")),
        ("%agent new ada \\\n  --yes\n", run_line("new ada --yes")),
        ("%agent?\n", "%agent?\n"),
        ("%agent??\n", "%agent??\n"),
        ("%agents\n", "%agents\n"),
        ("%%time\n%agent list\n", "%%time\n%agent list\n"),
        ("x = '''\n%agent list\n'''\n", "x = '''\n%agent list\n'''\n"),
        ('x = """a"""\n%agent list\n', 'x = """a"""\n' + run_line("list")),
    ],
)
def test_lines_are_protected_from_ipython(cell: str, expected: str) -> None:
    assert "".join(protect_lines(cell.splitlines(keepends=True))) == expected
