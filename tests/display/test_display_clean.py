"""Rich results of tools: whatever markup goes in, what comes out is harmless, whole and of bounded work."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from display_checks import check_html

from letta_kernel.display import clean
from letta_kernel.display.clean import clean_html

# A little of each, to be repeated: what opens and never ends, what hides, what nests, what floods.
KINDS: dict[str, str] = {
    "nested": "<div><p><b><i>",
    "nested tables": "<table><tr><td>",
    "nested lists": "<ul><li>",
    "formatting never closed": "<b><i><u><s>x",
    "formatting closed elsewhere": "<b><i>x</b>y</i>",
    "blocks in formatting": "<b><div></b>",
    "links in links": '<a href="https://a.test/">x',
    "ends without beginnings": "</div></p></td></b>",
    "tags never ended": "<div <div ",
    "attributes never ended": '<b title="x ',
    "attributes": '<td colspan=2 onclick=x() style="color:red" data-x=1 colspan=3>',
    "comments": "<!-- x --><!--> <!--- <!-",
    "a comment never ended": "<!-- x ",
    "CDATA": "<![CDATA[ x ]]> <![CDATA[",
    "declarations": '<!DOCTYPE html><?xml version="1.0"?><?php x',
    "references": "&amp;&lt;&#60;&#x3c;&nosuch;&#xd800;&#0;",
    "references never ended": "&amp&#&#x&",
    "ampersands": "&",
    "blanks that do not break": "\xa0",
    "text between rows": "<table>x<b>y</b>",
    "attributes without end": "<b" + "".join(f" a{n}=x" for n in range(2_000)),
    "formatting of many kinds": "".join(f"<b class=a{n}>x" for n in range(90)) + "<p>x" * 900,
    "svg": "<svg><g><script>x</script><foreignObject><p>y</p></foreignObject></g>",
    "svg escaping": "<svg></p><style><a title='</style><img src=x onerror=alert(1)>'>",
    "math": "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style>",
    "math annotation": '<math><annotation-xml encoding="text/html"><script>x</script>',
    "templates": "<template><script>x</script></template><template>",
    "raw text": "<style><title><textarea><noscript><xmp><plaintext>",
    "selects": "<select><option><b>x<script>y</script>",
    "frames": '<iframe srcdoc="&lt;script&gt;x&lt;/script&gt;"></iframe><frameset>',
    "pictures": '<img src="data:image/png;base64,AAAA" alt="a>b"><img src=//a.test>',
    "styles": '<td style="text-align:RIGHT;background:url(//a.test)">1<td style=text-align:x>',
    "bytes": "<\x00b\x00>\x1b[31m&#27;[31m&#x202e;\ud800",
    "carriage returns": "<b>x&#13;</b>y\r",
    "text": "word ",
    "less-than": "<<< < <1 <_",
}


@pytest.mark.parametrize("kind", KINDS)
def test_markup_of_any_kind_comes_out_harmless_and_balanced(kind: str) -> None:
    for count in (1, 2, 30, 3_000):
        for around in ("{}", "<table><tr><td>{}</td></tr></table>", "<p>{}</p><b>after</b>"):
            cleaned = clean_html(around.replace("{}", KINDS[kind] * count))
            check_html(cleaned)
            assert len(cleaned) < 250_000


@pytest.mark.parametrize("kind", KINDS)
def test_ten_times_the_markup_is_about_ten_times_the_work(kind: str) -> None:
    def work(size: int) -> int:
        markup = (KINDS[kind] * (size // len(KINDS[kind]) + 1))[:size]
        return _calls(lambda: clean_html.__wrapped__(markup))

    assert work(200_000) < 30 * work(20_000) + 3_000


def _calls(what: Callable[[], object]) -> int:
    """Return how many functions are called, in Python and from it, and tokens read, while *what* runs."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        what()
    finally:
        sys.setprofile(None)
    return count


def test_what_a_table_says_of_its_columns_is_kept() -> None:
    markup = (
        '<table class="dataframe"><tr style="text-align: right;">\n <th>a</th>\n </tr>\n'
        '<tr><td STYLE="color:red; Text-Align: Center">1</td></tr></table>'
    )
    assert clean_html(markup) == (
        "<table><tbody><tr><th>a</th></tr>\n"
        '<tr><td style="text-align:center">1</td></tr></tbody></table>'
    )


def test_what_is_long_is_cut_between_characters_and_says_so() -> None:
    cut = clean_html("<ul>" + "<li>&amp;&lt;</li>" * 20_000, 1_000)
    assert check_html(cut).endswith("…")
    assert "&am<" not in cut
    assert len(cut) < 3_000
    deep = clean_html("<div>" * 500 + "deep" + "</div>" * 500)
    assert check_html(deep) == "deep"
    assert deep.count("<div>") == clean._DEEPEST
