"""Mathematics of the live view: drawn by the browser, and nothing but mathematics."""

from __future__ import annotations

import pytest
from display_checks import check_html
from hostile_strings import HOSTILE

from letta_kernel.display.markdown import markdown_html
from letta_kernel.display.mathml import with_mathml


def test_tex_becomes_mathml() -> None:
    html = with_mathml(markdown_html(r"The mean $\bar{x} = \frac{1}{n}\sum_i x_i$ and $$a < b$$"))
    assert "<mfrac>" in html
    assert '<math display="block">' in html
    assert "\\(" not in html
    assert "&lt;" in html


@pytest.mark.parametrize(
    "tex", ["x^", "{" * 900, r"\foo", r"\left(", "a" * 1_900, r"\begin{matrix}"]
)
def test_bad_tex_stays_as_it_is_or_becomes_text(tex: str) -> None:
    html = with_mathml(markdown_html(f"${tex}$"))
    check_html(html, mathml=True)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_tex_brings_in_nothing_else(name: str) -> None:
    for around in ("${}$", "$$\\text{{{}}}$$", "$\\mathrm{{{}}}$"):
        check_html(with_mathml(markdown_html(around.format(HOSTILE[name][:1_500]))), mathml=True)
