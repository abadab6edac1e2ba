"""Completion by Tab: the scripts for the shells, and the question that they ask."""

import os
import shutil
import subprocess
import sys

import pytest

from rnnexp.checks import InvalidValue
from rnnexp.command.completion import SCRIPTS, script


@pytest.fixture
def completed(tmp_path):
    """What bash is given for a line by the script of `install=bash`, with the cursor at its end."""

    def ask(line, *programs):
        for name in programs:
            path = tmp_path / name
            path.write_text(
                f'#!/bin/sh\nexport PYTHONPATH={os.pathsep.join(sys.path)!r}\nexec "{sys.executable}" "$@"\n'
            )
            path.chmod(0o755)
        code = (
            f'{SCRIPTS["install", "bash"]}\nCOMP_LINE="$1"; COMP_POINT=${{#1}}; COMP_WORDS=($1)\n'
            '_rnnexp_complete; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", code, "bash", line],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return ask


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_settings_after_python_m_and_leaves_other_uses_of_python_alone(completed):
    line = "python -m rnnexp task=text cell=l"
    assert completed(line, "python") == ["cell=leaky", "cell=lstm"]
    assert completed("python -m rnnexp 'task.path=a b' see") == []  # which Hydra can't read: nothing is printed
    assert completed("python other.py cell=l") == completed("python -m rnnexp.report cell=l") == []


def test_each_shell_can_take_back_what_it_was_given():
    assert {shell for what, shell in SCRIPTS if what == "install"} == {"bash", "zsh", "fish"}
    assert {shell for what, shell in SCRIPTS if what == "uninstall"} == {"bash", "zsh", "fish"}
    assert script(["install=bash"]) in script(["install=zsh"]) and script(["query=bash"]) is None


@pytest.mark.parametrize("asked", ["install=tcsh", "instal=bash", "install="])
def test_other_shells_are_refused(asked):
    with pytest.raises(InvalidValue, match="bash, zsh or fish"):
        script([asked])
