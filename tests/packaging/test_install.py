"""How the project is installed: .ci/install.py."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALL = runpy.run_path(str(ROOT / ".ci" / "install.py"))

#: A tool that says what it was asked, and whether it succeeds.
TOOL = """#!{python}
import os, sys
name = os.path.basename(sys.argv[0])
with open(os.environ["SAID"], "a") as said:
    print(name, *sys.argv[1:], os.environ.get("UV_DEFAULT_INDEX", ""), file=said)
if sys.argv[1:2] == ["-c"]:
    sys.exit(0)
if "config" in sys.argv:
    print("global.index-url='https://mirror.example/simple'")
if name in os.environ.get("BROKEN", "").split() and "install" in sys.argv:
    print("looking\\n" + name + " is broken")
    sys.exit(1)
"""


def test_pips_settings_are_told_to_uv_in_its_own_terms():
    listed = "\n".join(
        [
            "global.index-url='https://mirror.example/simple'",
            "global.find-links='/a /b'",
            "install.extra-index-url='file:///c\\nfile:///d'",
            "freeze.timeout='10'",
            ":env:.cert='/ca.pem'",
            ":env:.index-url='https://nearer.example/simple'",
        ]
    )
    told = INSTALL["settings_for_uv"](listed, {"SSL_CERT_FILE": "/own.pem"})
    assert told == {
        "UV_DEFAULT_INDEX": "https://nearer.example/simple",
        "UV_FIND_LINKS": "/a,/b",
        "UV_INDEX": "file:///c file:///d",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert INSTALL["settings_for_uv"]("", {}) == {}


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 10, 14), (3, 15, 0), (4, 0, 0)])
def test_a_python_that_is_too_old_or_too_new_is_named(version):
    said = INSTALL["wrong_version"](version)
    assert f"is {version[0]}.{version[1]}\n" in said
    assert "make run PYTHON=" in said


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 14, 9)])
def test_other_pythons_are_taken(version):
    assert INSTALL["wrong_version"](version) is None


@pytest.fixture
def install(tmp_path):
    """Run it in an environment of two tools that say what they are asked, python and perhaps uv."""
    bin_folder = tmp_path / "home 홍길동" / ".venv" / "bin"
    bin_folder.mkdir(parents=True)

    def run(*, uv, broken=""):
        for name in ("python", "uv")[: 1 + uv]:
            (bin_folder / name).write_text(TOOL.format(python=sys.executable))
            (bin_folder / name).chmod(0o755)
        said = tmp_path / "said"
        said.unlink(missing_ok=True)
        environment = {**os.environ, "PATH": "/nowhere", "SAID": str(said), "BROKEN": broken}
        done = subprocess.run(
            [sys.executable, "-S", ROOT / ".ci" / "install.py", bin_folder.parent, "--editable", "."],
            env=environment,
            capture_output=True,
            text=True,
        )
        return done, [line for line in said.read_text().splitlines() if " install " in line]

    return run


def test_uv_installs_where_there_is_one_with_the_index_of_pip(install):
    done, asked = install(uv=True)
    assert done.returncode == 0
    assert [line.split()[0] for line in asked] == ["uv"]
    assert "constraints.txt --editable . https://mirror.example/simple" in asked[0]
    assert len(done.stdout.splitlines()) == 1, "one line of progress"


def test_uv_is_fetched_and_pip_is_used_where_it_cannot_be_had(install):
    _, asked = install(uv=False)  # pip succeeds, but brings none: it is a stand-in
    assert asked[0].startswith("python -m pip ")
    assert "--no-compile" in asked[0]
    assert [line.split()[-1] for line in asked] == ["uv", "."]


def test_pip_follows_where_uv_fails_and_its_words_are_passed_on(install):
    done, asked = install(uv=True, broken="uv")
    assert done.returncode == 0
    assert "trying pip, since uv said: uv is broken" in done.stdout
    assert [line.split()[0] for line in asked] == ["uv", "python"]
    done, _ = install(uv=True, broken="uv python")
    assert done.returncode == 1
    assert done.stderr == "looking\npython is broken\n"


@pytest.mark.parametrize(
    ("told", "helps"),
    [
        ("The virtual environment was not created because ensurepip is not\navailable", "apt install python3-venv"),
        ("Error: [Errno 13] Permission denied: '/opt/x'", "make run VENV="),
        ("ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]", "apt install build-essential"),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "make run PYTHON="),
        ("error: [Errno 2] No such file or directory: 'gcc'\n[end of output]", "apt install build-essential"),
        ("NewConnectionError(': Failed to establish a new connection: refused')", "PIP_INDEX_URL"),
        ("ERROR: Could not find a version that satisfies x (from versions: none)", "PIP_INDEX_URL"),
    ],
)
def test_what_helps_follows_what_an_installer_said(told, helps):
    with pytest.raises(SystemExit) as caught:
        INSTALL["refuse"]("a long log\n" * 100 + told)
    assert (
        told in caught.value.code and helps in caught.value.code.splitlines()[-1] + caught.value.code.splitlines()[-2]
    )
    assert len(caught.value.code.splitlines()) < 20


def test_nothing_is_added_to_what_no_hint_fits():
    with pytest.raises(SystemExit) as caught:
        INSTALL["refuse"]("ResolutionImpossible: x 1 needs y 2")
    assert caught.value.code == "ResolutionImpossible: x 1 needs y 2"
