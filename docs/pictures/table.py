"""The pictures of README, the pages and the notebooks: what each shows, and whether it is too old for that.

`made.json` keeps, for each picture that a script makes, a digest of the file, a digest of the sources it shows,
and after which release it was made. A picture is too old if its sources have changed since, and more
than one release is newer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
MADE = Path(__file__).with_name("made.json")
ENDINGS = {".png", ".svg", ".gif", ".jpg", ".webp"}
_USES = (
    re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<path>[^)\s]+)\)"),
    re.compile(r'<img\s[^>]*?alt="(?P<alt>[^"]*)"[^>]*?src="(?P<path>[^"]+)"'),
)
_OTHERS = (re.compile(r'srcset="(?P<path>[^"]+)"'), re.compile(r'html_logo = "(?P<path>[^"]+)"'))


@dataclass(frozen=True)
class Picture:
    """A picture, without `.png` or `.svg`, that a script writes in light and, if *dark*, in dark."""

    name: str
    what: str
    shows: tuple[str, ...]  # files and patterns of files, from the root
    ending: str = ".png"
    dark: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        """The files, from the root."""
        names = (self.name, f"{self.name}-dark") if self.dark else (self.name,)
        return tuple(f"docs/pictures/{name}{self.ending}" for name in names)


_PLOTS = ("docs/pictures/plots.py", "letta_kernel/display/plots.py")
_PANEL = ("labextension/src/panel/**/*", "labextension/style/*.css", "docs/pictures/screenshots.py")
SCREENSHOTS = (
    Picture(
        "panel",
        "the quickstart in JupyterLab, beside it the Agents panel",
        (*_PANEL, "labextension/src/cells/*", "notebooks/course/01-quickstart.ipynb"),
    ),
    Picture(
        "timeline",
        "a timeline below its cell, and in the panel what a fork says differently",
        (*_PANEL, "labextension/src/ui/timeline.ts", "labextension/src/ui/tree.ts"),
    ),
)
MOVING = Picture(
    "moving",
    "a conversation: memory, a function as a tool, a second kernel, a rewind",
    (
        "docs/pictures/moving.py",
        "docs/pictures/animation.py",
        "docs/pictures/recorded.py",
        "letta_kernel/models/demo/*.py",
    ),
    ".svg",
)
PLOTS = tuple(
    Picture(f"plot-{what}", f"what `%agent plot {what}` draws", _PLOTS, dark=False)
    for what in ("context", "memory", "tokens", "retrieval", "branches")
)
MADE_BY_SCRIPT = (*SCREENSHOTS, MOVING, *PLOTS)

# Drawn by hand, so they do not age with the code; and drawn from measurements, which benchmarks/ makes.
BY_HAND = (
    "docs/pictures/logo.svg",
    "docs/pictures/loop.svg",
    "notebooks/course/pictures/*.svg",
    "notebooks/pictures/run*.png",
)
MEASURED = (
    "docs/pictures/scale-*.svg",
    "docs/pictures/scale.png",
    "docs/pictures/step.png",
)


def digest_of(path: Path) -> str:
    """Return a digest of one file, the same on systems that end lines otherwise."""
    content = path.read_bytes()
    if path.suffix != ".png":
        content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()[:16]


def shown_digest(picture: Picture, root: Path = ROOT) -> str:
    """Return a digest of the names and contents of all that a picture shows.

    Raises
    ------
    FileNotFoundError
        Something it is said to show is not there any more.
    """
    total = hashlib.sha256()
    for pattern in picture.shows:
        files = sorted(path for path in root.glob(pattern) if path.is_file())
        if not files:
            raise FileNotFoundError(f"{picture.name} shows {pattern}, which is not there")
        for path in files:
            total.update(f"{path.relative_to(root).as_posix()} {digest_of(path)}\n".encode())
    return total.hexdigest()[:16]


def releases(root: Path = ROOT) -> list[str]:
    """Return the releases that CHANGELOG.md names, the newest first."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    return re.findall(r"^## \[?v?(\d[\w.]*)", text, re.MULTILINE)


def note(pictures: tuple[Picture, ...], root: Path = ROOT, made: Path = MADE) -> None:
    """Write down that *pictures* were made now; forget those the table has no longer."""
    kept = json.loads(made.read_text("utf-8")) if made.is_file() else {}
    after = next(iter(releases(root)), "")
    for picture in pictures:
        kept[picture.name] = {
            "after": after,
            "shows": shown_digest(picture, root),
            "files": {file: digest_of(root / file) for file in picture.files},
        }
    names = {picture.name for picture in MADE_BY_SCRIPT}
    text = json.dumps({name: kept[name] for name in sorted(names & kept.keys())}, indent=2)
    made.write_text(text + "\n", "utf-8")


def faults(
    pictures: tuple[Picture, ...] = MADE_BY_SCRIPT, root: Path = ROOT, made: Path = MADE
) -> list[str]:
    """Return what is wrong with pictures made by script, in sentences; none if all is well."""
    kept = json.loads(made.read_text("utf-8"))
    named = releases(root)
    found = []
    for picture in pictures:
        was = kept.get(picture.name)
        if was is None:
            found.append(f"{picture.name} was never made: make pictures")
            continue
        found += [
            f"{file} is not what the script wrote: make pictures"
            for file in picture.files
            if not (root / file).is_file() or was["files"].get(file) != digest_of(root / file)
        ]
        newer = named.index(was["after"]) if was["after"] in named else len(named)
        if newer > 1 and was["shows"] != shown_digest(picture, root):
            found.append(f"{picture.name} is {newer} releases older than it shows: make pictures")
    return found


def uses(root: Path = ROOT) -> Iterator[tuple[str, str, str | None]]:
    """Yield page, picture (both from *root*) and alt text, None where the place has none of its own."""
    pages = [root / "README.md", root / "CONTRIBUTING.md", root / "docs/conf.py"]
    pages += [path for path in root.glob("docs/**/*.md") if "_build" not in path.parts]
    pages += [*root.glob("docs/*/*.ipynb"), *root.glob("notebooks/**/*.ipynb")]
    pages += [*root.glob("notebooks/**/*.md")]
    for page in pages:
        text = page.read_text("utf-8")
        if page.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(one["source"]) for one in cells if one["cell_type"] != "code")
        for form in (*_USES, *_OTHERS):
            for use in form.finditer(text):
                path = unquote(use["path"])
                if ":" not in path and Path(path).suffix in ENDINGS:
                    target = (page.parent / path).resolve()
                    yield (
                        page.relative_to(root).as_posix(),
                        target.relative_to(root).as_posix(),
                        use.groupdict().get("alt"),
                    )


def known(root: Path = ROOT) -> set[str]:
    """Return all pictures the table knows, from *root*."""
    by_others = {
        path.relative_to(root).as_posix()
        for pattern in (*BY_HAND, *MEASURED)
        for path in root.glob(pattern)
    }
    return by_others | {file for picture in MADE_BY_SCRIPT for file in picture.files}
