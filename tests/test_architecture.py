"""Imports point one way, as rnnexp/README.md says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "rnnexp"
COMMANDS = ("tasks.__main__", "tracking.__main__")

#: The house from its foundation to its roof: a unit may import, when it is loaded, those of earlier rows only.
FLOORS = [
    {"checks", "settings", "interrupts", "collector", "json_lines", "output"},
    {"npz", "arguments"},
    {"tasks", "layers"},
    {"gradients"},
    {"training"},
    {"experiment"},
    {"config"},
    {"build", "hydra_errors"},
    {"sweeps"},
    {"resume"},
    {"tracking"},
    {"report"},
    {"plot", "study"},
    {"__main__", *COMMANDS},
]
FLOOR = {unit: floor for floor, units in enumerate(FLOORS) for unit in sorted(units)}
#: These import nothing above themselves, not even inside a function.
NOTEBOOK_ROOMS = {unit for units in FLOORS[: FLOOR["experiment"] + 1] for unit in units}
#: Who may import what, inside a function or not.
OUTSIDE = {
    "hydra": {"__main__", "config", "build", "hydra_errors", "sweeps", "tasks.__main__"},
    "omegaconf": {"__main__", "config", "build", "hydra_errors", "sweeps", "tasks.__main__"},
    "mlflow": {"tracking", "report"},
    "matplotlib": {"tracking", "plot", "study"},
}


def unit_of(module):
    """The room or module of `rnnexp` that a dotted name belongs to; the package itself has none."""
    parts = module.split(".")[1:]
    if ".".join(parts) in COMMANDS:
        return ".".join(parts)
    return parts[0] if parts else None


def imports(tree, module):
    """(imported module, whether at load time) of a file; those for type checkers alone are left out."""

    def visit(node, loading):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, loading) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module} has a relative import"
                submodules = child.module == "rnnexp"
                yield from ((f"rnnexp.{a.name}" if submodules else child.module, loading) for a in child.names)
            else:
                yield from visit(child, loading and not isinstance(child, ast.FunctionDef | ast.Lambda))

    return list(visit(tree, True))


def all_imports():
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(["rnnexp", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for imported, loading in imports(tree, module):
            yield module, imported, loading


FOUND = list(all_imports())


def test_the_reading_of_imports_sees_what_there_is():
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nimport rnnexp.b.c\n"
        "class K:\n    import d\ndef f():\n    from rnnexp import e\n    if x:\n        import g\n"
    )
    found = imports(tree, "rnnexp.x")
    assert found == [
        ("typing", True),
        ("rnnexp.b.c", True),
        ("d", True),
        ("rnnexp.e", False),
        ("g", False),
    ]
    assert ("rnnexp.tracking.recorder", "rnnexp.experiment", True) in FOUND


def test_every_room_has_its_floor():
    units = {unit_of(module) for module, _, _ in FOUND} - {None}
    there = {path.stem if path.is_file() else path.name for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    assert units <= set(FLOOR), "give a new room its floor here and in rnnexp/README.md"
    assert {unit.partition(".")[0] for unit in FLOOR} <= there


@pytest.mark.parametrize("unit", FLOOR)
def test_what_is_imported_when_loaded_lies_below(unit):
    for module, imported, loading in FOUND:
        other = unit_of(imported) if imported.split(".")[0] == "rnnexp" else None
        if unit_of(module) == unit and loading and other not in (None, "__version__", unit):
            assert FLOOR[other] < FLOOR[unit], f"{module} imports {imported}"


@pytest.mark.parametrize("unit", sorted(NOTEBOOK_ROOMS))
def test_a_notebooks_rooms_import_nothing_above_them_at_any_time(unit):
    for module, imported, _ in FOUND:
        other = unit_of(imported) if imported.split(".")[0] == "rnnexp" else None
        if unit_of(module) == unit and other not in (None, unit):
            assert FLOOR[other] < FLOOR[unit], f"{module} imports {imported}"


@pytest.mark.parametrize("package", OUTSIDE)
def test_big_packages_stay_in_their_rooms(package):
    users = {unit_of(module) for module, imported, _ in FOUND if imported.split(".")[0] == package}
    assert users
    assert users <= OUTSIDE[package]


def test_the_page_on_the_rooms_names_every_one_and_every_file_it_names_is_there():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for unit in FLOOR:
        assert f"`{unit}`" in page or unit in COMMANDS, f"rnnexp/README.md has nothing on {unit}"
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|yaml|ipynb))`", page):
        assert (ROOT.parent / name).exists() or (ROOT / name).exists(), name
    picture = (ROOT / "house.svg").read_text(encoding="utf-8")
    for room in ("sweeps/", "tracking/", "experiment", "training/", "gradients/", "tasks/", "layers/"):
        assert f">{room}</text>" in picture
