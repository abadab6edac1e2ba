"""Imports go down the staircase, as rnnexp/README.md says: at load time, inside functions, and for type checkers."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "rnnexp"

#: From the cellar up. A unit is a room or a module at the top of the package; it imports only units before it.
STAIRCASE = [
    *("version", "checks", "components", "json_lines", "npz", "process", "machine", "counting", "memory"),
    *("usual_names", "settings", "redaction", "arguments", "own_code", "state", "layers", "tasks", "gradients"),
    *("algorithms", "training", "analysis", "experiment", "build", "trained", "history", "plot", "records"),
    *("run_info", "pages", "tracking", "comparison", "report", "resume", "entering", "loading"),
    *("run", "sweeps", "command", "recipe", "__init__", "__main__", "evaluate", "sample"),
]
#: These load NumPy and nothing else from outside, but for readers of files, when they read.
NUMPY_ROOMS = STAIRCASE[: STAIRCASE.index("training") + 1]
READERS = {"pandas", "pyarrow", "safetensors", "sklearn"}
#: Who may import what, inside a function or not.
OUTSIDE = {
    "hydra": {"settings", "sweeps", "command"},
    "omegaconf": {"settings", "sweeps", "command"},
    "mlflow": {"tracking", "comparison", "report"},
    "matplotlib": {"plot", "comparison", "recipe"},
    "jinja2": {"pages"},
}
MOST_LINES = 350


def sources():
    """Module name and syntax tree of every file."""
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(["rnnexp", *path.relative_to(ROOT).with_suffix("").parts])
        yield name.removesuffix(".__init__"), path, ast.parse(path.read_text(encoding="utf-8"))


SOURCES = list(sources())
MODULES = {name for name, _, _ in SOURCES}


def unit_of(module):
    """The room or top module that a dotted name belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(node, module, is_package):
    """The modules that an import statement names, a module of a package rather than the package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, *([node.module] if node.module else [])])
    inside = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in MODULES else base for name in inside] or [base]


def imports(tree, module, is_package=False):
    """(imported module, relative) for every import statement, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported(node, module, is_package):
                yield name, bool(getattr(node, "level", 0))


FOUND = [
    (module, name, relative)
    for module, path, tree in SOURCES
    for name, relative in imports(tree, module, path.name == "__init__.py")
]
OWN = [(module, name, relative) for module, name, relative in FOUND if name.split(".")[0] == "rnnexp"]


def test_the_reading_of_imports_sees_all_of_them():
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nimport rnnexp.checks\n"
        "class K:\n    import d\ndef f():\n    from rnnexp import process\n    if x:\n        from ..checks import y\n"
        "        from .base import z\n"
    )
    found = dict(imports(tree, "rnnexp.layers.rnn"))
    assert set(found) == {"typing", "a", "rnnexp.checks", "d", "rnnexp.process", "rnnexp.layers.base"}
    assert ("rnnexp.command.check_first", "rnnexp.sweeps.lifecycle", False) in FOUND
    assert ("rnnexp.layers.rnn", "rnnexp.layers.base", True) in FOUND


def test_every_unit_has_its_step():
    there = {path.stem if path.is_file() else path.name for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    assert there - {"__pycache__"} == set(STAIRCASE), "give a new room its step here and in rnnexp/README.md"
    assert len(STAIRCASE) == len(set(STAIRCASE))


@pytest.mark.parametrize("unit", STAIRCASE)
def test_every_import_goes_down(unit):
    for module, name, _ in OWN:
        other = unit_of(name)
        if unit_of(module) == unit and other != unit:
            assert STAIRCASE.index(other) < STAIRCASE.index(unit), f"{module} imports {name}"


def test_no_module_reaches_itself():
    # An __init__ collects its room: what imports a name from the room's __init__ is not a part of it.
    graph = {module: {name for source, name, _ in OWN if source == module and name != module} for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_relative_imports_are_those_of_the_layers_and_of_a_models_code():
    """A recorded model ships these under another name."""
    others = {module for module, _, relative in FOUND if relative and unit_of(module) != "layers"}
    assert others == {"rnnexp.components", "rnnexp.tracking.model_code"}
    assert all(relative for module, _, relative in OWN if unit_of(module) == "layers")


def test_nothing_is_imported_by_a_name_that_this_test_cannot_read():
    """But for public names looked up when first used, a person's classes, the tasks' command, and scikit-learn."""
    allowed = {"rnnexp", "rnnexp.build", "rnnexp.tasks.__main__", "rnnexp.tasks.digits"}
    names = {"import_module", "__import__", "run_module", "run_path"}
    users = {
        module
        for module, _, tree in SOURCES
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in names) or (isinstance(node, ast.Attribute) and node.attr in names)
    }
    assert users <= allowed


@pytest.mark.parametrize("package", OUTSIDE)
def test_big_packages_stay_in_their_rooms(package):
    users = {unit_of(module) for module, name, _ in FOUND if name.split(".")[0] == package}
    assert users
    assert users <= OUTSIDE[package]


@pytest.mark.parametrize("unit", NUMPY_ROOMS)
def test_the_rooms_of_a_notebook_load_numpy_alone(unit):
    import sys

    for module, path, tree in SOURCES:
        if unit_of(module) != unit or path.name == "__main__.py":
            continue
        loaded = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {name.split(".")[0] for node in loaded for name in imported(node, module, False)}
        outside = names - set(sys.stdlib_module_names) - {"rnnexp"}
        assert outside <= {"numpy", *READERS, *(OUTSIDE.keys() if unit == "settings" else ())}, module


def test_files_stay_short():
    long = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path, _ in SOURCES}
    assert {module: lines for module, lines in long.items() if lines > MOST_LINES} == {}


def test_the_page_on_the_rooms_names_every_one_and_every_file_it_names_is_there():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for unit in set(STAIRCASE) - {"__init__", "version"}:
        assert f"`{unit}`" in page, f"rnnexp/README.md has nothing on {unit}"
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|yaml|ipynb))`", page):
        assert (ROOT.parent / name).exists() or (ROOT / name).exists(), name
    picture = (ROOT / "house.svg").read_text(encoding="utf-8")
    for room in ("sweeps/", "tracking/", "experiment", "training/", "gradients/", "tasks/", "layers/"):
        assert f">{room}</text>" in picture
