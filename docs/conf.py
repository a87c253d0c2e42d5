"""How Sphinx builds the site: `make docs`. The pages are the Markdown files of this folder."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "site"))  # the extensions of this folder's own

from backbonekit.version import VERSION  # noqa: E402

project = "backbonekit"
copyright = "the authors of backbonekit"
release = version = VERSION

extensions = ["myst_parser", "sphinx.ext.autodoc", "markdown_docstrings", "present_pages", "verb_help"]
exclude_patterns = ["site/**"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links such as page.md#heading

autodoc_inherit_docstrings = False  # of Lightning and torch
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False

html_theme = "furo"
html_title = "backbonekit"
html_static_path = ["site/static"]
html_favicon = "site/static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
templates_path = ["site/templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}  # left and right arrow keys turn the pages
pygments_style = "friendly"
pygments_dark_style = "monokai"
