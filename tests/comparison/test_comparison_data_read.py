"""Whether compared runs have read equally much data, and which end of a metric is the better one."""

from pathlib import Path

import pytest
import yaml
from compared_runs import LOSS, NAN, table_of

import rnnexp.tasks
from rnnexp.comparison.conclusions import findings
from rnnexp.comparison.data_read import STREAMS, unequal_data
from rnnexp.comparison.effects import ends_of, grouped

TASKS = sorted((Path(__file__).parents[2] / "conf" / "task").glob("*.yaml"))


def test_the_streams_are_the_tasks_whose_class_is_one():
    choices = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in TASKS}
    names = {name: choice.get("task", choice)["_target_"].rpartition(".")[2] for name, choice in choices.items()}
    streams = {name for name, of in names.items() if issubclass(getattr(rnnexp.tasks, of), rnnexp.tasks.StreamTask)}
    assert streams == STREAMS


def test_algorithms_with_unequal_strides_have_not_read_equally_much():
    common = {"task": "echo", "batch_size": 20, "seed": [0, 1] * 3, "algorithm": ["bptt"] * 2 + ["rtrl", "snap"] * 2}
    lengths = [20, 20, NAN, NAN, NAN, NAN]
    table = table_of([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], bptt_length=lengths, steps=300, **common)
    unequal = table.assign(bptt_stride=[NAN, NAN, 1, 1, 1, 1])
    (told,) = [sentence for sentence in findings(unequal, ["algorithm", "seed"]) if "data" in sentence]
    assert "120,000 steps with algorithm=bptt and 6,000 steps with algorithm=rtrl,snap," in told
    assert not unequal_data(unequal.assign(bptt_stride=1))
    assert not unequal_data(unequal.assign(bptt_stride=1, algorithm="mine"))
    assert not unequal_data(unequal.assign(task="recall"))  # an update at the end of an episode, either way
    assert not unequal_data(unequal.assign(steps=[300] * 2 + [6000] * 4))  # asked for
    windows = unequal.assign(algorithm="bptt", bptt_length=[5, 5, 5, 20, 20, 20], bptt_stride=NAN)
    assert "120,000 steps with bptt_length=20 and 30,000 steps with bptt_length=5," in unequal_data(windows)


@pytest.mark.parametrize("metric", ["final/gradient/alignment", "gradient/bias_cosine/recurrent.Wh", "test/accuracy"])
def test_a_gradient_that_points_better_is_better(metric):
    table = table_of([1.0] * 4, cell=["a", "a", "b", "b"], seed=[0, 1] * 2).assign(**{metric: [0.2, 0.3, 0.9, 1.0]})
    assert grouped(table, ["cell"], metric)["best"].tolist() == [0.3, 1.0]
    said = findings(table, ["cell", "seed"], metric)
    assert said[1].startswith("Best setting: cell=b") and said[2].startswith("Largest")
    assert ends_of(LOSS) == ends_of("gradient/alignment_error") == ("best", "worst")


def test_neither_end_of_a_decay_rate_is_called_the_best():
    rates = {"final/gradient/decay_rate": [-0.5, -0.49, -0.1, -0.11]}
    table = table_of([1.0] * 4, cell=["a", "a", "b", "b"], seed=[0, 1] * 2).assign(**rates)
    said = findings(table, ["cell", "seed"], *rates)
    assert said[1].startswith("Setting with the smallest value: cell=a") and "smallest at cell=a" in " ".join(said)
    assert "best" not in " ".join(said) and "worst" not in " ".join(said)
