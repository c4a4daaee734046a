"""Sphinx configuration; `sphinx-build -W docs docs/_build` must pass."""

project = "BlockZoo"
author = "The BlockZoo authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["deflist"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "BlockZoo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
