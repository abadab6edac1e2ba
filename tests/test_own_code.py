"""What counts as the code of a run: the source of the user's classes and of what they import."""

import importlib
import json
import sys
import types
import zipfile

import pytest

from rnnexp import own_code as module
from rnnexp.own_code import OwnCode, code_of, differences


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into a folder that is on the path, and forget modules that were loaded from there."""
    before = set(sys.modules)

    def forget():
        for name in set(sys.modules) - before:
            del sys.modules[name]
        importlib.invalidate_caches()
        module._read.cache_clear()
        module._distributions.cache_clear()

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/").replace("INIT", "__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        forget()

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    forget()


def code(target="mine.Leaky", load=True):
    if load:
        importlib.import_module(target.rpartition(".")[0])
    return code_of({"seed": 1, "cell": {"_target_": target}})


def test_the_packages_own_classes_have_no_code():
    settings = {
        "cell": {"_target_": "rnnexp.layers.TimeRNN"},
        "init": {"input": {"_target_": "rnnexp.layers.init.Glorot"}},
    }
    assert code_of(settings) == OwnCode() and not code_of(settings).parts


@pytest.mark.parametrize(
    "settings",
    [
        {"task": {"_target_": "mine.Leaky"}},
        {"init": {"recurrent": {"_target_": "mine.Leaky"}}},
        {"task": {"_target_": "rnnexp.tasks.Recall", "parts": [{"deep": {"_target_": "mine.function"}}]}},
    ],
    ids=["group", "nested", "in a list"],
)
def test_a_class_or_function_is_found_wherever_it_is_named(write, settings):
    write(mine="class Leaky: pass\ndef function(): pass\n")
    assert code_of(settings).sources == {"mine.py": "class Leaky: pass\ndef function(): pass\n"}


IMPORTS = {
    "import": ("import helpers", {}),
    "as": ("import helpers as h", {}),
    "from": ("from helpers import rate", {}),
    "star": ("from helpers import *", {}),
    "inside a function": ("def f():\n    import helpers", {}),
    "by name": ("import importlib\nh = importlib.import_module('helpers')", {}),
    "through another": ("import between", {"between": "import helpers"}),
    "in a circle": ("import between", {"between": "import mine, helpers"}),
    "by a base class": ("import sys\nBase = sys.modules['builtins'].__import__('helpers').Base", {}),
}


@pytest.mark.parametrize(("line", "more"), IMPORTS.values(), ids=IMPORTS)
def test_what_it_imports_counts(write, line, more):
    write(mine=f"{line}\nclass Leaky: pass\n", helpers="rate = 1\nclass Base: pass\n", unrelated="x = 1\n", **more)
    before = code()
    assert set(before.parts) == {"mine.py", "helpers.py", *(f"{name}.py" for name in more)}
    write(helpers="rate = 2\nclass Base: pass\n", unrelated="x = 2\n")
    after = code()
    assert differences(before.tag, after.tag) == ["helpers.py"]
    assert after.sources["helpers.py"].startswith("rate = 2")


def test_a_base_class_from_a_module_that_no_import_names(write):
    write(
        mine="name = 'help' + 'ers'\nLeaky = type('Leaky', (__import__(name).Base,), {})\n",
        helpers="class Base: pass\n",
    )
    assert set(code().parts) == {"mine.py", "helpers.py"}


def test_packages_and_relative_imports(write):
    write(
        pkg__INIT="",
        pkg__cells__INIT="from .leaky import Leaky\n",
        pkg__cells__leaky="from ..common import rate\nfrom . import more\nfrom ..other.deep import x\n",
        pkg__cells__more="",
        pkg__common="rate = 1\n",
        pkg__other__deep="x = 1\n",  # a folder without __init__.py
        pkg__unused="y = 1\n",
    )
    found = set(code("pkg.cells.leaky.Leaky", load=False).parts)
    files = {"pkg/cells/__init__.py", "pkg/cells/leaky.py", "pkg/cells/more.py", "pkg/common.py", "pkg/other/deep.py"}
    assert found == files


def test_a_package_whose_star_is_a_list_of_modules(write):
    write(mine="from pkg import *\nclass Leaky: pass\n", pkg__INIT="__all__ = ['a']\n", pkg__a="x = 1\n", pkg__b="")
    assert set(code().parts) == {"mine.py", "pkg/__init__.py", "pkg/a.py"}


def test_installed_distributions_count_by_version_and_are_not_opened(write, tmp_path):
    site = tmp_path / "site-packages"
    for version in ("1.0", "1.1"):
        write(mine="import numpy\nfrom thing.deep import x\nclass Leaky: pass\n")
        (site / "thing").mkdir(parents=True, exist_ok=True)
        (site / "thing" / "__init__.py").write_text(f"v = '{version}'\n")
        (site / "thing" / "deep.py").write_text("x = 1\n")
        info = site / f"thing-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n")
        (info / "RECORD").write_text("thing/__init__.py,,\nthing/deep.py,,\n")
        if version == "1.1":
            for file in (site / "thing-1.0.dist-info").iterdir():
                file.unlink()
            (site / "thing-1.0.dist-info").rmdir()
        else:
            sys.path.insert(1, str(site))
        try:
            found = code()
            assert set(found.parts) == {"mine.py", "numpy", "thing"} and found.parts["thing"] == version
            assert set(found.sources) == {"mine.py"} and not found.unreadable
        finally:
            if version == "1.1":
                sys.path.remove(str(site))
    assert differences(json.dumps({**found.parts, "thing": "1.0"}), found.tag) == ["thing (1.0, now 1.1)"]


def test_a_file_named_like_a_module_of_pythons_is_ones_own(write):
    write(mine="import graphlib, os\nclass Leaky: pass\n", graphlib="x = 1\n")
    sys.modules.pop("graphlib", None)
    assert set(code().parts) == {"mine.py", "graphlib.py"}


def test_a_module_in_an_archive_is_read_through_its_loader(write, tmp_path):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed_mine.py", "class Leaky: pass\n")
    write()
    sys.path.insert(0, str(tmp_path / "packed.zip"))
    try:
        assert code("packed_mine.Leaky").sources == {"packed_mine.py": "class Leaky: pass\n"}
    finally:
        sys.path.pop(0)


def test_what_has_no_source_is_said_to_have_none(write, tmp_path, monkeypatch):
    import py_compile

    write(mine="import compiled\nclass Leaky: pass\n", compiled="x = 1\n")
    py_compile.compile(str(tmp_path / "compiled.py"), cfile=str(tmp_path / "compiled.pyc"))
    (tmp_path / "compiled.py").unlink()
    write()
    assert code().unreadable == ("compiled",)
    monkeypatch.setitem(sys.modules, "made", types.ModuleType("made"))
    assert code("made.Leaky").unreadable == ("made",)
    notebook = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    module._read.cache_clear()
    assert code("__main__.Leaky").unreadable == ("__main__",)


def test_a_module_that_is_edited_while_the_process_runs_is_what_was_loaded(write, tmp_path):
    write(mine="class Leaky: pass\n")
    before = code()
    (tmp_path / "mine.py").write_text("class Leaky: rate = 2\n")
    assert code() == before


def test_a_module_that_is_not_there_counts_when_it_comes(write):
    write(mine="try:\n    import fast\nexcept ImportError:\n    fast = None\nclass Leaky: pass\n")
    before = code()
    assert not before.unreadable
    write(fast="x = 1\n")
    assert differences(before.tag, code().tag) == ["fast (absent, now not used)", "fast.py"]


def test_many_parts_are_one_digest(write):
    one = OwnCode({f"module_{number:04d}.py": "0" * 12 for number in range(500)})
    other = OwnCode({**one.parts, "module_0000.py": "1"})
    assert len(one.tag) < 100 and differences(one.tag, other.tag) == ["its code"]
    assert differences(one.tag, one.tag) == []
