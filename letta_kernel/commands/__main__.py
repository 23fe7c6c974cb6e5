"""``python -m letta_kernel.commands`` writes what is made of the documents, in a clone of the repository.

Those are README's list of commands and the tables of docs/sql.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from letta_kernel.commands import reference
from letta_kernel.service import AgentService

_ROOT = Path(__file__).parents[2]


def main() -> None:
    """Put each part between its two marks."""
    _put("README.md", "commands", reference.readme())
    with tempfile.TemporaryDirectory() as home, AgentService(home, store="") as service:
        _put("docs/sql.md", "views", service.sql.page())


def _put(name: str, mark: str, text: str) -> None:
    begin, end = f"<!-- {mark} -->\n", f"\n<!-- /{mark} -->"
    file = _ROOT / name
    before, _, rest = file.read_text("utf-8").partition(begin)
    file.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}", "utf-8")


if __name__ == "__main__":
    main()
