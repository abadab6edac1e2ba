"""The code of the user's own classes: what is compared before a run is skipped or resumed, and kept with it."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
#: Where a run's folder keeps the source.
FOLDER = "own_code"
#: Functions that import what their first argument names.
IMPORTERS = ("import_module", "__import__")
ABSENT = "absent"
#: Characters of a tag of MLflow's that are surely kept.
MOST_TAGGED = 4800


@dataclass(frozen=True)
class OwnCode:
    """The modules that the classes of a configuration are made of, without this package's and the standard library's.

    Attributes
    ----------
    parts : dict of str to str
        By file, a digest of its source; by installed distribution, its version.
    sources : dict of str to str
        The source itself by file, named after the module: ``mine.py``, ``pkg/__init__.py``.
    unreadable : tuple of str
        Modules without a source that can be read: whether they changed cannot be told.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    unreadable: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """All parts as text, or their digest where they are too many for a tag."""
        text = json.dumps(self.parts, sort_keys=True)
        return text if len(text) <= MOST_TAGGED else json.dumps({"": hashlib.sha256(text.encode()).hexdigest()[:16]})


def differences(before: str, now: str) -> list[str]:
    """The files and distributions that differ between two tags."""
    one, other = parts_of(before), parts_of(now)
    names = sorted(one.keys() | other.keys())
    return [_named(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def parts_of(tag: str) -> dict[str, str]:
    """The parts that `OwnCode.tag` names; none for a text that is not one."""
    try:
        parts = json.loads(tag or "{}")
    except ValueError:
        parts = None
    return {str(name): str(part) for name, part in parts.items()} if isinstance(parts, dict) else {}


def _named(name: str, old: str | None, new: str | None) -> str:
    if not name:
        return "its code"
    if name.endswith(".py"):
        return name
    return f"{name} ({old or 'not used'}, now {new or 'not used'})"


def code_of(settings: Any) -> OwnCode:
    """The code of the classes that `settings` name with ``_target_``, at any depth, as this process first saw it."""
    parts: dict[str, str] = {}
    sources: dict[str, str] = {}
    unreadable: set[str] = set()
    waiting = sorted({module for target in _targets(settings) for module in _modules_of(target)})
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] == PACKAGE:
            continue
        seen.add(name)
        module = _read(name)
        parts |= module.parts
        sources |= module.sources
        unreadable |= set(module.unreadable)
        waiting += module.imports
    return OwnCode(dict(sorted(parts.items())), dict(sorted(sources.items())), tuple(sorted(unreadable)))


def _targets(settings: Any) -> Iterator[str]:
    """Import paths of classes and functions, at any depth."""
    if isinstance(settings, Mapping):
        target = settings.get("_target_")
        if isinstance(target, str):
            yield target
    if isinstance(settings, Mapping | list | tuple):
        for value in settings.values() if isinstance(settings, Mapping) else settings:
            yield from _targets(value)


def _modules_of(target: str) -> set[str]:
    """The module in which a class is looked up, where it comes from, and those of its bases."""
    module, _, name = target.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    classes = getattr(found, "__mro__", (found,))
    homes = (getattr(each, "__module__", None) for each in classes)
    return {module, *(home for home in homes if isinstance(home, str))} - {""}


@dataclass(frozen=True)
class _Module:
    """One module: its parts as of `OwnCode`, and what it imports; those of a distribution are all the same."""

    parts: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    installed: bool = False


@cache  # a module that is edited while the process runs keeps what was loaded
def _read(name: str) -> _Module:
    top, _, rest = name.partition(".")
    if rest and (outermost := _read(top)).installed:  # whose modules need not be imported to be found
        return outermost
    spec, loaded = _spec(name), sys.modules.get(name)
    if spec is None and loaded is None:  # a class, as in `from module import Class`, or a module that is not there
        return _Module() if rest else _Module({name: ABSENT})
    if spec is not None and (_is_standard(spec) or spec.name.partition(".")[0] == PACKAGE):
        return _Module(installed=True)
    if versions := _installed(name, spec):
        return _Module(versions, installed=True)
    loader: Any = getattr(loaded, "__loader__", None) if spec is None else spec.loader
    is_package = spec is not None and spec.submodule_search_locations is not None
    try:
        source = "" if is_package and loader is None else loader.get_source(name)
    except Exception:  # whatever a loader lacks, or raises
        source = None
    if source is None:  # compiled, or typed into a notebook
        return _Module({name: "no source"}, unreadable=(name,))
    packages = tuple(name[:at] for at, sign in enumerate(name) if sign == ".")
    if is_package and not source:
        return _Module(imports=packages)
    file = name.replace(".", "/") + ("/__init__.py" if is_package else ".py")
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    imports = _imports(source, name if is_package else name.rpartition(".")[0])
    return _Module({file: digest}, {file: source}, imports=(*packages, *imports))


def _spec(name: str) -> ModuleSpec | None:
    """Where a module comes from; a module that is not loaded yet is not loaded now, but the packages around it are."""
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__spec__", None) is not None:
        return loaded.__spec__
    outer = name.rpartition(".")[0]
    if outer and ((spec := _spec(outer)) is None or spec.submodule_search_locations is None):
        return None
    try:
        return importlib.util.find_spec(name)
    except Exception:  # a package around it that can't be imported either
        return None


def _is_standard(spec: ModuleSpec) -> bool:
    """Whether a module is Python's own; a file that somebody named like one is not."""
    if not spec.has_location:
        return spec.origin in ("built-in", "frozen")
    path = Path(str(spec.origin))
    homes = (Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib"))
    inside = (path.relative_to(home).parts for home in homes if path.is_relative_to(home))
    return any(not {"site-packages", "dist-packages"} & set(parts) for parts in inside)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _installed(name: str, spec: ModuleSpec | None) -> dict[str, str]:
    """Versions of the distributions that a module was installed with; none for an editable one, or a loose file."""
    if spec is None:
        return {}
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    found = {}
    for distribution in dict.fromkeys(_distributions().get(name.partition(".")[0], ())):
        home = Path(str(importlib.metadata.distribution(distribution).locate_file(""))).resolve()
        version = importlib.metadata.version(distribution)
        # A checkout may have metadata as well, but not of this kind.
        unpacked = home.name in ("site-packages", "dist-packages") or any(home.glob(f"*-{version}.dist-info"))
        if unpacked and places and all(Path(place).resolve().is_relative_to(home) for place in places):
            found[distribution] = version
    return found


def _imports(source: str, package: str) -> Iterator[str]:
    """Names of modules that a source may import, wherever it does; `package` is what relative imports count from."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, package)
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            argument = node.args[0]
            if called in IMPORTERS and isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value if not argument.value.startswith(".") else package + argument.value


def _imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        outer = parts[: len(parts) - node.level + 1]
        base = ".".join([*outer, *([base] if base else [])])
    if not base:
        return
    yield base
    for alias in node.names:
        if alias.name != "*":
            yield f"{base}.{alias.name}"
            continue
        loaded = sys.modules.get(base)
        yield from (f"{base}.{name}" for name in getattr(loaded, "__all__", ()) if isinstance(name, str))
