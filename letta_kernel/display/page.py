"""One HTML page that needs no other: no script, nothing from outside, for light, dark and paper."""

from __future__ import annotations

from letta_kernel.display.clean import attribute, esc

_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 60em; margin: 2em auto; padding: 0 1.2em; font: 16px/1.55 system-ui, sans-serif; }
h1, h2 { line-height: 1.25; }
h2 { margin-top: 2em; padding-bottom: .2em; border-bottom: 1px solid rgba(127,127,127,.4); }
section.run { margin: 1.4em 0; padding: .2em 0 .2em 1em; border-left: 3px solid rgba(127,127,127,.35); }
blockquote { margin: .5em 0; padding: .1em 1em; border-left: 3px solid rgba(127,127,127,.35); }
pre { overflow-x: auto; white-space: pre-wrap; padding: .6em; background: rgba(127,127,127,.12); }
table { border-collapse: collapse; }
th, td { padding: .25em .7em; border-bottom: 1px solid rgba(127,127,127,.3); vertical-align: top; }
dt { font-weight: 600; }
svg { max-width: 100%; height: auto; }
svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
summary { cursor: pointer; }
.asked { white-space: pre-wrap; overflow-wrap: anywhere; }
@media print {
  body { max-width: none; margin: 0; font-size: 11pt; }
  section.run, tr, svg { break-inside: avoid-page; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
}
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, inside: str, generator: str = "") -> str:
    """Return a page; *inside* is HTML already, *generator* is what it is known again by."""
    known = f'<meta name="generator" content="{attribute(generator)}">\n' if generator else ""
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{known}<title>{esc(title)}</title>\n<style>{_STYLE}</style>"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n{inside}</body>\n</html>\n"
    )
