import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import chromium_page
from sweep_helpers import client
from warm_command import Warm

from rnnexp.command import HYDRA_1_3

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def migrated_database(warm):
    """An empty MLflow database: migrating one takes seconds, copying it does not."""
    return warm.folder / "template-True.db"


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory, migrated_database):
    """Make an empty folder with a warm tracking database."""

    def make():
        folder = tmp_path_factory.mktemp("folder")
        shutil.copy(migrated_database, folder / "mlflow.db")
        return folder

    return make


@pytest.fixture
def folder(new_folder):
    """An empty folder with a warm tracking database."""
    return new_folder()


#: What pickles the command, or looks at how it was started: it must be started as a person does.
STARTED_ANEW = ("hydra/launcher=joblib", "hydra/launcher=submitit", "n_jobs", "hydra/sweeper=", "--")


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """A process that has imported everything, and forks a child for each command."""
    opened = Warm(tmp_path_factory.mktemp("warm"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def command(request):
    """Run `python -m rnnexp` in a folder, as a person would; without importing it anew where that is the same."""

    def run(folder, *arguments, drawn=False, **environment):
        if environment or any(text in argument for argument in arguments for text in STARTED_ANEW):
            return run_command(folder, *arguments, **environment)
        return request.getfixturevalue("warm").run(folder, *arguments, drawn=drawn)

    return run


#: Those of 1.4 to people who use it as 1.3 was used are no fault of the command line.
HYDRAS_WARNINGS = "error" if HYDRA_1_3 else "ignore"


def run_command(folder, *arguments, **environment):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_"))}
    return subprocess.run(
        [sys.executable, "-W", f"{HYDRAS_WARNINGS}::UserWarning:hydra", "-m", "rnnexp", *arguments],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="session")
def recorded():
    """The runs of an experiment, oldest first."""

    def read(folder, experiment="rnnexp", database="mlflow.db"):
        reader = client(folder / database)
        found = reader.get_experiment_by_name(experiment)
        if found is None:
            return []
        return reader.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])

    return read


@pytest.fixture(scope="session")
def curve():
    """A metric's (step, value) pairs."""

    def read(folder, run, name):
        history = client(folder / "mlflow.db").get_metric_history(run.info.run_id, name)
        return [(point.step, point.value) for point in history]

    return read


@pytest.fixture(scope="session")
def artifacts():
    """A run's artifact folder."""

    def find(run):
        return Path(run.info.artifact_uri.removeprefix("file://"))

    return find


@pytest.fixture(scope="module")
def page():
    """A page of a headless Chromium."""
    with chromium_page() as opened:
        yield opened
