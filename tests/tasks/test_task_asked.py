"""Where the inputs lie that a task's last target asks for, compared with its sequences."""

import numpy as np
import pytest

from rnnexp import tasks
from rnnexp.tasks import StreamTask


def drawn(task):
    rng = np.random.default_rng(0)
    if isinstance(task, StreamTask):
        return task.read(task.begin(4000, rng=rng), 60, rng=rng)
    return task.sample(4000, rng=rng)


@pytest.mark.parametrize(
    "task",
    [
        *(tasks.Recall(lag=lag) for lag in (1, 8)),
        tasks.Echo(lag=3),
        tasks.Xor(lag=4),
        tasks.RandomPermutation(length=7, alphabet=9),
        *(tasks.LongLag(variant=variant, lag=6) for variant in ("2a", "2b")),
        *(tasks.CopyingMemory(variant=variant, length=3) for variant in ("arjovsky", "tcn")),
        *(tasks.NoiselessMemorization(bits=bits, length=4) for bits in (5, 20)),
    ],
    ids=str,
)
def test_the_asked_inputs_determine_the_last_target_and_others_do_not(task):
    batch = drawn(task)
    last = int(np.flatnonzero(batch.mask[:, 0])[-1])
    lags = [low for low, high in task.asked if low == high]
    assert len(lags) == len(task.asked) > 0

    def determined(lags):
        seen = {}
        for *inputs, target in zip(*(batch.inputs[last - lag] for lag in lags), batch.targets[last], strict=True):
            seen.setdefault(tuple(inputs), set()).add(int(target))
        return all(len(targets) == 1 for targets in seen.values()) and len(set.union(*seen.values())) > 1

    assert determined(lags)
    assert not determined([lag - 1 for lag in lags])


def test_the_two_lags_are_those_that_bias_the_coin():
    task = tasks.TwoLag(first_lag=2, second_lag=5)
    batch = drawn(task)
    shift = [
        float(np.subtract(*(batch.targets[-1][batch.inputs[-1 - lag] == bit].mean() for bit in (1, 0))))
        for lag in range(8)
    ]
    assert task.asked == [(2, 2), (5, 5)]
    assert sorted(np.argsort(np.abs(shift))[-2:]) == [2, 5]


def positions(task, batch):
    """The steps of the asked inputs, a row for each."""
    if isinstance(task, tasks.TemporalOrder):
        relevant = batch.inputs >= 6 if task.variant == "hochreiter" else batch.inputs < 2
        relevant &= np.arange(len(relevant))[:, np.newaxis] <= batch.mask.argmax(axis=0)
        return np.stack([np.flatnonzero(column)[: task.symbols] for column in relevant.T], axis=1)
    marker = batch.inputs[..., 0 if task.variant == "pascanu" else 1]
    return np.stack([np.flatnonzero(column == 1) for column in marker.T], axis=1)


@pytest.mark.parametrize(
    "task",
    [
        *(tasks.Adding(variant=variant, length=25) for variant in ("arjovsky", "hochreiter", "pascanu", "uniform")),
        tasks.Multiplication(length=31),
        *(tasks.TemporalOrder(variant=v, symbols=n, length=40) for v in ("hochreiter", "pascanu") for n in (2, 3)),
        tasks.TemporalOrder(length=30, longest=43),
    ],
    ids=str,
)
def test_the_asked_inputs_lie_within_their_bounds_and_reach_them(task):
    batch = task.evaluation(rng=np.random.default_rng(0))
    batches = [task.sample(500, rng=np.random.default_rng(seed)) for seed in range(60)]
    lags = np.concatenate([b.mask.argmax(axis=0) - positions(task, b) for b in (batch, *batches)], axis=1)
    if getattr(task, "variant", "") in ("hochreiter", "uniform") and not isinstance(task, tasks.TemporalOrder):
        # which of the two was drawn first is not to be seen
        bounds = (min(low for low, _ in task.asked), max(high for _, high in task.asked))
        assert (lags.min(), lags.max()) == bounds
        return
    assert [(int(row.min()), int(row.max())) for row in lags] == task.asked


@pytest.mark.parametrize("variant", ["3a", "3b", "3c", "bengio"])
def test_the_informative_steps_of_a_latch_lie_within_their_bounds(variant):
    task = tasks.Latch(variant=variant, length=23, informative=2, noise=0.0)
    batch = task.sample(500, rng=np.random.default_rng(0))
    steps, sequences = np.nonzero(batch.inputs[..., 0])
    lags = batch.mask.argmax(axis=0)[sequences] - steps
    assert [(int(lags.min()), int(lags.max()))] == task.asked


def test_a_task_that_asks_for_the_whole_past_says_nothing():
    assert not any(task.asked for task in (tasks.Parity(), tasks.FlipFlop(), tasks.Sine(), tasks.Reber()))
