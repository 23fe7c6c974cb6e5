"""What is shown of memory blocks: their text, how full they are, and what their versions changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from letta_kernel.display import style, words
from letta_kernel.display.clean import clean_text, esc, one_line
from letta_kernel.display.diff import diff_lines
from letta_kernel.display.html import diff_html
from letta_kernel.display.style import el, fold, lines, small, step_link
from letta_kernel.display.tables import Panel, stack, table, when
from letta_kernel.records import Block, BlockStanding, BlockVersion

SHOWN = 20_000
"""Characters of one text that are shown."""


def memory_panel(
    blocks: Sequence[Block],
    tokens: Mapping[str, int] | None = None,
    standing: Mapping[str, BlockStanding] | None = None,
) -> Panel:
    """Return memory blocks with their fill bars.

    Parameters
    ----------
    tokens : how many each label's text takes.
    standing : by a block's id, who else has it and who wrote it last.
    """
    if not blocks:
        return table([], [], empty="No memory blocks.")
    known, about = tokens or {}, standing or {}
    return stack(
        *(block_panel(b, tokens=known.get(b.label), standing=about.get(b.id)) for b in blocks)
    )


def block_panel(
    block: Block,
    versions: Sequence[BlockVersion] = (),
    *,
    tokens: int | None = None,
    standing: BlockStanding | None = None,
) -> Panel:
    """Return one block: label, fill bar, who has it, value, and the diffs of *versions* (oldest first)."""
    share = min(len(block.value) / max(block.limit, 1), 1.0)
    colour = style.RED if share > 1 else style.AMBER if share > words.NEARLY_FULL else style.VIOLET
    label, description = one_line(block.label, 80), one_line(block.description, 300)
    parts = [f"{len(block.value):,} of {block.limit:,} characters"]
    parts += [words.count(tokens, "token")] if tokens is not None else []
    parts += [f"v{block.version}"] + ["read only"] * block.read_only
    parts += [f"tags: {one_line(', '.join(block.tags), 120)}"] if block.tags else []
    if standing is not None and standing.others:
        parts += [f"shared with {one_line(', '.join(standing.others), 200)}"]
        parts += [f"last written by {one_line(standing.written, 120)}"]
    figures = " · ".join(parts)
    html = [
        el("div", el("b", esc(label)), " ", small(esc(figures))),
        el("div", small(esc(description))) if description else "",
        style.bar([(share, colour, figures)]),
        el("blockquote", lines(block.value, SHOWN) or small("empty")),
        _versions_html(versions),
    ]
    filled = round(share * 20)
    text = [f"{label}  [{'█' * filled}{'·' * (20 - filled)}]  {figures}"]
    value = clean_text(block.value, SHOWN) or "(empty)"
    text += [f"  {line}" for line in value.split("\n")]
    text += [f"  v{version.version} {_who(version)}" for version in versions]
    return Panel(el("div", *html), "\n".join(text))


def versions_panel(
    label: str, versions: Sequence[BlockVersion], before: BlockVersion | None = None
) -> Panel:
    """Return what each of *versions* (oldest first) changed, the first one against *before*."""
    html, text = [], [f"Versions of {one_line(label, 80)}"]
    value = before.value if before else ""
    for version in versions:
        since = f" since v{before.version}" if before and version is versions[0] else ""
        head = f"v{version.version}{since}"
        html.append(_version_html(head, version, value))
        text.append(f"{head}  {_who(version)}".rstrip())
        text += [f"  {one.sign} {clean_text(one.text)}" for one in diff_lines(value, version.value)]
        value = version.value
    return Panel("".join(html), "\n".join(text))


def _version_html(head: str, version: BlockVersion, before: str) -> str:
    title = el("b", esc(head)) + f" {esc(_who(version))}"
    if version.step_id:
        title += f" · {step_link(version.step_id)}"
    return el("div", small(title)) + diff_html(before, version.value)


def _who(version: BlockVersion) -> str:
    parts = (when(version.created_at), version.actor, version.reason)
    return " · ".join(one_line(part, 120) for part in parts if part)


def _versions_html(versions: Sequence[BlockVersion]) -> str:
    if not versions:
        return ""
    before = ["", *(version.value for version in versions)]
    parts = [_version_html(f"v{v.version}", v, b) for v, b in zip(versions, before, strict=False)]
    return fold(small(words.count(len(versions), "version")), *reversed(parts))
