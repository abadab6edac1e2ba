"""python -m rnnexp.tasks: the list, a task explained, a trial drawn, and what is refused."""

import json
import subprocess
import sys

import pytest
from companions import called

from rnnexp.command.tasks import main
from rnnexp.settings import conf_dir

NAMES = sorted(path.stem for path in (conf_dir() / "task").glob("*.yaml"))


@pytest.fixture
def tasks(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        return called(main, arguments, capsys)

    return run


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("adding", "--figure"), 0), (("nope",), 1)])
def test_the_module_is_the_command(tasks, tmp_path, arguments, code):
    command = [sys.executable, "-m", "rnnexp.tasks", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert [path.name for path in tmp_path.iterdir()] == (["adding.png"] if "--figure" in arguments else [])
    here = tasks(*arguments)
    assert (here.returncode, here.stdout, here.stderr) == (done.returncode, done.stdout, done.stderr)


def test_all_tasks_are_listed_with_sizes_baseline_and_paper(tasks, tmp_path):
    done = tasks()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    heads = [line.split()[0] for line in lines if line and not line.startswith((" ", "python"))]
    assert heads == NAMES
    facts = {name: lines[2 * index + 1].strip() for index, name in enumerate(NAMES)}
    for name, fact in facts.items():
        if name != "table":
            assert " in, " in fact and " out, " in fact and "; baseline " in fact, name
            assert len(fact.split("; ")) >= 3, name
    assert "task.path must be" in facts["table"]
    assert facts["adding"].startswith("2 values in, 1 value out, 100 steps; baseline 0.1667 (always the mean, 1)")
    assert facts["memorization"].startswith("7 tokens in, 6 classes out, 70 steps; baseline 0.2299")
    assert "endless" in facts["echo"]
    assert not any(tmp_path.iterdir())


def test_the_list_and_a_task_are_one_json_document_each(tasks, tmp_path):
    found = {about["task"]: about for about in json.loads(tasks("--json").stdout)}
    assert sorted(found) == NAMES
    assert found["adding"]["baseline"]["loss"] == 1 / 6
    assert found["echo"]["inputs"] | {"names": None} == {"kind": "tokens", "size": 2, "names": None}
    assert "task.path must be" in found["table"]["problem"]
    (tmp_path / "given.csv").write_text("a\n" + "\n".join(map(str, range(40))))
    done = tasks("table", "task.path=given.csv", "task.normalize=false", "--steps", "3", "--json", "--figure")
    one = json.loads(done.stdout)
    assert one["data"].startswith("given.csv: inputs a") and one["settings"]["missing"] == "refuse"
    steps = [value for (value,) in one["trial"]["inputs"]]
    assert [value for (value,) in one["trial"]["targets"]] == [value + 1 for value in steps] and len(steps) == 3
    assert "table.png" in done.stderr


@pytest.mark.quick(6)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "table"])
def test_every_task_is_explained_and_drawn(name, tasks, tmp_path):
    done = tasks(name, "--figure")
    assert done.returncode == 0, done.stderr
    for part in (
        "Settings here",
        "sizes ",
        "scored ",
        "baseline ",
        "paper ",
        "One trial (seed=0)",
        "target",
        "Parameters",
    ):
        assert part in done.stdout, part
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"]
    data = (tmp_path / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 5000


def test_a_trial_is_drawn_from_the_settings_and_the_seed(tasks, tmp_path):
    arguments = ("adding", "task.variant=hochreiter", "task.length=20")
    first, same, other = tasks(*arguments), tasks(*arguments, "--figure", "my.png"), tasks(*arguments, "seed=1")
    assert first.stdout == same.stdout.partition("\n\nfigure")[0] + "\n"
    assert first.stdout != other.stdout
    assert "Hochreiter & Schmidhuber 1997, section 5.4" in first.stdout
    assert "task.variant=hochreiter" in first.stdout
    assert (tmp_path / "my.png").is_file()


def test_a_persons_own_table_is_drawn(tasks, tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n" + "\n".join(f"{row * row},{row % 3}" for row in range(40)))
    done = tasks("table", "task.path=mine.csv", "task.length=10", "--steps", "5")
    assert done.returncode == 0, done.stderr
    assert "task.path=mine.csv" in done.stdout
    (steps,) = (line for line in done.stdout.splitlines() if line.startswith("step   "))
    assert steps.split()[1:] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nope"], ["the task must be one of", "nope", "adding, copying"]),
        (["addin"], ["did you mean 'adding'"]),
        (["adding", "length=20"], ["length", "did you mean 'task.length'"]),
        (["adding", "20"], ["20", "key=value"]),
        (["adding", "task.length=1"], ["task.length must be a whole number >= 2, got 1"]),
        (["adding", "task.variant=x"], ["task.variant must be one of", "hochreiter", "got x"]),
        (["adding", "output_size=3"], ["output_size must be 1"]),
        (["table"], ["task.path", "null"]),
        (["recall", "--figure", "no/such/folder.png"], ["--figure", "folder.png", "No such file"]),
        (["recall", "--figure", "trial.eps"], ["--figure must be a file that ends in png, pdf", "recall.png"]),
        (["recall", "--steps", "0"], ["--steps", "0", ">= 1"]),
        (["recall", "--config-dir", "nowhere"], ["--config-dir", "nowhere"]),
    ],
)
def test_mistakes_are_told_in_two_lines(arguments, named, tasks, tmp_path):
    done = tasks(*arguments)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("rnnexp: "), done.stderr
    for word in named:
        assert word in done.stderr
    assert not any(tmp_path.iterdir())


def test_help_names_the_arguments(tasks):
    done = tasks("--help")
    assert done.returncode == 0
    for word in ("--figure", "--steps", "--config-dir", "name"):
        assert word in done.stdout
