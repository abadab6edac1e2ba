"""A run recorded when checkpoints had another format is still read, and refused in two lines where it is resumed.

The fixture is a run of commit 4dcae88 with steps=60 checkpoint.every=20 hidden_size=4 tracking.figures=false: folder,
artifacts and database, the latter as SQL with a placeholder for the folder, without the name of a machine or person.
"""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sweep_helpers import refused

from rnnexp.report import curve, runs
from rnnexp.report import main as report
from rnnexp.training.checkpoint import OtherVersion, load
from rnnexp.training.checkpoint_folder import Checkpoints

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_of_checkpoint_version_1.tar.xz"
RUN = "56b6f463a22e4e4fac0048bfd479fd0a"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A folder with the old run and its database, brought to the schema of the MLflow that is installed."""
    from mlflow.store.db.utils import _upgrade_db

    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript((folder / "mlflow.sql").read_text().replace("/placeholder", str(folder)))
    engine = create_engine(f"sqlite:///{folder / 'mlflow.db'}")
    _upgrade_db(engine)
    engine.dispose()
    return folder


@pytest.fixture
def here(old, monkeypatch):
    """That folder as the working directory."""
    monkeypatch.chdir(old)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return old


def test_the_fixture_names_no_machine():
    with tarfile.open(FIXTURE) as archive:
        texts = [archive.extractfile(member).read() for member in archive if member.isfile()]
        assert all(not member.uname and not member.gname and member.uid == 0 for member in archive)
    assert len(texts) == 14 and not any(word in text for text in texts for word in (b"/tmp", b"/home", b"/root"))
    assert FIXTURE.stat().st_size < 100_000


def test_its_numbers_are_read(here):
    table = runs()
    assert list(table.index) == [RUN]
    row = table.loc[RUN]
    assert (row["hidden_size"], row["steps"], row["checkpoint.every"], row["task"]) == (4, 60, 20, "recall")
    assert row["final/eval/loss"] == pytest.approx(1.3915, abs=5e-5)
    assert curve(RUN, "eval/loss").index[-1] == 60


def test_it_is_compared(here, tmp_path, capsys):
    report(["--out", str(tmp_path)])
    assert "1.39" in capsys.readouterr().out
    assert (tmp_path / "sweep.csv").is_file() and (tmp_path / "sweep.html").is_file()


@pytest.mark.parametrize("by", ["folder", "run", "checkpoints"])
def test_it_is_not_resumed(here, command, by):
    (folder,) = here.glob("outputs/*/*")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    target = {"folder": folder, "run": RUN, "checkpoints": folder / "checkpoints"}[by]
    done = command(here, f"resume={target}", "steps=120")
    newest = folder / "checkpoints" / "step-000000060.npz"
    words = (f"the checkpoint {newest} was written by another version of rnnexp", "begin a new run: leave resume out")
    refused(done, *words)
    assert done.returncode == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_no_older_checkpoint_takes_its_place(old):
    (folder,) = old.glob("outputs/*/*/checkpoints")
    told = []
    with pytest.raises(OtherVersion):
        Checkpoints(folder).load_latest(told.append)
    assert told == []
    for path in folder.glob("*.npz"):
        with pytest.raises(OtherVersion):
            load(path)
