"""The field's words: what must not be written in source, YAML and Markdown, and what to write instead."""

import ast
import re
from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rnnexp"

SOURCE = sorted(
    [*PACKAGE.rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]
)
CONFIG = sorted((ROOT / "conf").rglob("*.yaml"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "rnnexp/README.md")),
    *(page for page in sorted((ROOT / "guide").rglob("*.md")) if "ko" not in page.parts),
    *sorted((ROOT / "experiments").glob("*/README.md")),
]
TEMPLATES = sorted(PACKAGE.rglob("*.html"))
ALL = [*SOURCE, *CONFIG, *PAGES, *TEMPLATES]

#: Pattern, what to use instead, where it is forbidden, and a phrase that the pattern has to find.
WORDS = [
    # The field's terms.
    (r"sequences side by side", "batch; sequences per batch", ALL, "Sequences side by side, >= 1."),
    (r"side by side", "stacked; in a batch; compared with", ALL, "networks side by side"),
    (r"input map", "embedding", ALL, "the learned input map"),
    (r"random recurrence", "fixed random recurrent network (reservoir)", ALL, "on top of a random recurrence"),
    (r"one table for input and output|tied tables?", "weight tying", ALL, "one table for input and output"),
    (r"learned start\b", "learned initial state", ALL, "and a learned start:"),
    (r"every combination", "grid search; all combinations", ALL, "goes through every combination"),
    (r"cut at random and make up for it", "unbiased random truncation", ALL, "ARTBP: cut at random and make up for it"),
    (r"how a gradient is had|\bto be had\b", "how the gradient is estimated", ALL, "How a gradient is had: by windows"),
    (r"a silence of", "a delay of", [*CONFIG, *PAGES], "ten symbols over a silence of 100 steps"),
    (r"throw-away program", "separate script", ALL, "numbers from a throw-away program"),
    # Idiom.
    (
        r"(?<!there )\bis no (array|file|gzip|number|network|class|error|setting|whole)\b",
        "is not",
        ALL,
        "x is no array",
    ),
    (r"without a word", "silently", ALL, "and ends without a word"),
    (r"\bwhat came\b", "name the thing", ALL, "What came, as a person knows it."),
    (r"\bgo(es)? on with\b", "continue(s) with; resume(s)", ALL, "a run to go on with"),
    (r"\bwhoever\b", "the caller; the user", ALL, "for whoever compares them"),
    (r"\bsays? so\b", "reports it; notes it; is set", ALL, "unless the environment says so"),
    (r"\banew\b", "again; from scratch", ALL, "weights were drawn anew"),
    (r"\b(may|can)(not)? hope for\b", "available", ALL, "Bytes that this process may hope for"),
    (r"\btold of\b", "notified of", ALL, "it is told of every run"),
    (r"\bthere is no key\b", "unknown key", ALL, "there is no key 'x'"),
    (r"\bwhich the other is not\b|\bthe one learns the other\b", "say which", ALL, "how the one learns the other"),
    (r"\b(it|they) may be null\b", "can be null", ALL, "it may be null"),
    (r"\ba person's own\b|\bof a person's\b", "the user's own", ALL, "a person's own config folder"),
    (r"\bcan mend\b|\bmend it\b", "can correct; correct it", ALL, "a mistake that a person can mend"),
    (r"\bhas got to\b", "position", ALL, "Where training has got to in its data."),
    (r"\bis meant\b(?! to)", "is intended; name the thing", ALL, "which stopped run is meant"),
    (r"\bby lot\b", "at random", ALL, "chosen among by lot"),
    (r"\bhanded? on\b|\bhands back\b", "transmits; passes back", ALL, "what step t hands back"),
    (r"that can be read\b(?=[,\"'])", "readable", ALL, '"a text file that can be read"'),
    (r"\ba piece of text\b", "a string", ALL, "must be a piece of text"),
    (r"\bcan't be read: unrecognized", "cannot parse", ALL, "can't be read: unrecognized arguments"),
    # Names.
    (r"\bStretch\b", "Segment", SOURCE, "class Stretch:"),
    (r"\bCursor\b", "DataIterator", SOURCE, "class Cursor:"),
    (r"\bAlike\b", "ParamGroup", SOURCE, "class Alike:"),
    (r"\bsteepest\b", "max_slope", SOURCE, "self.steepest = 1.0"),
    (r"\bcarry=", "step_weights=", SOURCE, "backward(dhs, carry=weights)"),
    (r"\bside_by_side\b", "stacked", SOURCE, "import side_by_side"),
]
#: Modules by what they hold; these names said how they were used.
MODULES = {"together", "whole", "grouping", "side_by_side", "common", "utils", "misc"}
#: The first page to read has the classes that the fast layers have.
TEXTBOOK = "layers/textbook.py"


def flattened(text):
    """A text on one line, without comment signs and indentation, and where in it each line begins."""
    lines = [re.sub(r"^\s*#?:?\s*", "", line) for line in text.splitlines()]
    return " ".join(lines), list(accumulate((len(line) + 1 for line in lines), initial=0))


def found(pattern, text, starts):
    """The numbers of the lines in which a phrase begins; a pattern with capitals is a name, and finds only that."""
    ignored = 0 if re.search(r"[A-Z]", pattern.replace(r"\S", "")) else re.IGNORECASE
    return [bisect_right(starts, match.start()) for match in re.finditer(pattern, text, ignored)]


TEXTS = {path: flattened(path.read_text(encoding="utf-8")) for path in ALL}


def definitions(kind):
    """Names of classes or functions of the package, at any depth, with the modules that define them."""
    names = defaultdict(set)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                names[node.name].add(str(path.relative_to(PACKAGE)))
    return names


@pytest.mark.parametrize(("pattern", "instead", "files", "bad"), WORDS, ids=[bad for *_, bad in WORDS])
def test_a_word_is_not_used(pattern, instead, files, bad):
    assert found(pattern, *flattened(bad)) == [1], "the pattern does not find its own example"
    places = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in found(pattern, *TEXTS[path])]
    assert not places, f"use instead: {instead}"


def test_a_phrase_is_found_across_the_lines_of_a_comment_and_in_capitals():
    assert found("side by side", *flattened("x = 1\n    # Networks side\n    # by side.\n#: Side by side\n")) == [2, 4]
    assert found(r"\bCursor\b", *flattened("a cursor\nCursor()")) == [2]
    assert found("side by side", *flattened("side\n\nby side")) == []


def test_the_files_are_there():
    assert min(len(SOURCE), len(CONFIG)) > 70
    assert len(PAGES) > 15


def test_no_module_has_a_name_of_old():
    names = {path.stem for path in PACKAGE.rglob("*.py")} | {path.name for path in PACKAGE.rglob("*") if path.is_dir()}
    assert len(names) > 60
    assert not names & MODULES


def test_no_function_has_the_name_of_a_module():
    """But for `rnnexp.evaluate`, which is also a command: no module imports the file that Python looks for."""
    modules = {path.stem for path in PACKAGE.rglob("*.py")} | {
        path.parent.name for path in PACKAGE.rglob("__init__.py")
    }
    clashes = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in modules:
                clashes[f"{path.relative_to(PACKAGE)}:{node.lineno}"] = node.name
    assert [*clashes.values()] == ["evaluate"]


def test_no_two_classes_share_a_name():
    classes = definitions(ast.ClassDef)
    assert classes["Network"] == {"layers/network.py"}
    shared = {name: files - {TEXTBOOK} for name, files in classes.items()}
    assert {name: files for name, files in shared.items() if len(files) > 1} == {}


def test_no_function_is_called_told():
    functions = definitions(ast.FunctionDef | ast.AsyncFunctionDef)
    assert len(functions) > 300
    assert "told" not in functions
