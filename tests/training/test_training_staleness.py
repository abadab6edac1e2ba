"""How stale the state is that a window takes over, against plain loops over what training reported."""

import numpy as np
import pytest
from linear_unit import one_unit
from training_cases import CELLS

from rnnexp.algorithms import RandomizedBPTT, TruncatedBPTT
from rnnexp.layers import build_network
from rnnexp.tasks import Adding, Baseline, Batch, Echo, EpisodeTask, Place, Reber, StreamTask
from rnnexp.training import SGD, train


class Ones(StreamTask):
    """A stream of ones, each of them to be answered by a zero."""

    input_kind = target_kind = "values"
    input_size, output_size, scored = 1, 1, "every step"
    baseline = Baseline(0.0, None, "zero")

    def begin(self, batch_size, *, rng):
        return Place({"seen": np.zeros(batch_size)})

    def read(self, place, steps, *, rng):
        ones = np.ones((steps, len(place.arrays["seen"]), 1))
        return Batch(ones, 0.0 * ones, np.ones(ones.shape[:2], bool))


class NineOnes(EpisodeTask):
    """The same as sequences of nine steps."""

    input_kind = target_kind = "values"
    input_size, output_size, scored, baseline = 1, 1, "every step", Ones.baseline

    def __init__(self):
        super().__init__(eval_sequences=1)

    def sample(self, batch_size, *, rng):
        ones = np.ones((9, batch_size, 1))
        return Batch(ones, 0.0 * ones, np.ones((9, batch_size), bool))


def trained(task, *, length=3, stride=None, steps=9, rate=0.01, staleness_steps=100):
    """Weights before each update, and the reports of all."""
    network, weights, reports = learning_one(), [], []
    run = train(
        network,
        task,
        optimizer=SGD(rate),
        steps=steps,
        rng=np.random.default_rng(0),
        algorithm=TruncatedBPTT(length, stride),
        batch_size=1,
        study=lambda network: None,
        study_every=1,
        staleness_steps=staleness_steps,
    )
    for report in run.reports():
        if report.step:
            reports.append(report)
        weights.append(network.parameters.values["recurrent.Wh"].item())
    return weights[:-1], reports


def continued(h, weight, steps):
    for _ in range(steps):
        h = weight * h + 1.0
    return h


def learning_one():
    """One of which w = 1/2 alone is learned."""
    return one_unit(0.5, freeze=["recurrent.Wx", "recurrent.b", "output"])


@pytest.mark.parametrize(("length", "stride"), [(3, 3), (4, 1), (5, 2)])
def test_one_unit_on_a_stream(length, stride):
    weights, reports = trained(Ones(), length=length, stride=stride)
    carried = 0.0
    for update, (weight, report) in enumerate(zip(weights, reports, strict=True)):
        recomputed = continued(0.0, weight, update * stride)
        expected = abs(carried - recomputed) / recomputed if update else 0.0
        assert report.staleness == pytest.approx(expected, rel=1e-12)
        carried = continued(carried, weight, stride)
    assert reports[0].staleness == 0.0 < min(report.staleness for report in reports[2:])
    first = abs(weights[1] - weights[0])  # 1 + w + w^2 with the first two weights
    if stride == 3:
        assert reports[1].staleness == pytest.approx(
            first * (1 + weights[0] + weights[1]) / (1 + weights[1] + weights[1] ** 2), rel=1e-12
        )


def test_a_sequence_begins_with_nothing_stale():
    weights, reports = trained(NineOnes())
    found = [report.staleness for report in reports]
    assert found[0] == found[3] == found[6] == 0.0
    for begun in (0, 3, 6):
        carried = 0.0
        for update in (begun, begun + 1, begun + 2):
            recomputed = continued(0.0, weights[update], 3 * (update - begun))
            expected = abs(carried - recomputed) / recomputed if update > begun else 0.0
            assert found[update] == pytest.approx(expected, rel=1e-12)
            carried = continued(carried, weights[update], 3)


@pytest.mark.parametrize("kept", [1, 4, 7])
def test_of_a_stream_a_bounded_part_of_the_past_is_recomputed(kept):
    weights, reports = trained(Ones(), steps=20, staleness_steps=kept)
    parts, carried = [], 0.0  # of each part: the state before it, and its steps
    for update, (weight, report) in enumerate(zip(weights, reports, strict=True)):
        if update:
            steps = sum(steps for _, steps in parts)
            recomputed = continued(parts[0][0], weight, steps)
            assert report.staleness == pytest.approx(abs(carried - recomputed) / recomputed, rel=1e-11, abs=1e-15)
            assert steps <= 3 * update
            assert min(kept, 3 * update) <= steps < 2 * (kept + 3)
        if not parts or parts[-1][1] >= kept:
            parts = [*parts[-1:], (carried, 0)]
        parts[-1] = parts[-1][0], parts[-1][1] + 3
        carried = continued(carried, weight, 3)


TASKS = {"stream": lambda: Echo(lag=2), "episodes": Reber, "one update an episode": lambda: Adding(length=12)}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("algorithm", [TruncatedBPTT(5), TruncatedBPTT(5, 2), RandomizedBPTT(4)])
def test_weights_that_do_not_change_leave_nothing_stale(cell, task, algorithm):
    task = task()
    sizes = {name: getattr(task, name) for name in ("input_size", "input_kind", "output_size")}
    for rate in (1e-300, 0.5):
        network = build_network(hidden_size=4, rng=np.random.default_rng(0), **sizes, **cell)
        run = train(
            network,
            task,
            optimizer=SGD(rate),
            steps=12,
            rng=np.random.default_rng(1),
            algorithm=algorithm,
            batch_size=3,
            study=lambda network: None,
            study_every=1,
            staleness_steps=6,
        )
        found = np.array([report.staleness for report in run.reports() if report.step])
        assert (found.max() > 1e-4) == (rate == 0.5 and not isinstance(task, Adding))
        assert found.min() >= 0.0
        if rate < 0.5:
            assert found.max() < 1e-6


def test_a_past_that_was_not_kept_is_unknown():
    def run(staleness_steps):
        rng, settings = np.random.default_rng(0), {"steps": 9, "algorithm": TruncatedBPTT(3), "batch_size": 1}
        return train(learning_one(), Ones(), optimizer=SGD(0.1), rng=rng, staleness_steps=staleness_steps, **settings)

    before, after = run(0).trainer, run(50).trainer
    before.update()
    after.restore(before.state())
    found = [after.update(measure=lambda step: True).staleness for _ in range(3)]
    assert np.isnan(found[0])
    assert min(found[1:]) > 0.0


def test_without_steps_or_a_study_it_is_not_measured():
    for settings in ({}, {"staleness_steps": 5}, {"study": lambda network: None}):
        run = train(learning_one(), Ones(), optimizer=SGD(0.1), steps=3, rng=np.random.default_rng(0),
                      algorithm=TruncatedBPTT(3), **settings)  # fmt: skip
        assert all(report.staleness is None for report in run.reports())
