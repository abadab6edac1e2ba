"""How much of the held-out data an evaluation reads follows from the work of training; which part, from the seed."""

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rnnexp.build import build_experiment
from rnnexp.checks import InvalidValue
from rnnexp.command.check_first import register
from rnnexp.layers import Network
from rnnexp.settings import check_root, conf_dir
from rnnexp.tasks import Batch
from rnnexp.training import evaluate
from rnnexp.training.eval_limit import BESIDE, EvalLimit, forward_work

TASKS = sorted(path.stem for path in (conf_dir() / "task").glob("*.yaml") if path.stem not in ("table", "text"))
UPDATES = 1000
#: Before training, after each twentieth of it, and on the test set.
EVALUATIONS = 21 + 2


@pytest.fixture(scope="module")
def built():
    """Builds the experiment of the default configuration with another task and other values."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        base = check_root(compose("config", overrides=["gradients=off", "tracking=none"]))

    def build(task, *, eval_limit="auto", cell="TimeRNN", settings=None, **root):
        own = OmegaConf.to_container(OmegaConf.load(conf_dir() / "task" / f"{task}.yaml"))
        own["task"] |= {"eval_limit": eval_limit, **(settings or {})}
        return build_experiment({**base, **own, "cell": {"_target_": f"rnnexp.layers.{cell}"}, **root})

    return build


@pytest.fixture
def files(tmp_path):
    """Text and tables of so many characters and rows: the task and its settings."""

    def write(size):
        rng = np.random.default_rng(0)
        (tmp_path / "a.txt").write_text("".join(rng.choice([*"abcdefgh \n"], size)), encoding="utf-8")
        np.savez(tmp_path / "a.npz", x=rng.normal(size=size), y=rng.normal(size=size))
        table = {"path": str(tmp_path / "a.npz")}
        return {
            "characters": ("text", {"path": str(tmp_path / "a.txt")}),
            "pieces": ("table", table),
            "one sequence": ("table", {**table, "length": None}),
        }

    return write


def work(experiment, monkeypatch, updates=8):
    """Work of an update and of an evaluation, counted as they run: steps forward, and back at the price of two."""
    counted = {"steps": 0}
    forward, backward = Network.forward, Network.backward

    def ahead(network, inputs, *, first=0, **how):
        counted["steps"] += (len(inputs) - first) * inputs.shape[1]
        counted["read"] = len(inputs) * inputs.shape[1]
        return forward(network, inputs, first=first, **how)

    def back(network, slope, **how):
        counted["steps"] += 2 * counted["read"]
        return backward(network, slope, **how)

    monkeypatch.setattr(Network, "forward", ahead)
    monkeypatch.setattr(Network, "backward", back)
    trainer = experiment.run().trainer
    for _ in range(updates):
        trainer.update()
    each = forward_work(experiment.network)
    trained, counted["steps"] = counted["steps"] / updates * each + BESIDE, 0
    evaluate(experiment.network.replica(), experiment.held_out, experiment.task.target_kind, experiment.task)
    return trained, counted["steps"] * each


def share(experiment, monkeypatch):
    """Of evaluations and test in the work of training."""
    trained, evaluated = work(experiment, monkeypatch)
    return EVALUATIONS * evaluated / (UPDATES * trained)


@pytest.mark.parametrize("task", TASKS)
def test_evaluations_and_test_take_a_small_part_of_the_work_of_training(built, task, monkeypatch):
    assert 0 < share(built(task), monkeypatch) < 0.125


RANDOMIZED = {"_target_": "rnnexp.algorithms.RandomizedBPTT"}


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("parity", {"hidden_size": 100, "cell": "TimeLSTM"}),
        ("copying", {"batch_size": 3}),
        ("echo", {"bptt_length": 5}),
        ("echo", {"bptt_stride": 10}),
        ("recall", {"settings": {"lag": 100}}),
        ("parity", {"algorithm": RANDOMIZED, "steps": 10}),
    ],
)
def test_other_sizes(built, task, changes, monkeypatch):
    assert 0 < share(built(task, **changes), monkeypatch) < 0.125


def test_ten_times_the_data_takes_as_much(built, files, monkeypatch):
    for name in ("characters", "pieces", "one sequence"):
        sizes = []
        for size in (40_000, 400_000):
            task, settings = files(size)[name]
            sizes.append(built(task, settings=settings, hidden_size=30).held_out.mask.size)
        assert 0.9 < sizes[0] / sizes[1] < 1.1, name
    assert share(built(task, settings=settings), monkeypatch) < 0.125


def test_longer_training_reads_more_until_it_reads_all(built):
    sizes = [built("parity", steps=steps).held_out.mask.shape[1] for steps in (10, 1000, 2000, 4000, 10**6)]
    assert sizes[0] == sizes[1]
    assert sizes[2:4] == pytest.approx([2 * sizes[1], 4 * sizes[1]], abs=4)
    assert sizes[4] == 500


def a_set(steps, sequences, late=0):
    """Inputs that tell where they stand; the first `late` steps are not scored."""
    inputs = np.arange(steps * sequences).reshape(sequences, steps).T
    mask = np.ones(inputs.shape, bool)
    mask[:late] = False
    return Batch(inputs, inputs % 7, mask)


@pytest.mark.parametrize("divisible", [False, True])
@pytest.mark.parametrize(("steps", "sequences", "late"), [(50, 500, 0), (1000, 20, 300), (5000, 1, 0), (300, 64, 7)])
def test_what_is_read_is_within_the_limit_and_a_part_of_what_a_higher_limit_reads(divisible, steps, sequences, late):
    whole, before = a_set(steps, sequences, late), set()
    for limit in (1, 40, 700, 2345, 9000, 12_000, 20_000, steps * sequences):
        part = EvalLimit(limit, 3, divisible).of(whole)
        assert part.mask.any(axis=0).all(), "something of each sequence is scored"
        least = late + 1 if divisible else steps
        assert part.mask.size <= max(limit, least)
        assert part.mask.size > 0.5 * min(limit, whole.mask.size) or len(part.mask) in (least, steps)
        read = set(part.inputs[0].tolist())
        assert before <= read or divisible
        before = read
        assert part.same_as(EvalLimit(limit, 3, divisible).of(whole))
        assert part.same_as(EvalLimit(part.mask.size, 3, divisible).of(whole)), "the number says what was read"
    assert part.same_as(whole)


def test_the_seed_chooses_and_the_choice_is_spread_over_the_set():
    whole = a_set(50, 500)
    first, other = (EvalLimit(5000, seed).of(whole).inputs[0] // 50 for seed in (0, 1))
    assert len(first) == len(other) == 100
    assert set(first) != set(other)
    assert np.histogram(first, 5, (0, 500))[0].min() > 10
    streams = EvalLimit(4000, 0, True).of(a_set(1000, 64))
    assert streams.mask.shape == (200, 20)
    assert np.ptp(streams.inputs[0]) > 32_000


def test_the_study_and_a_given_number_and_null(built):
    one = built("parity", gradients={"_target_": "rnnexp.GradientStudy"})
    assert one.held_out.mask.shape[1] < 100
    assert one.studied.inputs.shape == (50, 20)
    number = built("parity", eval_limit=one.limit.steps)
    assert number.held_out.same_as(one.held_out)
    unseen = number.unseen()
    assert unseen.same_as(one.unseen())
    assert not unseen.same_as(one.held_out)
    every = built("parity", eval_limit=None)
    assert every.held_out.mask.shape == (50, 500) == every.unseen().mask.shape
    assert one.evaluated == f"{one.held_out.mask.shape[1]} of 500 held-out sequences"
    assert every.evaluated == ""
    assert "of 500 steps of each" in built("echo").evaluated


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "all", 25001])
def test_other_limits_are_refused_with_a_hint_that_works(built, value):
    with pytest.raises(InvalidValue, match=r"task\.eval_limit must be ") as refused:
        built("parity", eval_limit=value)
    assert "null reads all" in refused.value.hint
    assert "25000" in refused.value.problem or value != 25001
    assert built("parity", eval_limit=25000).evaluated == ""
