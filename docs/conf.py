"""Sphinx settings; the docs are built with warnings as errors (``make docs``)."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tables import write_tables

import hessdens

shutil.rmtree(Path(__file__).resolve().parent / "reference" / "names", ignore_errors=True)  # made anew
write_tables()

project = "hessdens"
author = "The hessdens developers"
copyright = "2026, the hessdens developers"  # noqa: A001
release = version = hessdens.__version__

extensions = [
    "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode",
    "sphinx_copybutton", "sphinx_design", "formulas", "links",
]  # fmt: skip
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"hessdens {release}"
html_static_path = ["static"]
html_search_scorer = str(Path(__file__).resolve().parent / "static" / "scorer.js")
html_css_files = ["pages.css"]
html_theme_options = {
    "source_repository": "https://github.com/hessdens/hessdens",
    "source_branch": "main",
    "source_directory": "docs/",
}
templates_path = ["templates"]
exclude_patterns = ["_build", "_generated"]

default_role = "name"  # a name in single backquotes, as in docstrings, is a link to its page
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
maximum_signature_line_length = 80
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
nitpicky = False
suppress_warnings = ["myst.header"]  # what pages include begins where its own headings do
