import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import servers

from rnnexp.tracking.store import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "program"))  # sweep_helpers


@pytest.fixture(scope="session")
def place():
    """A folder that every user of this machine can reach, unlike pytest's own: daemons of several work in it."""
    with tempfile.TemporaryDirectory(prefix="rnnexp-cluster-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def database(place):
    """An empty MLflow database to copy: to migrate one takes seconds."""
    open_store(f"sqlite:///{place / 'empty.db'}", "rnnexp")
    return place / "empty.db"


@pytest.fixture(scope="session")
def unshared(place):
    """A folder that Slurm's node has not."""
    folder = place / "unshared"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def slurm(place, unshared):
    """Slurm on one node; the environment that its programs need."""
    folder = place / "slurm"
    folder.mkdir()
    with servers.slurm(folder, unshared) as environment:
        yield environment


@contextmanager
def starting(database=None):
    """Within, a way to start the command in a folder in the background; what still runs at the end is ended.

    `database`, if any, is copied into new folders.
    """
    begun = []

    def begin(folder, *arguments, **environment):
        folder.mkdir(parents=True, exist_ok=True)
        if database and not (folder / "mlflow.db").exists():
            shutil.copy(database, folder / "mlflow.db")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_"))}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-m", "rnnexp", *arguments]
        begun.append(subprocess.Popen(command, cwd=folder, env={**kept, **environment}, **pipes))
        return begun[-1]

    try:
        yield begin
    finally:
        for process in begun:
            servers.end(process, signal.SIGTERM)
            process.communicate()


@pytest.fixture
def start(database):
    """Start the command in a folder in the background."""
    with starting(database) as begin:
        yield begin


@pytest.fixture
def run(start):
    """Run the command in a folder: its exit code and what it printed."""

    def to_the_end(folder, *arguments, **environment):
        return servers.finished(start(folder, *arguments, **environment))

    return to_the_end
