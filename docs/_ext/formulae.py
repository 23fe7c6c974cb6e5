"""Formulae as MathML, which browsers draw and screen readers speak: no script and no font is fetched."""

from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Join the build."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: nodes.NodeVisitor, node: nodes.math) -> None:
    _write(writer, node, "inline")


def _block(writer: nodes.NodeVisitor, node: nodes.math_block) -> None:
    _write(writer, node, "block")


def _write(writer: nodes.NodeVisitor, node: nodes.Element, display: str) -> None:
    text = node.astext()
    try:
        drawn = convert(text, display=display)
    except Exception as error:  # the library has a class for each kind of mistake
        _log.warning("%s cannot be drawn: %s", text, error, location=node)
        drawn = ""
    writer.body.append(f'<p class="formula">{drawn}</p>' if display == "block" else drawn)  # type: ignore[attr-defined]
    raise nodes.SkipNode
