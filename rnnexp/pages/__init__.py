"""Self-contained HTML pages: Python gives the values, ``templates`` holds the markup and the styles."""

import base64
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


#: Pictures that browsers show, the best one first.
PICTURES = {".png": "image/png", ".svg": "image/svg+xml", ".webp": "image/webp", ".jpg": "image/jpeg"}


def browser_file(files: Sequence[Path]) -> Path:
    """Of one figure's files the one that a page shows; of those that no browser shows the first, which it names."""
    return next((file for kind in PICTURES for file in files if file.suffix == kind), files[0])


def data_uri(path: Path) -> str:
    """A picture as a data URI; empty if no browser shows such a file."""
    kind = PICTURES.get(path.suffix)
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}" if kind else ""


def significant(value: float) -> str:
    """A measured number with three significant digits; a whole one, such as a count, as it is."""
    if not math.isfinite(value):
        return ""
    whole = float(value).is_integer() and abs(value) < 10**10
    return str(int(value)) if whole else f"{value:#.3g}".rstrip(".")


@cache
def _environment() -> "Environment":
    # Imported late: needed only at the end of a run or a comparison.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("rnnexp.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"data_uri": data_uri, "significant": significant}
    return environment


def render(template: str, /, **values: Any) -> str:
    """A page from a file in ``templates``; all values are escaped, and a missing one is a `jinja2.UndefinedError`.

    Every page needs `title`, `sentences` and `figures`, pairs of a picture's path and its caption.
    """
    return _environment().get_template(template).render(values)
