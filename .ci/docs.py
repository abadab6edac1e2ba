"""Build the API reference: python -W error .ci/docs.py build/docs. A warning is an error, and so is a dead image."""

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pdoc
import pdoc.doc
import pdoc.docstrings
import pdoc.extract
import pdoc.render

PACKAGE = "rnnexp"
#: Left out: a function of that name is documented.
COMMAND = r"!rnnexp\.evaluate"
#: What NumPy's aliases stand for fills half a page; their names say the same.
ALIASES = {"ArrayLike": npt.ArrayLike, "DTypeLike": npt.DTypeLike}
ARRAY = re.compile(r"numpy\.ndarray\[tuple\[(?:typing\.)?Any, \.\.\.\], numpy\.dtype\[(?:numpy\.|typing\.)?(\w+)\]\]")


def short(format_annotation: Callable[..., str]) -> Callable[..., str]:
    """Write NumPy's types by their names."""
    whole = {format_annotation(kind): name for name, kind in ALIASES.items()}
    whole |= {format_annotation(kind | None): f"{name} | None" for name, kind in ALIASES.items()}

    def formatted(annotation: Any, *args: Any, **options: Any) -> str:
        text = format_annotation(annotation, *args, **options)
        for long, name in whole.items():
            text = text.replace(long, name)
        text = text.replace("numpy.random._generator.Generator", "Generator")
        return ARRAY.sub(lambda found: "NDArray" if found[1] == "Any" else f"NDArray[{found[1]}]", text)

    return formatted


def plain(convert: Callable[[str], str]) -> Callable[[str], str]:
    """Mend what pdoc leaves as it is: `::` before a drawing, variants by name, parameters without a description."""

    def converted(text: str) -> str:
        text = re.sub(r"(?m)^\s*::$\n?", "", text)
        text = re.sub(r"(?m)(?<=[^:\s])::$", ":", text)
        text = re.sub(r"(?m)^(?=``\w+``: )", "- ", text)
        text = re.sub(r"(?m)^( - \*\*.+\*\* \(.+\)):\n\s*$", r"\1", convert(text))
        return text.replace("\n###### ", "\n\n###### ")

    return converted


def hide_bare_attributes(module: pdoc.doc.Module) -> None:
    """Leave out what a constructor sets without a word or a type: the class' own docstring has what matters."""
    for member in module.members.values():
        if isinstance(member, pdoc.doc.Class):
            for attribute in member.members.values():
                if isinstance(attribute, pdoc.doc.Variable) and not (attribute.docstring or attribute.annotation_str):
                    attribute.docstring = "@private"


def build(folder: Path) -> list[Path]:
    """Write the pages; all of them."""
    inspect.formatannotation = pdoc.doc.formatannotation = short(inspect.formatannotation)  # type: ignore[attr-defined]
    pdoc.docstrings.numpy = plain(pdoc.docstrings.numpy)
    pdoc.render.configure(docformat="numpy", show_source=True)
    package = importlib.import_module(PACKAGE)
    for name in package.__all__:  # names that were not looked up yet would be taken for modules of the same name
        getattr(package, name)
    for name in pdoc.extract.walk_specs([PACKAGE, COMMAND]):
        hide_bare_attributes(pdoc.doc.Module.from_name(name))
    pdoc.pdoc(PACKAGE, COMMAND, output_directory=folder)
    return sorted(folder.rglob("*.html"))


def main() -> None:
    """Build, and look at what came out."""
    folder = Path(sys.argv[1])
    pages = build(folder)
    front = (folder / f"{PACKAGE}.html").read_text(encoding="utf-8")
    if "data:image/svg+xml" not in front or "What happens in a run" not in front:
        sys.exit("the front page has lost the architecture page or its picture")
    for page in pages:
        if re.search(r"numpy\._typing|(?m:^::$)|<p>::</p>", page.read_text(encoding="utf-8")):
            sys.exit(f"{page} shows markup or a type that nobody can read")
    print(f"{len(pages)} pages; the first is {folder / 'index.html'}")


if __name__ == "__main__":
    main()
