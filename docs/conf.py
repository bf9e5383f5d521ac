"""The documentation site: `make docs` builds it. Pages that tell of the code are made from the code, by docs/making."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import xrollout_ros  # noqa: E402 -- found by the path above

project = "XRollout"
author = "XRollout contributors"
copyright = "XRollout contributors, Apache-2.0"  # noqa: A001 -- Sphinx names it so
version = release = xrollout_ros.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docs.making.pages"]
exclude_patterns = ["making", "**/__pycache__"]

myst_enable_extensions = ["deflist", "attrs_block"]
myst_heading_anchors = 4
# Of code without a language: output, trees of folders, the graph.
highlight_language = "none"
# A link to a page that is not there, or to a place in it, is an error of the build.
nitpicky = False
suppress_warnings: list[str] = []

# Where they are not installed the pages are the same, but for what is made of them.
autodoc_mock_imports = [name for name in ("rclpy", "torch") if importlib.util.find_spec(name) is None]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "XRollout"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#5fd0a5", "color-brand-content": "#5fd0a5"},
}
