"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import letta_kernel

project = "letta-kernel"
author = "The letta-kernel authors"
version = release = letta_kernel.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "reference",
    "formulae",
]
exclude_patterns = ["_build", "deploy", "hub", "measured"]
html_theme = "pydata_sphinx_theme"
html_title = f"letta-kernel {release}"
html_logo = "pictures/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "use_edit_page_button": False,
    "show_prev_next": True,
    "navigation_with_keys": True,
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}

nitpicky = True
# Docstrings name what other packages define, and no other host is asked where that is told.
nitpick_ignore_regex = [("py:.*", ".*")]
napoleon_use_param = False  # a parameter's line says what it is, not its type: the signature does
napoleon_use_rtype = False
autodoc_typehints_format = "short"
# A run's own form, which the extension draws; the page takes its HTML.
suppress_warnings = ["mystnb.unknown_mime_type"]
nb_execution_mode = "off"  # `reference` takes what the tests have executed
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist", "dollarmath"]
myst_heading_anchors = 4
