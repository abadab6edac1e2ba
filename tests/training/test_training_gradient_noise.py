"""The gradients whose signal-to-noise ratio is measured are those that updates would take."""

import numpy as np
import pytest

from rnnexp.algorithms import RandomizedBPTT, Segment, TruncatedBPTT, training_gradients
from rnnexp.experiment import Experiment
from rnnexp.gradients import GradientStudy, signal_to_noise, windowed_gradient
from rnnexp.layers import build_network
from rnnexp.tasks import Batch, Echo, EpisodeTask, Recall, Sine, Text
from rnnexp.training import SGD, Constant, NoRegularizer, NormClipping, NoStopping, Streams, train

MEAN, SPREAD = np.array([0.4, -0.1]), np.array([1.0, 2.0])


class Noise(EpisodeTask):
    """Targets with a known mean and variance that nothing predicts."""

    input_kind = target_kind = "values"
    input_size, output_size, baseline, scored = 1, 2, None, "every step"

    def __init__(self):
        super().__init__(eval_sequences=3)

    def sample(self, batch_size, *, rng):
        targets = MEAN + SPREAD * rng.standard_normal((1, batch_size, 2))
        return Batch(np.ones((1, batch_size, 1)), targets, np.ones((1, batch_size), bool))


def network_for(task, seed=0):
    return build_network(
        hidden_size=5,
        output_size=task.output_size,
        input_size=task.input_size,
        input_kind=task.input_kind,
        embedding_dim=3,
        rng=np.random.default_rng(seed),
        dtype=np.float64,
    )


def gradients_of(task, algorithm, *, network=None, count=4, seed=3, run_in=20, batch_size=4):
    rng = np.random.default_rng(seed)
    network = network or network_for(task)
    size = {"batch_size": batch_size, "count": count, "run_in": run_in}
    return list(training_gradients(network, task, algorithm, rng=rng, **size))


@pytest.mark.parametrize("batch_size", [1, 16])
def test_the_ratio_of_a_task_whose_gradient_has_a_known_mean_and_variance(batch_size):
    # Outputs are 0, and only their bias is trained: dL/db is the mean over the batch of b - y, so that its mean is
    # -E y, and its variance Var y / N.
    task = Noise()
    network = network_for(task)
    network.parameters.vector[...] = 0.0
    found = signal_to_noise(gradients_of(task, TruncatedBPTT(None), network=network, count=4000, batch_size=batch_size))
    signal, noise = np.sum(MEAN**2), np.sum(SPREAD**2) / batch_size
    assert found.noise == pytest.approx(noise, rel=0.1)
    assert found.ratio == pytest.approx(signal / noise, rel=0.25 if batch_size == 1 else 0.1)


class SameCuts(RandomizedBPTT):
    """Randomized windows that are all drawn alike."""

    def segment(self, *, rng):
        return Segment(4, 4, [1.0, 1.2, 1.3, 1.1])


@pytest.mark.parametrize("algorithm", [TruncatedBPTT(4), TruncatedBPTT(7, 2), TruncatedBPTT(30, 5), SameCuts(3)])
@pytest.mark.parametrize("task", [Echo(lag=3), Sine()], ids=["bits", "values"])
def test_of_a_stream_it_is_the_gradient_that_an_update_takes(algorithm, task):
    run_in = 40
    (found,) = gradients_of(task, algorithm, count=1, run_in=run_in)
    network = network_for(task)
    settings = {"optimizer": SGD(1e-300), "steps": 99, "batch_size": 4, "algorithm": algorithm}
    trainer = train(network, task, rng=np.random.default_rng(3), **settings).trainer
    while trainer.data.position <= run_in:
        trainer.update()
    np.testing.assert_allclose(found, network.parameters.gradient, rtol=1e-12, atol=1e-15)
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("algorithm", [TruncatedBPTT(None), TruncatedBPTT(4, 3), SameCuts(3)])
def test_of_episodes_it_is_that_of_the_whole_batch_in_windows(algorithm):
    task, rng = Recall(lag=6), np.random.default_rng(3)
    for found in gradients_of(task, algorithm):
        batch = task.sample(4, rng=rng)
        windows = algorithm.windows(len(batch.inputs), rng=rng)
        expected = windowed_gradient(network_for(task), batch, "classes", windows)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_streams_of_a_file_are_read_on(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question. " * 60)
    task = Text(path=str(path))
    gradients = gradients_of(task, TruncatedBPTT(5), count=6)
    assert len({gradient.tobytes() for gradient in gradients}) == 6


class Sparse(Echo):
    """Streams that score one step in 30."""

    def read(self, place, steps, *, rng):
        seen = int(place.arrays["seen"][0])
        batch = super().read(place, steps, rng=rng)
        scored = (seen + np.arange(steps)) % 30 == 29
        return Batch(batch.inputs, batch.targets, batch.mask & scored[:, np.newaxis])


def test_windows_without_a_scored_step_make_no_update():
    gradients = gradients_of(Sparse(lag=2), TruncatedBPTT(4), count=5)
    assert len(gradients) == 5
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def an_experiment(task, **study):
    streams = Streams(0)
    return Experiment(
        network=network_for(task),
        task=task,
        held_out=task.evaluation(rng=streams.evaluation),
        algorithm=RandomizedBPTT(4),
        optimizer=SGD(0.1),
        schedule=Constant(),
        clipping=NormClipping(1.0),
        regularizer=NoRegularizer(),
        study=GradientStudy(every=4, sequences=3, **study) if study else None,
        batch_size=3,
        steps=12,
        eval_every=5,
        data=streams.data,
        sampling=streams.sampling,
        batches=streams.batches,
        test=streams.test,
        stopping=NoStopping(),
    )


@pytest.mark.parametrize("make", [lambda: Echo(lag=3), lambda: Recall(lag=5)], ids=["stream", "episodes"])
def test_measuring_leaves_training_as_it_is(make):
    def numbers(**study):
        return [(report.train_loss, report.grad_norm) for report in an_experiment(make(), **study).reports()]

    assert numbers(snr_batches=3) == numbers(snr_batches=0, staleness_steps=0) == numbers()


def test_every_study_sees_the_same_batches():
    experiment = an_experiment(Echo(lag=3), snr_batches=3)
    look = experiment.look(experiment.study)
    assert look(experiment.network).snr == look(experiment.network).snr
