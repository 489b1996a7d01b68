"""How Sphinx builds the site from these pages (``make docs``)."""

from __future__ import annotations

project = "Skillwarden"
author = "the Skillwarden authors"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
source_suffix = {".md": "markdown"}
root_doc = "index"
# The table of contents that GitHub shows; the site's is index.md.
exclude_patterns = ["README.md"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Governs, scans and sandboxes the skills of AI agents",
    "page_width": "1200px",
    "sidebar_width": "260px",
}
html_show_sourcelink = False
# Headings are linked to by the names that GitHub gives them; the reference has one for each object.
myst_heading_anchors = 4
# GitHub draws such blocks by their language, Sphinx by a directive of that name.
myst_fence_as_directive = ["mermaid"]
nitpicky = True
