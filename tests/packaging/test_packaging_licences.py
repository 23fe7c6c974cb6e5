"""What comes along when letta-kernel is installed may be used and passed on as freely as itself."""

from __future__ import annotations

import re
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PERMISSIVE = re.compile(
    r"MIT|0?BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|CC0|CNRI-Python"
    r"|MPL.2\.0|Mozilla Public License 2\.0",  # of a file: nothing is asked of what uses it
)
NOT_PERMISSIVE = re.compile(
    r"\b[AL]?GPL|General Public|SSPL|BUSL|Proprietary|Commercial", re.IGNORECASE
)


def comes_along(package: str) -> set[str]:
    """Return the packages that are installed with *package*, without any of its extras."""
    found: set[str] = set()
    todo = [(package, "")]
    done = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        found.add(name)
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(needed.name), one) for one in ("", *needed.extras)]
    return found - {package}


def licence(package: str) -> str:
    """Return all that a package says of its licence."""
    about = metadata.metadata(package)
    classifiers = [c for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    expression = about.get("License-Expression") or (about.get("License") or "")[:200]
    return " / ".join([expression, *classifiers])


def test_what_is_installed_has_permissive_licences() -> None:
    packages = comes_along("letta-kernel")
    assert {"ipykernel", "duckdb", "lancedb", "litellm"} <= packages
    assert "psycopg" not in packages  # LGPL: an extra, unmodified
    said = {name: licence(name) for name in sorted(packages)}
    others = {
        name: text
        for name, text in said.items()
        if NOT_PERMISSIVE.search(text) or not PERMISSIVE.search(text)
    }
    assert others == {}
