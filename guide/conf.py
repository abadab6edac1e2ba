"""The guide and the API reference as one site: ``make docs``. Pages are Markdown that GitHub shows as well."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy.typing as npt
from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import stringify_annotation

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import rnnexp  # noqa: E402

logger = logging.getLogger(__name__)

#: NumPy's aliases, by what signatures show in their place.
ALIASES = {
    stringify_annotation(kind, mode, short_literals=True): alias
    for mode in ("smart", "fully-qualified-except-typing")
    for alias, kind in (("ArrayLike", npt.ArrayLike), ("DTypeLike", npt.DTypeLike))
}
ARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?(?:numpy\.)?dtype\[~?(?:numpy\.|typing\.)?(\w+)\]\]"
)

project = "rnnexp"
release = version = rnnexp.__version__
language = "en"

# The source folder is the repository, so that a link from one page to another, or to a file, is the same on GitHub.
root_doc = "guide/index"
include_patterns = ["guide/**.md", "experiments/README.md", "experiments/*/README.md", "rnnexp/README.md"]
include_patterns += ["CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [".*", "build", "conf", "dist", "hydra_plugins", "tests", "outputs", "multirun"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "rnnexp"
html_extra_path = ["front"]  # the first page of the folder
html_static_path = ["static"]
html_css_files = ["guide.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # an attribute of a docstring is no second entry beside the property
default_role = "py:obj"  # a name in single backticks is a link where there is such a page, code elsewhere
suppress_warnings = ["ref.python"]  # where several have that name
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88


def draw_math(page: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw without a script or a network."""
    try:
        formula = tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
        page.body.append(
            re.sub(r"(<mo>&ApplyFunction;</mo>)(?!\s*<mo[^>]*>\()", r'\1<mspace width="0.17em"></mspace>', formula)
        )
    except MathError as error:
        logger.warning("%s: %s", node.astext(), error, location=node)
    raise nodes.SkipNode


def plain_signs(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let |x| and a * b be read as formulas in docstrings, which are not written for Sphinx alone."""
    literal = False
    for number, line in enumerate(lines):
        if literal and line.strip() and not line.startswith(" "):
            literal = False
        if not literal:
            parts = re.split(r"(``.*?``|`.*?`)", line)
            parts[::2] = [re.sub(r"(?<!\\)([|]|(?<!\*)\*(?!\*)|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
            lines[number] = "".join(parts)
        literal = literal or line.rstrip().endswith("::")


def short_types(app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str, returned: str) -> Any:
    """Write NumPy's types by their names: what its aliases stand for fills half a page."""

    def short(text: str | None) -> str | None:
        for long, alias in ALIASES.items():
            text = text and text.replace(long, alias)
        return text and ARRAY.sub(lambda found: f"NDArray[{found[1]}]" if found[1] != "Any" else "NDArray", text)

    return short(signature), short(returned)


def page_language(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Mark the pages in Korean as such, for browsers and screen readers."""
    if pagename.startswith("guide/ko/"):
        context["language"] = "ko"


def setup(app: Sphinx) -> None:
    """Register the formulas, and look up the names that ``rnnexp`` looks up late."""
    app.add_html_math_renderer("mathml", (draw_math, None), (draw_math, None))
    app.connect("autodoc-process-docstring", plain_signs, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", short_types)
    app.connect("html-page-context", page_language)
    for name in rnnexp.__all__:
        getattr(rnnexp, name)
    importlib.import_module("rnnexp.evaluate")
