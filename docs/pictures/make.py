"""Makes pictures anew, without a key or a network: `make pictures`, or `python docs/pictures/make.py panel`.

Named on the command line are pictures of `table.py`; without names all are made.
"""

from __future__ import annotations

import sys

import table


def main() -> int:
    """Make pictures and note what they show; 1 if one is not known."""
    wanted = set(sys.argv[1:]) or {picture.name for picture in table.MADE_BY_SCRIPT}
    unknown = wanted - {picture.name for picture in table.MADE_BY_SCRIPT}
    if unknown:
        print(f"no picture of that name: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 1
    made: tuple[table.Picture, ...] = ()
    for pictures, module in (
        (table.SCREENSHOTS, "screenshots"),
        ((table.MOVING,), "moving"),
        (table.PLOTS, "plots"),
    ):
        if any(picture.name in wanted for picture in pictures):
            print(f"{module} …", flush=True)
            __import__(module).make()
            made += pictures
    table.note(made)
    for picture in made:
        for file in picture.files:
            print(f"{file}  {(table.ROOT / file).stat().st_size / 1000:.0f} kB  {picture.what}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
