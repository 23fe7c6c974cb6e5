"""``python -m letta_kernel.commands`` writes README's list of commands anew, in a clone of the repository."""

from __future__ import annotations

from pathlib import Path

from letta_kernel.commands import reference

_README = Path(__file__).parents[2] / "README.md"


def main() -> None:
    """Put the list between its two marks."""
    begin, end = "<!-- commands -->\n", "\n<!-- /commands -->"
    before, _, rest = _README.read_text("utf-8").partition(begin)
    _README.write_text(f"{before}{begin}{reference.readme()}{end}{rest.partition(end)[2]}", "utf-8")


if __name__ == "__main__":
    main()
