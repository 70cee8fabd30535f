"""Configuration of Sphinx; the pages build without a network."""

from importlib.metadata import version as installed_version

project = "catalog-service"
copyright = "2026, the catalog-service developers"  # noqa: A001
author = "the catalog-service developers"
version = release = installed_version("catalog-service")

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "figures/*.py", "tables.py"]
default_role = "py:obj"
"""Names in docstrings become links where the reference describes them."""

nb_execution_mode = "off"
"""Notebooks are executed by the tests, against a running service."""
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "catalog-service"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
