"""Whole trainings, small enough for seconds."""

import pytest

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.layers import build_network
from rnnexp.tasks import Adding, Echo, Recall
from rnnexp.training import Adam, NormClipping, Streams, train


@pytest.fixture
def learn():
    """The first and the last evaluation of a training."""

    def trained(task, algorithm, steps, *, seed=0, hidden_size=10, learning_rate=0.01):
        streams = Streams(seed)
        network = build_network(
            hidden_size=hidden_size,
            embedding_dim=5,
            output_size=task.output_size,
            input_size=task.input_size,
            input_kind=task.input_kind,
            rng=streams.init,
        )
        reports = list(
            train(
                network,
                task,
                optimizer=Adam(learning_rate),
                steps=steps,
                rng=streams.data,
                algorithm=algorithm,
                clipping=NormClipping(1.0),
                evaluate_on=task.evaluation(rng=streams.evaluation),
                eval_every=steps,
            )
        )
        return reports[0].evaluation, reports[-1].evaluation

    return trained


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("algorithm", [(10, 5), (8, 1), (10, 10)])
def test_echo_is_learnt_when_the_gradient_reaches_the_bit(learn, algorithm, seed):
    before, after = learn(Echo(lag=3), TruncatedBPTT(*algorithm), 500, seed=seed)
    assert before.loss > 0.6
    assert after.loss < 0.1
    assert after.accuracy > 0.97


@pytest.mark.parametrize("seed", [0, 1])
def test_echo_stays_a_coin_flip_in_windows_that_end_before_the_bit(learn, seed):
    # Shorter windows still may read the bit from the random states that carry it; these three steps do not help.
    task = Echo(lag=3)
    _, after = learn(task, TruncatedBPTT(3), 500, seed=seed)
    assert after.loss > 0.95 * task.baseline.loss


@pytest.mark.parametrize("seed", [0, 1])
def test_recall_is_learnt_over_whole_episodes(learn, seed):
    task = Recall(3, lag=5)
    before, after = learn(task, TruncatedBPTT(None), 600, seed=seed)
    assert before.loss > 0.9 * task.baseline.loss
    assert after.loss < 0.1 * task.baseline.loss
    assert after.accuracy > 0.97


def test_adding_two_numbers_beats_the_mean(learn):
    task = Adding(length=4)
    _, after = learn(task, TruncatedBPTT(None), 800, hidden_size=16)
    assert after.loss < 0.1 * task.baseline.loss
