"""Sphinx settings; ``tox -e docs`` builds with warnings as errors."""

import monta_auth

project = "monta-auth"
author = "monta-auth contributors"
copyright = "2026, monta-auth contributors"  # noqa: A001 - Sphinx wants this name
version = release = monta_auth.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx"]
html_theme = "furo"
html_title = f"monta-auth {version}"
nitpicky = True
# Names of other libraries; their inventories are not fetched, so that a build needs no network.
nitpick_ignore_regex = [("py:.*", r"(requests|httpx|httpx2|aiohttp|starlette|Auth|AuthBase).*")]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
default_role = "any"
exclude_patterns = ["_build"]
