"""Whatever Hydra resolves is resolved in the first check as in the job; data paths count from where a command began."""

import pytest
import yaml
from sweep_helpers import last_sweep

SHORT = ("steps=2", "batch_size=2", "tracking=none", "tracking.figures=false", "gradients=off")
OWN_TASK = """
from pathlib import Path

import rnnexp.tasks


class Read(rnnexp.tasks.Recall):
    def __init__(self, *, where):
        lags = Path(where).read_text().split()
        super().__init__(lag=int(lags[0]))
"""


@pytest.fixture
def files(folder):
    """A text, a table and a task of one's own with its file, in a folder with a database."""
    (folder / "my.txt").write_text("the cat sat on the mat\n" * 40)
    (folder / "my.csv").write_text("a,load (kW)\n" + "\n".join(f"{row * row},{row % 5}" for row in range(60)))
    (folder / "lags.dat").write_text("3")
    (folder / "mine.py").write_text(OWN_TASK)
    (folder / "conf" / "task").mkdir(parents=True)
    (folder / "conf" / "task" / "read.yaml").write_text(
        "# @package _global_\noutput_size: null\ntask:\n  _target_: mine.Read\n  where: lags.dat\n"
    )
    return folder


def recorded_settings(folder):
    return yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))


def ended_well(done):
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_resolves_what_hydra_does(files, command):
    ended_well(
        command(
            files,
            "task=text",
            "task.path=${hydra:runtime.cwd}/${oc.env:NOT_SET,my}.txt",
            "run_name=${hydra:job.name}-${hydra.runtime.choices.cell}-${now:%f}",
            "hydra.run.dir=${hydra:runtime.cwd}/here",
            *SHORT,
        )
    )
    kept = recorded_settings(files / "here")
    assert kept["task"]["path"] == f"{files}/my.txt"
    program, cell, microseconds = kept["run_name"].split("-")
    assert (program, cell, len(microseconds)) == ("rnnexp", "rnn", 6)
    again = ("resume=here", "steps=4", "task.path=${hydra:runtime.cwd}/my.txt")
    ended_well(command(files, *again, "task=text"))
    assert len((files / "here" / "metrics.csv").read_text().splitlines()) > 2


JOBS = ("seed=${hydra:job.num}", "run_name=${hydra.job.num}-${hydra:runtime.choices.cell}", "batch_size=2,3")


def test_the_jobs_of_a_sweep_resolve_their_own(files, command, recorded):
    tracked = ("steps=2", "tracking.figures=false", "gradients=off", "skip_finished=true")
    for skipped in (0, 2):
        done = ended_well(command(files, "-m", *JOBS, *tracked))
        assert done.stdout.count("skipped") >= skipped
    runs = [run for run in recorded(files) if run.data.tags["rnnexp.kind"] != "sweep"]
    assert [run.data.params["seed"] for run in runs] == ["0", "1"]
    assert [run.info.run_name.split()[0] for run in runs] == ["0-rnn", "1-rnn"]


@pytest.mark.parametrize(
    ("launcher", "task"),
    [
        ("serial", ("task=text", "task.path=my.txt")),
        ("stacked", ("task=table", "task.path=my.csv", "task.targets=[load (kW)]", "task.length=10")),
        ("joblib", ("task=read", "--config-dir=conf")),
        pytest.param("submitit_local", ("task=text", "task.path=my.txt"), marks=pytest.mark.thorough),
    ],
)
def test_relative_paths_count_from_where_the_command_began(files, command, launcher, task):
    if launcher != "stacked":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    given = ("hydra.job.chdir=true", f"hydra/launcher={launcher}", *SHORT)
    ended_well(command(files, "-m", *given, *JOBS[:2], "optimizer.learning_rate=0.1,0.2", *task))
    for number in (0, 1):
        kept = recorded_settings(last_sweep(files) / str(number))
        assert (kept["seed"], kept["run_name"]) == (number, f"{number}-rnn")


def test_a_stack_resolves_each_jobs_own(files, command):
    given = ("hydra/launcher=stacked", "task=text", "task.path=${hydra.runtime.cwd}/my.txt", *SHORT)
    done = ended_well(command(files, "-m", *given, *JOBS[:2], "optimizer.learning_rate=0.1,0.2"))
    assert "2 jobs in 1 stack" in done.stdout
    assert [recorded_settings(last_sweep(files) / str(number))["seed"] for number in (0, 1)] == [0, 1]


def test_one_run_in_its_own_folder_reads_from_where_it_began(files, command):
    ended_well(command(files, "task=text", "task.path=my.txt", "hydra.job.chdir=true", *SHORT))


def test_what_a_whole_sweep_shares_may_not_differ_by_job(files, command):
    done = command(files, "-m", "seed=0,1", "tracking.experiment=${hydra:job.num}-x", *SHORT[:2])
    assert done.returncode == 1
    assert done.stderr.startswith("rnnexp: tracking.experiment must be one value for the whole sweep")
