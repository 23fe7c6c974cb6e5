"""``python -m letta_kernel.commands`` writes README's list of commands anew, in a clone of the repository."""

from __future__ import annotations

from pathlib import Path

from letta_kernel.commands import reference

_BEGIN, _END = "<!-- commands -->\n", "\n<!-- /commands -->"


def main() -> None:
    """Put the table between its two marks in README.md."""
    readme = Path(__file__).parents[2] / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    readme.write_text(f"{before}{_BEGIN}{reference.readme()}{_END}{after}", "utf-8")


if __name__ == "__main__":
    main()
