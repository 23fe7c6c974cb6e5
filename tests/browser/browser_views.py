"""Every view of the front end: how it is brought up, and what is looked for in each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from browser_stage import AXE
from playwright.sync_api import Page

SOURCES = Path(__file__).parents[2] / "labextension/src"

SECTIONS = frozenset(
    ("chat", "memory", "context", "tools", "archive", "messages", "runs", "timeline", "debugger")
)
"""The panel's own sections. One more belongs into this list, and the walk has to show something in it."""

LOCALE = "fr"
_TEXT = r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`$]*`)\s*(?:,|\))"""
_CALL = re.compile(rf"\b__\({_TEXT}")
_PLURAL = re.compile(rf"\b_n\({_TEXT}{_TEXT}", re.DOTALL)


def _literal(source: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), source[1:-1])


def language_pack(folder: Path) -> Path:
    """Write a language pack as JupyterLab reads them, whose texts stand in ⟦ ⟧; return its folder."""
    texts: dict[str, Any] = {
        "": {
            "domain": "letta_kernel",
            "language": LOCALE,
            "plural_forms": "nplurals=2; plural=(n != 1);",
        }
    }
    for path in sorted(SOURCES.rglob("*.ts*")):
        source = path.read_text()
        texts |= {text: [f"⟦{text}⟧"] for text in map(_literal, _CALL.findall(source))}
        for one, many in _PLURAL.findall(source):
            texts[_literal(one)] = [f"⟦{_literal(one)}⟧", f"⟦{_literal(many)}⟧"]
    messages = folder / "letta_pseudo/locale" / LOCALE / "LC_MESSAGES"
    messages.mkdir(parents=True)
    (folder / "letta_pseudo/__init__.py").write_text("")
    (messages / "letta_kernel.json").write_text(json.dumps(texts))
    made = folder / "letta_pseudo-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: letta-pseudo\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(f"[jupyterlab.languagepack]\n{LOCALE} = letta_pseudo\n")
    return folder


_UNMARKED = r"""([roots, data]) => {
    const known = new Set(data.match(/[\p{L}\p{N}_]+/gu));
    const plain = text => {
        let rest = text, before;
        do { before = rest; rest = rest.replace(/⟦[^⟦⟧]*⟧/g, ' '); } while (rest !== before);
        return (rest.match(/[\p{L}_]{2,}/gu) ?? []).some(word => !known.has(word)) ? rest.trim() : '';
    };
    const own = node => node.closest(
        '[dir=auto], [dir=ltr], pre, code, time, textarea, ' +
            '.lk-Told, .lk-Call-arguments, .lk-Notice, .lk-SavedPanel-html'
    );
    const found = new Set();
    for (const root of document.querySelectorAll(roots)) {
        const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const holder = node.parentElement;
            if (holder.checkVisibility() && !own(holder) && plain(node.data)) {
                found.add(`${holder.className || holder.tagName}: ${plain(node.data)}`);
            }
        }
        for (const node of root.querySelectorAll('*')) {
            for (const name of ['aria-label', 'title', 'placeholder', 'alt', 'aria-valuetext']) {
                const text = node.getAttribute(name);
                if (text && !node.closest('.lk-Told, .lk-SavedPanel-html') && plain(text)) {
                    found.add(`${node.className || node.tagName} ${name}: ${plain(text)}`);
                }
            }
        }
    }
    return [...found];
}"""


def unmarked(page: Page, roots: str, data: str) -> list[str]:
    """Texts below *roots* that no translator has seen; words of *data* are people's and agents'."""
    found: list[str] = page.evaluate(_UNMARKED, [roots, data])
    return found


_WIDE = r"""roots => {
    // What WCAG 1.4.10 lets scroll: code, tables, figures; each in a box of its own.
    const allowed = 'pre, table, .lk-Diff, .lk-Text, .lk-Call-display, math, textarea, input, select';
    const found = [];
    for (const root of document.querySelectorAll(roots)) {
        if (!root.checkVisibility() || root.parentElement?.closest(roots)) {
            continue;
        }
        const edge = root.getBoundingClientRect();
        if (edge.width && (edge.left < -1 || edge.right > innerWidth + 1)) {
            found.push(`${root.className} stands from ${edge.left} to ${edge.right} of ${innerWidth}`);
        }
        for (const node of [root, ...root.querySelectorAll('*')]) {
            if (!node.checkVisibility() || node.closest(allowed) || node.closest('svg, .lk-spoken')) {
                continue;
            }
            const box = node.getBoundingClientRect();
            if (box.width && (box.right > edge.right + 2 || box.left < edge.left - 2)) {
                const text = node.textContent.slice(0, 60);
                found.push(`${node.className || node.tagName} sticks out of ${root.className}: ${text}`);
            }
        }
    }
    return found;
}"""


def too_wide(page: Page, roots: str) -> list[str]:
    """What below *roots* is cut off or scrolls sideways."""
    found: list[str] = page.evaluate(_WIDE, roots)
    return found


def axe(page: Page, roots: Iterable[str]) -> list[str]:
    """What axe-core finds in those of *roots* that are there, with the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found = page.evaluate(
        """async roots => {
            // Menus are Lumino's, with what it makes of a line between items.
            const ours = root => document.querySelector(root)?.closest('.lm-Menu') === null;
            const include = roots.filter(ours).map(root => [root]);
            if (!include.length) {
                return []; // without it axe would look at the whole page
            }
            const { violations } = await axe.run({ include }, { resultTypes: ['violations'] });
            return violations.flatMap(({ id, impact, nodes }) =>
                nodes.map(node => `${id} (${impact}): ${node.html} ${node.failureSummary}`));
        }""",
        list(roots),
    )
    return list(found)


_NOT_MIRRORED = r"""roots => {
    // A line, a shift or an order that stays at the left where all else has changed sides.
    const found = [];
    for (const root of document.querySelectorAll(roots)) {
        for (const node of [root, ...root.querySelectorAll('*')]) {
            if (!node.checkVisibility() || !/^lk-| lk-/.test(node.className)) {
                continue;
            }
            const look = getComputedStyle(node);
            if (node.closest('.lk-SavedPanel-html')) {
                continue; // the kernel's, which knows no page
            }
            if (look.direction === 'rtl') {
                const wide = side => parseFloat(look[`border${side}Width`]);
                if (wide('Left') >= 2 && wide('Right') === 0) {
                    found.push(`${node.className}: its line is at the left`);
                }
                if ((look.textAlign === 'left' && node.textContent) || look.float === 'right') {
                    found.push(`${node.className}: ${look.textAlign} ${look.float}`);
                }
            } else if (!node.closest('[dir], pre, code, .cm-editor, .lk-Told, .lk-SavedPanel-html')) {
                found.push(`${node.className}: runs from left to right`);
            }
        }
    }
    return [...new Set(found)];
}"""


def not_mirrored(page: Page, roots: str) -> list[str]:
    """What below *roots* keeps its side in a page from right to left."""
    found: list[str] = page.evaluate(_NOT_MIRRORED, roots)
    return found
