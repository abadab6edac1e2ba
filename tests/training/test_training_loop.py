"""What `train` reports, when, and how it ends."""

import numpy as np
import pytest

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.checks import InvalidValue
from rnnexp.tasks import Adding, Baseline, Batch, Echo, Place, Recall, StreamTask
from rnnexp.training import SGD, Adam, Evaluation, NormClipping, evaluate, train


@pytest.fixture
def task():
    return Recall(3, lag=2, eval_sequences=20)


@pytest.fixture
def started(network_for):
    """A training run that was prepared but not begun."""

    def start(task, *, network=None, optimizer=None, seed=0, **settings):
        return train(
            network or network_for(task),
            task,
            optimizer=optimizer or SGD(0.1),
            rng=np.random.default_rng(seed),
            **{"steps": 6, "batch_size": 4, **settings},
        )

    return start


def held_out(task):
    return task.evaluation(rng=np.random.default_rng(99))


def test_step_zero_comes_first_and_tells_of_the_untrained_network(task, network_for, started):
    network = network_for(task)
    before = network.parameters.vector.copy()
    first = next(started(task, network=network, evaluate_on=held_out(task)))
    assert first.step == 0
    assert first.train_loss is None
    assert first.grad_norm is None
    assert not first.clipped
    assert not first.diverged
    assert first.evaluation == evaluate(network_for(task), held_out(task), "classes", task)
    assert np.array_equal(network.parameters.vector, before)


def test_every_update_is_reported_once_and_in_order(task, started):
    reports = list(started(task, steps=7))
    assert [report.step for report in reports] == list(range(8))
    assert all(np.isfinite([report.train_loss, report.grad_norm]).all() for report in reports[1:])
    assert all(type(report.train_loss) is type(report.grad_norm) is float for report in reports[1:])


def test_updates_are_made_only_as_reports_are_asked_for(task, started, network_for):
    network = network_for(task)
    reports = started(task, network=network)
    next(reports)
    next(reports)
    after_one = network.parameters.vector.copy()
    next(reports)
    assert not np.array_equal(network.parameters.vector, after_one)


DUE = [
    (7, 3, [0, 3, 6, 7]),
    (6, 3, [0, 3, 6]),
    (5, 1, [0, 1, 2, 3, 4, 5]),
    (5, 100, [0, 5]),
]


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [*DUE, (5, None, [0, 5]), (45, None, [*range(0, 45, 5), 45]), (220, None, [*range(0, 220, 11), 220])],
)
def test_evaluations_come_at_the_start_when_due_and_at_the_end(task, started, steps, every, expected):
    reports = list(started(task, steps=steps, eval_every=every, evaluate_on=held_out(task)))
    assert [report.step for report in reports if report.evaluation is not None] == expected
    assert all(isinstance(report.evaluation, Evaluation | None) for report in reports)


@pytest.mark.parametrize(("steps", "every", "expected"), [*DUE, (45, None, [0, 45]), (250, None, [0, 100, 200, 250])])
def test_studies_come_at_the_start_when_due_and_at_the_end(task, started, steps, every, expected):
    reports = list(started(task, steps=steps, study_every=every, study=lambda _: "seen"))
    assert [report.step for report in reports if report.study == "seen"] == expected
    assert all(report.evaluation is None for report in reports), "nothing was held out"


def test_evaluations_and_studies_keep_their_own_time(task, started):
    settings = {"eval_every": 2, "study_every": 3, "evaluate_on": held_out(task), "study": lambda _: "seen"}
    reports = list(started(task, steps=7, **settings))
    assert [report.step for report in reports if report.evaluation is not None] == [0, 2, 4, 6, 7]
    assert [report.step for report in reports if report.study is not None] == [0, 3, 6, 7]


def test_an_evaluation_is_of_the_weights_after_the_update(task, network_for, started):
    network, data = network_for(task), held_out(task)
    for report in started(task, network=network, evaluate_on=data, eval_every=1):
        assert report.evaluation == evaluate(network.replica(), data, "classes", task)


def test_the_loss_is_of_the_weights_before_the_update(task, network_for, started, recording, reference):
    task, drawn = recording(task)
    network = network_for(task)
    expected, reports = [], started(task, network=network, optimizer=SGD(0.5))
    next(reports)
    for _ in range(4):
        own = reference(network)
        report = next(reports)
        expected.append((report.train_loss, own.mean_loss(drawn[-1])))
    measured, own_losses = zip(*expected, strict=True)
    np.testing.assert_allclose(measured, own_losses, rtol=1e-12)


def test_sgd_moves_the_weights_against_the_episodes_gradient(task, network_for, started, recording, reference):
    task, drawn = recording(task)
    network = network_for(task)
    own = reference(network)
    reports = started(task, network=network, optimizer=SGD(0.5))
    next(reports)
    report = next(reports)
    gradient = own.complex_step_gradient(drawn[0])
    np.testing.assert_allclose(network.parameters.vector, own.vector - 0.5 * gradient, rtol=1e-10, atol=1e-13)
    assert report.grad_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-10)


def test_the_reported_norm_is_from_before_clipping(task, network_for, started):
    norms = [report.grad_norm for report in started(task, steps=1)][1:]
    network = network_for(task)
    before = network.parameters.vector.copy()
    *_, report = started(task, network=network, optimizer=SGD(0.5), steps=1, clipping=NormClipping(0.01))
    assert report.grad_norm == norms[0] > 0.01
    assert report.clipped is True
    assert report.clipped_norm == pytest.approx(0.01, rel=1e-12)
    assert np.linalg.norm(network.parameters.vector - before) == pytest.approx(0.5 * 0.01, rel=1e-10)


def test_a_threshold_that_is_never_reached_changes_nothing(task, network_for, started):
    weights = []
    for clipping in (None, NormClipping(1e6)):
        network = network_for(task)
        for report in started(task, network=network, clipping=clipping):
            assert not report.clipped
            assert report.clipped_norm == report.grad_norm
        weights.append(network.parameters.vector)
    assert np.array_equal(*weights)


@pytest.mark.parametrize("study", [None, lambda network: evaluate(network, held_out(Echo(lag=7)), "classes")])
def test_evaluations_and_studies_do_not_touch_the_training(network_for, started, study):
    runs = []
    for settings in ({}, {"evaluate_on": held_out(Echo()), "eval_every": 1, "study": study, "study_every": 1}):
        task = Echo(lag=2)
        network = network_for(task)
        reports = list(started(task, network=network, algorithm=TruncatedBPTT(5, 2), optimizer=Adam(0.01), **settings))
        runs.append(([(report.train_loss, report.grad_norm) for report in reports], network.parameters.vector))
    assert runs[0][0] == runs[1][0]
    assert np.array_equal(runs[0][1], runs[1][1])


def test_the_study_is_given_a_replica_with_the_present_weights(task, network_for, started):
    network, seen = network_for(task), []

    def study(given):
        assert given is not network
        assert np.array_equal(given.parameters.vector, network.parameters.vector)
        given.parameters.gradient[...] = np.nan
        seen.append(given.parameters.vector.copy())
        return len(seen)

    reports = list(started(task, network=network, study=study, steps=3, study_every=1))
    assert [report.study for report in reports] == [1, 2, 3, 4]
    assert not np.array_equal(seen[0], seen[-1])


def test_real_valued_held_out_data_comes_in_the_networks_dtype(network_for, started):
    task = Adding(length=5, eval_sequences=10)
    network = network_for(task, dtype=np.float32)
    *_, last = started(task, network=network, evaluate_on=held_out(task))
    assert last.evaluation.accuracy is None
    assert last.evaluation == evaluate(network.replica(), held_out(task).cast(np.float32), "values")
    assert network.parameters.vector.dtype == np.float32


def test_a_studied_update_tells_how_far_each_parameter_moved(task, network_for, started):
    network, ratios = network_for(task), []
    before = {name: value.copy() for name, value in network.parameters.values.items()}
    for report in started(task, network=network, steps=4, study=lambda _: None, study_every=2):
        ratios.append(report.update_ratios)
        if report.step == 2:
            for name, value in network.parameters.values.items():
                moved = np.linalg.norm(value - before[name]) / np.linalg.norm(before[name])
                assert ratios[2][name] == pytest.approx(moved, rel=1e-12, nan_ok=True), name
        before = {name: value.copy() for name, value in network.parameters.values.items()}
    assert [given is not None for given in ratios] == [False, False, True, False, True]
    assert list(ratios[2]) == list(before)


class NoisyEcho(StreamTask):
    """A stream of real values: say the last one again."""

    input_kind = target_kind = "values"
    input_size = output_size = 1
    scored, baseline = "every step", Baseline(1.0, None, "always 0")

    def begin(self, batch_size, *, rng):
        return Place({"last": np.zeros((1, batch_size, 1))})

    def read(self, place, steps, *, rng):
        last = place.arrays["last"]
        values = np.concatenate([last, rng.standard_normal((steps, *last.shape[1:]))])
        last[...] = values[-1:]
        return Batch(values[1:], values[:-1], np.ones((steps, last.shape[1]), bool))

    def evaluation(self, *, rng):
        return self.read(self.begin(3, rng=rng), 10, rng=rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("task", [Adding(length=5), NoisyEcho()], ids=["episodes", "stream"])
def test_the_network_is_given_real_values_in_its_own_dtype(network_for, started, task, dtype):
    network, seen = network_for(task, dtype=dtype), set()
    forward = network.forward

    def watched(inputs, **settings):
        outputs = forward(inputs, **settings)
        seen.update((inputs.dtype, outputs.dtype))
        return outputs

    network.forward = watched
    list(started(task, network=network, algorithm=TruncatedBPTT(4, 2)))
    assert seen == {np.dtype(dtype)}


class Counting(SGD):
    updates = 0

    def update(self, vector, gradient):
        self.updates += 1
        super().update(vector, gradient)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_training_that_diverges_stops_with_a_report_and_without_a_warning(network_for, started, dtype):
    task = Adding(length=10)
    optimizer = Counting(1e30 if dtype is np.float32 else 1e300)
    network = network_for(task, dtype=dtype)
    reports = list(started(task, network=network, optimizer=optimizer, steps=50, eval_every=1000))
    assert [report.diverged for report in reports] == [False] * (len(reports) - 1) + [True]
    assert len(reports) < 10
    last = reports[-1]
    assert not np.isfinite([last.train_loss, last.grad_norm]).all()
    assert last.evaluation is None
    assert optimizer.updates == last.step - 1, "the update that diverged was made"


@pytest.mark.parametrize("learning_rate", [1e38, 1e39])
def test_a_classifier_whose_weights_overflow_stops_too(task, network_for, started, learning_rate):
    network = network_for(task, dtype=np.float32)
    *others, last = started(
        task, network=network, optimizer=SGD(learning_rate), steps=50, eval_every=1, evaluate_on=held_out(task)
    )
    assert last.diverged
    assert len(others) < 10
    assert not any(report.diverged for report in others)


def test_an_evaluation_that_is_not_finite_ends_the_training_before_the_first_update(task, network_for, started):
    network, optimizer = network_for(task), Counting(0.1)
    network.parameters.values["output.b"][0] = np.nan
    (report,) = started(task, network=network, optimizer=optimizer, evaluate_on=held_out(task))
    assert report.step == 0
    assert report.diverged
    assert np.isnan(report.evaluation.loss)
    assert optimizer.updates == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 0),
        ("steps", 10.0),
        ("batch_size", 0),
        ("batch_size", True),
        ("eval_every", 0),
        ("eval_every", -1),
        ("study_every", 0),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_the_call(task, started, key, value):
    with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= 1, got "):
        started(task, **{key: value})


def test_a_stream_without_a_window_is_refused_at_the_call(started):
    for settings in ({}, {"algorithm": TruncatedBPTT(None)}, {"algorithm": TruncatedBPTT(None, 5)}):
        with pytest.raises(InvalidValue, match=r"^bptt_length must be a whole number >= 1 for this task, got null"):
            started(Echo(), **settings)
