"""HTML pages that stand on their own: Python gives the values, ``templates`` holds the markup and the styles."""

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def data_uri(path: Path) -> str:
    """A PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


@cache
def _environment() -> "Environment":
    # Imported late: only a run or a comparison that has come to its end needs it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("rnnexp.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment


def render(template: str, /, **values: Any) -> str:
    """A page from one of the templates; whatever the values hold is shown as text.

    Parameters
    ----------
    template : str
        File name in ``templates``.
    **values
        `title`, `sentences` and `figures`, pairs of a PNG's path and its caption, for every page; what else the
        template names.

    Raises
    ------
    jinja2.UndefinedError
        If a value that the template names is missing.
    """
    return _environment().get_template(template).render(values)
