"""What every task promises, whatever its family."""

import random

import numpy as np
import pytest

from rnnexp.tasks import EpisodeTask, StreamTask

NAMES = ["recall", "recall, smallest", "adding", "echo", "influence", "text", "text, capped"]


@pytest.fixture(params=NAMES)
def task(request, make_task):
    return make_task(request.param)


def same(one, other):
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("inputs", "targets", "mask")]
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def check(task, batch, batch_size=None):
    """Shapes, dtypes and ranges of a batch."""
    steps, count = batch.mask.shape
    assert batch_size is None or count == batch_size
    assert batch.mask.dtype == np.bool_
    assert batch.mask.any(axis=0).all(), "a sequence without a scored step"
    if task.input_kind == "tokens":
        assert batch.inputs.shape == (steps, count)
        assert batch.inputs.dtype.kind == "i"
        assert batch.inputs.min() >= 0
        assert batch.inputs.max() < task.input_size
    else:
        assert batch.inputs.shape == (steps, count, task.input_size)
        assert batch.inputs.dtype == np.float64
    if task.target_kind == "classes":
        # Unscored targets too: a loss looks them up before it multiplies them with zero.
        assert batch.targets.shape == (steps, count)
        assert batch.targets.dtype.kind == "i"
        assert batch.targets.min() >= 0
        assert batch.targets.max() < task.output_size
    else:
        assert batch.targets.shape == (steps, count, task.output_size)
        assert batch.targets.dtype == np.float64


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_training_batches_have_the_promised_shapes_dtypes_and_ranges(task, draw, batch_size):
    check(task, draw(task, batch_size, np.random.default_rng(0)), batch_size)


def test_the_evaluation_set_has_the_promised_shapes_dtypes_and_ranges(task):
    check(task, task.evaluation(rng=np.random.default_rng(0)))


def test_every_token_and_class_occurs(task, draw):
    batch = draw(task, 200, np.random.default_rng(0), steps=50)
    if task.input_kind == "tokens":
        assert set(np.unique(batch.inputs)) == set(range(task.input_size))
    if task.target_kind == "classes":
        assert set(np.unique(batch.targets[batch.mask])) == set(range(task.output_size))


def test_a_task_is_an_episode_or_a_stream_and_names_its_kinds(task):
    assert isinstance(task, EpisodeTask) != isinstance(task, StreamTask)
    assert task.input_kind in ("tokens", "values")
    assert task.target_kind in ("classes", "values")


def test_the_same_generator_state_draws_the_same_training_data(task, draw):
    first, second = (draw(task, 5, np.random.default_rng(3)) for _ in range(2))
    assert same(first, second)


def test_the_same_generator_state_draws_the_same_evaluation_set(task):
    first, second = (task.evaluation(rng=np.random.default_rng(3)) for _ in range(2))
    assert same(first, second)


def test_successive_draws_and_other_seeds_differ(task, draw):
    if type(task).__name__ == "InfluenceBalancing":
        pytest.skip("its one stream is always the same")
    rng = np.random.default_rng(3)
    if isinstance(task, EpisodeTask):
        first, second = task.sample(50, rng=rng), task.sample(50, rng=rng)
    else:
        place = task.begin(50, rng=rng)
        first, second = task.read(place, 12, rng=rng), task.read(place, 12, rng=rng)
    assert not np.array_equal(first.inputs, second.inputs)
    if type(task).__name__ != "Text":  # a text is read from its beginning, whatever the seed
        assert not same(draw(task, 50, np.random.default_rng(3)), draw(task, 50, np.random.default_rng(4)))


def test_drawing_the_evaluation_set_leaves_the_training_data_alone(task):
    def training(evaluate):
        rng, place, batches = np.random.default_rng(8), None, []
        for _ in range(3):
            if isinstance(task, EpisodeTask):
                batches.append(task.sample(4, rng=rng))
            else:
                place = place or task.begin(4, rng=rng)
                batches.append(task.read(place, 6, rng=rng))
            if evaluate:
                task.evaluation(rng=np.random.default_rng(9))
        return batches

    assert all(same(one, other) for one, other in zip(training(False), training(True), strict=True))


def test_drawing_training_data_leaves_the_evaluation_set_alone(task, draw):
    before = task.evaluation(rng=np.random.default_rng(9))
    kept = before.inputs.copy()
    draw(task, 4, np.random.default_rng(8))
    assert same(before, task.evaluation(rng=np.random.default_rng(9)))
    assert np.array_equal(kept, before.inputs)


def test_batches_drawn_earlier_are_not_overwritten(task):
    rng = np.random.default_rng(0)
    place = None if isinstance(task, EpisodeTask) else task.begin(4, rng=rng)

    def following():
        return task.sample(4, rng=rng) if place is None else task.read(place, 6, rng=rng)

    first = following()
    copies = [array.copy() for array in (first.inputs, first.targets, first.mask)]
    for _ in range(3):
        following()
    assert all(map(np.array_equal, copies, (first.inputs, first.targets, first.mask)))


@pytest.mark.parametrize("task", ["echo", "text", "text, capped"], indirect=True)
def test_two_places_in_a_stream_move_on_separately(task, draw):
    alone = draw(task, 3, np.random.default_rng(5), steps=20)
    rng, other = np.random.default_rng(5), np.random.default_rng(6)
    place, beside = task.begin(3, rng=rng), task.begin(3, rng=other)
    parts = []
    for _ in range(4):
        parts.append(task.read(place, 5, rng=rng))
        task.read(beside, 7, rng=other)
    assert np.array_equal(np.concatenate([part.inputs for part in parts]), alone.inputs)
    assert np.array_equal(np.concatenate([part.targets for part in parts]), alone.targets)
    assert np.array_equal(np.concatenate([part.mask for part in parts]), alone.mask)


def test_the_global_random_state_is_neither_read_nor_set(task, draw):
    def drawn():
        draw(task, 4, np.random.default_rng(0))
        return task.evaluation(rng=np.random.default_rng(1))

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what this test is about
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    first = drawn()
    assert random.getstate() == python
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(numpy, after, strict=True))
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert same(first, drawn())


def test_the_baseline_is_a_loss_with_a_name(task):
    baseline = task.baseline
    assert np.isfinite(baseline.loss)
    assert baseline.loss > 0
    assert baseline.predictor.strip()
    if task.target_kind == "classes":
        assert 0 < baseline.accuracy < 1
    else:
        assert baseline.accuracy is None


def test_what_is_scored_is_told_in_words(task):
    assert "step" in task.scored


def test_only_text_has_the_loss_in_another_unit(task):
    further = task.further_metrics(np.log(2.0))
    assert further == ({"bits_per_character": 1.0} if type(task).__name__ == "Text" else {})
