"""What every task promises, whatever its family."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from small_tasks import STREAMS, TASKS

from rnnexp import tasks
from rnnexp.layers import build_network
from rnnexp.tasks import EpisodeTask, StreamTask, trial_text
from rnnexp.training import evaluate


@pytest.fixture(params=TASKS)
def task(request, make_task):
    return make_task(request.param)


def arrays(batch):
    return [array for array in (batch.inputs, batch.targets, batch.mask, batch.allowed) if array is not None]


def same(one, other):
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def test_every_task_is_here():
    def below(cls):
        return [cls, *(lower for sub in cls.__subclasses__() for lower in below(sub))]

    ours = {cls.__name__ for cls in below(tasks.Task) if cls.__module__.startswith("rnnexp.")}
    named = {name for name in tasks.__all__ if isinstance(getattr(tasks, name), type)}
    shared = {"BitStream", "MarkedNumbers"}  # what several tasks are built on
    assert named - {"Baseline", "Batch", "DataIterator", "Place"} == ours - shared


def test_a_task_is_shown_by_its_arguments_and_printed_with_its_sizes(task):
    again = eval(repr(task), {type(task).__name__: type(task)})
    assert again.configuration() == task.configuration()
    first, inputs, target, baseline = str(task).splitlines()
    assert first == repr(task)
    assert inputs == f"  input     {task.input_kind} ({task.input_size})"
    assert target == f"  target    {task.target_kind} ({task.output_size}), scored: {task.scored}"
    assert baseline.startswith(f"  baseline  loss {task.baseline.loss:.4g}")


def test_a_digest_is_of_data_from_files_alone(request, make_task, task):
    name = request.node.callspec.params["task"]
    assert bool(task.digest) == any(kind in name for kind in ("text", "table", "digits"))
    assert make_task(name, again=True).digest == task.digest


def check(task, batch, batch_size=None):
    """Shapes, dtypes and ranges of a batch."""
    steps, count = batch.mask.shape
    assert batch_size is None or count == batch_size
    assert batch.mask.dtype == np.bool_
    assert batch.mask.any(axis=0).all(), "a sequence without a scored step"
    if task.input_kind == "tokens":
        assert batch.inputs.shape == (steps, count)
        assert batch.inputs.dtype.kind in "iu"
        assert batch.inputs.min() >= 0
        assert batch.inputs.max() < task.input_size
    else:
        assert batch.inputs.shape == (steps, count, task.input_size)
        assert batch.inputs.dtype == np.float64
    if task.target_kind == "classes":
        # Unscored targets too: a loss looks them up before it multiplies them with zero.
        assert batch.targets.shape == (steps, count)
        assert batch.targets.dtype.kind in "iu"
        assert batch.targets.min() >= 0
        assert batch.targets.max() < task.output_size
    else:
        assert batch.targets.shape == (steps, count, task.output_size)
        assert batch.targets.dtype == np.float64
        assert np.isfinite(batch.inputs).all()
        assert np.isfinite(batch.targets).all()
    if batch.allowed is not None:
        assert batch.allowed.shape == (steps, count, task.output_size)
        assert batch.allowed.dtype == np.bool_
        at_target = np.take_along_axis(batch.allowed, batch.targets[..., np.newaxis], axis=-1)[..., 0]
        assert at_target[batch.mask].all()


def test_batches_have_the_promised_shapes_dtypes_and_ranges(task, draw):
    for batch_size in (1, 2, 7):
        check(task, draw(task, batch_size, np.random.default_rng(0)), batch_size)
    check(task, task.evaluation(rng=np.random.default_rng(0)))
    # Every token and class occurs.
    batch = draw(task, 200, np.random.default_rng(0), steps=50)
    if task.input_kind == "tokens":
        assert set(np.unique(batch.inputs)) == set(range(task.input_size))
    if task.target_kind == "classes":
        asked = 2 if type(task).__name__ == "RandomPermutation" else task.output_size
        assert set(np.unique(batch.targets[batch.mask])) == set(range(asked))


def test_a_task_describes_itself(task):
    assert isinstance(task, EpisodeTask) != isinstance(task, StreamTask)
    assert task.input_kind in ("tokens", "values")
    assert task.target_kind in ("classes", "values")
    assert "step" in task.scored
    assert task.paper.strip()
    assert "paper" not in task.paper
    story = type(task).__doc__
    assert "::\n" in story, "a docstring without a trial"
    assert "Parameters" in story
    assert task.input_names is None or len(set(task.input_names)) == len(task.input_names) == task.input_size
    assert task.output_names is None or len(set(task.output_names)) == len(task.output_names) == task.output_size
    baseline = task.baseline
    assert np.isfinite(baseline.loss)
    assert baseline.loss > 0
    assert baseline.predictor.strip()
    if task.target_kind == "classes":
        assert 0 < baseline.accuracy < 1
    else:
        assert baseline.accuracy is None
    assert task.floor is None or 0 <= task.floor < task.baseline.loss
    assert (task.baseline.error is None) == (task.error_per is None)
    assert task.error_per in (None, "step", "sequence")
    assert task.baseline.error is None or 0 < task.baseline.error <= 1


def test_the_same_generator_state_draws_the_same_data_whatever_was_drawn_before(task, draw):
    before = task.evaluation(rng=np.random.default_rng(9))
    kept = [array.copy() for array in arrays(before)]
    first, second = (draw(task, 5, np.random.default_rng(3)) for _ in range(2))
    assert same(first, second)
    assert same(before, task.evaluation(rng=np.random.default_rng(9)))
    assert all(map(np.array_equal, kept, arrays(before)))


def test_successive_draws_and_other_seeds_differ(task, draw):
    if type(task).__name__ == "InfluenceBalancing":  # its one stream is always the same
        return
    rng = np.random.default_rng(3)
    if isinstance(task, EpisodeTask):
        first, second = task.sample(50, rng=rng), task.sample(50, rng=rng)
    else:
        place = task.begin(50, rng=rng)
        first, second = task.read(place, 12, rng=rng), task.read(place, 12, rng=rng)
    assert not np.array_equal(first.inputs, second.inputs)
    if type(task).__name__ != "Text":  # a text is read from its beginning, whatever the seed
        assert not same(draw(task, 50, np.random.default_rng(3)), draw(task, 50, np.random.default_rng(4)))


def test_what_is_drawn_for_several_networks_at_once_is_what_each_would_draw_alone(make_task):
    checked = set()
    for task in map(make_task, TASKS):
        if "sample_copies" not in vars(type(task)):
            continue
        together, alone = ([np.random.default_rng(seed) for seed in range(3)] for _ in range(2))
        for _ in range(2):  # the generators must go on alike, too
            batch = task.sample_copies(5, rngs=together)
            for copy, rng in enumerate(alone):
                assert same(batch.at((slice(None), copy)), task.sample(5, rng=rng))
        checked.add(type(task).__name__)
    assert checked >= {"LongLag", "Recall"}


def test_drawing_the_evaluation_set_leaves_the_training_data_alone_and_no_batch_an_earlier_one(task):
    def training(evaluate):
        rng, place, batches, kept = np.random.default_rng(8), None, [], []
        for _ in range(3):
            if isinstance(task, EpisodeTask):
                batches.append(task.sample(4, rng=rng))
            else:
                place = place or task.begin(4, rng=rng)
                batches.append(task.read(place, 6, rng=rng))
            kept.append([array.copy() for array in arrays(batches[-1])])
            if evaluate:
                task.evaluation(rng=np.random.default_rng(9))
        for batch, copies in zip(batches, kept, strict=True):
            assert all(map(np.array_equal, copies, arrays(batch)))
        return batches

    assert all(same(one, other) for one, other in zip(training(False), training(True), strict=True))


@pytest.mark.parametrize("task", STREAMS, indirect=True)
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


OTHER_UNITS = {"Text": "bits_per_character", "Sine": "nrmse", "MackeyGlass": "nrmse"}


def test_what_follows_from_the_numbers_of_an_evaluation(task):
    def report(**numbers):
        return SimpleNamespace(step=1, evaluation=SimpleNamespace(**numbers) if numbers else None)

    assert task.solved(report()) is None
    best = report(loss=task.floor or 0.0, accuracy=1.0, error=0.0, absolute_error=0.0)
    worst = report(loss=50.0, accuracy=0.0, error=1.0, absolute_error=50.0)
    expected = (True, False) if task.success else (None, None)
    assert (task.solved(best), task.solved(worst)) == expected
    # The loss in another unit where that is usual.
    further = task.further_metrics(np.log(2.0))
    name = OTHER_UNITS.get(type(task).__name__)
    assert list(further) == ([name] if name else [])
    if name == "nrmse":
        assert task.further_metrics(task.baseline.loss)["nrmse"] == pytest.approx(1.0, rel=1e-6)
    elif name:
        assert further == {name: 1.0}


def answers(task, batch):
    """Outputs of a predictor that knows the targets."""
    if task.target_kind == "values":
        return batch.targets.copy()
    return 30.0 * np.eye(task.output_size)[batch.targets]


def test_the_targets_themselves_are_not_wrong_and_others_are(task):
    batch = task.evaluation(rng=np.random.default_rng(0))
    if task.error_per is None:
        if task.target_kind == "values":
            with pytest.raises(NotImplementedError):
                task.wrong(batch.targets, batch)
        return
    right = answers(task, batch)
    assert task.wrong(right, batch).shape == batch.mask.shape
    assert not task.wrong(right, batch)[batch.mask].any()
    others = -right if task.target_kind == "classes" else 1.5 - 2.0 * right
    assert task.wrong(others, batch)[batch.mask].any()


def test_an_untrained_network_is_scored_by_the_tasks_rule(task):
    batch = task.evaluation(rng=np.random.default_rng(0))
    sizes = {"input_size": task.input_size, "output_size": task.output_size, "input_kind": task.input_kind}
    network = build_network(hidden_size=6, rng=np.random.default_rng(0), dtype="float64", **sizes)
    result = evaluate(network, batch, task.target_kind, task)
    assert np.isfinite(result.loss)
    assert (result.error is None) == (task.error_per is None)
    assert (result.accuracy is None) == (task.target_kind == "values")
    assert (result.absolute_error is None) == (task.target_kind == "classes")
    if task.error_per is not None:
        network.reset_state()
        missed = task.wrong(network.forward(batch.inputs), batch) & batch.mask
        per_step = missed.sum() / batch.mask.sum()
        expected = per_step if task.error_per == "step" else missed.any(axis=0).mean()
        assert result.error == pytest.approx(expected, abs=1e-15)


def test_a_trial_can_be_read(task, draw):
    batch = draw(task, 2, np.random.default_rng(0), steps=15)
    text = trial_text(task, batch, sequence=1, width=70)
    assert max(map(len, text.splitlines())) <= 70
    lines = [line for line in text.splitlines() if line.startswith("scored")]
    assert sum(line.count("^") for line in lines) == batch.mask[:, 1].sum()
    steps = [int(step) for line in text.splitlines() if line.startswith("step") for step in line.split()[1:]]
    assert steps == list(range(len(batch.mask)))


#: Those whose evaluation set has every sequence that there is.
WHOLE = ("memorization, 5 bits", "long lag, 2a", "influence")


def test_the_test_set_is_of_the_same_kind_as_the_evaluation_set_and_another_one(request, task):
    unseen, seen = task.test(rng=np.random.default_rng(1)), task.evaluation(rng=np.random.default_rng(0))
    check(task, unseen)
    assert unseen.same_as(task.test(rng=np.random.default_rng(1)))
    assert unseen.same_as(seen) == (request.node.callspec.params["task"] in WHOLE)
