"""In what a run was made: versions, and the commit of the folder where the command was started."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from rnnexp.tracking import environment
from rnnexp.tracking.environment import environment_tags, git_tags


@pytest.fixture(autouse=True)
def looked_at_anew():
    environment.git_state.cache_clear()


def git(folder, *arguments):
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    done = subprocess.run(["git", "-C", folder, *author, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_tags_name_the_versions():
    tags = environment_tags()
    assert (tags["python"], tags["numpy"]) == (platform.python_version(), np.__version__)
    assert tags["blas"].split()[0] not in ("", "unknown") and platform.system() in tags["platform"]


def test_the_commit_is_that_of_the_folder_and_the_state_that_of_its_files(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    git(tmp_path, "init", "--quiet")
    assert git_tags(inside) == {}  # there is no commit yet
    (inside / "file").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    git(tmp_path, "tag", "v1-dirty")  # a tag of the person's is not the state
    environment.git_state.cache_clear()
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_tags(inside) == {"mlflow.source.git.commit": commit, "git.dirty": "false"}
    (inside / "file").write_text("two")
    environment.git_state.cache_clear()
    assert git_tags(inside) == {"mlflow.source.git.commit": commit, "git.dirty": "true"}


@pytest.mark.parametrize("kind", ["no repository", "no git", "slow", "no folder"])
def test_without_a_commit_to_be_had_there_is_no_tag_and_no_error(tmp_path, monkeypatch, kind):
    folder = tmp_path / "folder"
    if kind != "no folder":
        folder.mkdir()
    if kind == "no git":
        monkeypatch.setenv("PATH", str(folder))
    if kind == "slow":  # its child keeps the pipes open
        program = tmp_path / "git"
        program.write_text(f"#!{sys.executable}\nimport os, time\nos.fork()\ntime.sleep(30)\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(environment, "PATIENCE", 0.2)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert git_tags(folder) == {}
