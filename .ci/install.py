"""Install into a virtual environment, which is made if need be: install.py .venv --editable '.[test]'.

By uv, the one on PATH or else the package index's; by pip where uv cannot be had or does not succeed. Versions are
those of constraints.txt. Older Pythons can read this file, so that they can be refused.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: What pip is told by its files and PIP_*; the variable in which uv reads it, and what stands between several.
AS_UV_READS = {
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", ""),
    "proxy": ("ALL_PROXY", ""),
}
#: What an installer says, and what helps.
HINTS = {
    "ensurepip": "on Debian and Ubuntu, venv is a package of its own: apt install python3-venv",
    "permission denied|read-only|not a directory": (
        "the environment must be a folder that can be written to; another one: make run VENV=~/rnnexp-venv"
    ),
    "no space left": "the environment takes 800 MB; in another place: make run VENV=/other/disk/venv",
    r"unknown compiler|directory: '(gcc|cc|clang)'|command '\S*(gcc|cc|clang|cl)\S*' failed|visual c\+\+|python\.h": (
        "a package has no wheel for this Python and machine, and no compiler is found: take another Python,\n"
        "make run PYTHON=python3.13, or install one; on Debian and Ubuntu: apt install build-essential python3-dev"
    ),
    "connection|name resolution|not known|timed out|certificate|proxy|from versions: none": (
        "is the package index reached? pip's settings hold for uv too: a mirror in PIP_INDEX_URL, a proxy in\n"
        "https_proxy, a certificate in PIP_CERT"
    ),
}
ROOT = Path(__file__).resolve().parent.parent


def wrong_version(version):
    """What to say of a Python that the project does not run on; None where it does."""
    if (3, 11) <= tuple(version[:2]) < (3, 15):
        return None
    found = ".".join(map(str, version[:2]))
    return (
        f"rnnexp needs Python 3.11 to 3.14, and {sys.executable} is {found}\ngive another: make run PYTHON=python3.13"
    )


def settings_for_uv(listed, environment):
    """Variables that tell uv what `pip config list` shows, less those that are set already.

    uv reads nothing of pip's, and may have no index and no certificates without it.
    """
    told = {}
    for line in listed.splitlines():  # the last one takes precedence
        name, _, value = line.partition("=")
        level, _, key = name.rpartition(".")
        if key in AS_UV_READS and level in ("global", "install", ":env:"):
            variable, between = AS_UV_READS[key]
            told[variable] = between.join(ast.literal_eval(value).split())
    if "UV_INDEX" in told:
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's: the newest of all indexes
    return {name: value for name, value in told.items() if name not in environment}


def refuse(told):
    """Exit with the end of what an installer said, and what helps."""
    helps = [hint for said, hint in HINTS.items() if re.search(said, told.lower())]
    sys.exit("\n".join([*told.splitlines()[-16:], *helps[:1]]))


def call(what, command, environment=None):
    """Run a command under one line of progress: its exit code, and all that it said."""
    began = time.monotonic()
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 1
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=str(ROOT), env=environment)
        if not terminal:
            print(f"{what} ...", flush=True)
        while True:
            try:
                code = process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                code = None
            output.seek(0)
            told = output.read().decode("utf-8", "replace").strip()
            if terminal:
                last = told.rpartition("\n")[2] if code is None else ""
                line = f"{what} ... {time.monotonic() - began:.0f} s  {last}"
                sys.stdout.write("\r" + line[:width].ljust(width) + ("" if code is None else "\n"))
                sys.stdout.flush()
            if code is not None:
                return code, told


def main(folder, wanted):
    """Install; where nothing helps, exit with what was said last."""
    refusal = wrong_version(sys.version_info)
    if refusal:
        sys.exit(refusal)
    scripts = Path(folder).absolute() / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-compile", *constraints]
    if not shutil.which(python) or subprocess.call([python, "-c", ""]):
        code, told = call(f"making {folder}", [sys.executable, "-m", "venv", "--clear", folder])
        if code:
            refuse(told)
    places = os.pathsep.join([os.environ.get("PATH", ""), str(scripts)])
    if not shutil.which("uv", path=places):
        call("fetching uv", [*pip, "uv"])
    uv = shutil.which("uv", path=places)
    if uv:
        listed = subprocess.run([python, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, encoding="utf-8")
        environment = dict(os.environ, **settings_for_uv(listed.stdout, os.environ))
        command = [uv, "pip", "install", "--python", python, *constraints, *wanted]
        code, told = call(f"installing into {folder} with uv", command, environment)
        if code == 0:
            return
        print("trying pip, since uv said: " + told.rpartition("\n")[2], flush=True)
    code, told = call(f"installing into {folder} with pip, which takes a minute", [*pip, *wanted])
    if code:
        refuse(told)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
