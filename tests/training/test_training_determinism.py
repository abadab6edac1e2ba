"""The same seed gives the same run, and what one stream of random numbers draws is no other's business."""

import numpy as np
import pytest

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.checks import InvalidValue
from rnnexp.layers import build_network
from rnnexp.tasks import Adding, Echo, Recall, Text
from rnnexp.training import Adam, Constant, NoClipping, NoRegularizer, Streams, train
from rnnexp.training.loop import Trainer

TASKS = {
    "recall": lambda: Recall(3, lag=4),
    "adding": lambda: Adding(length=6),
    "echo": lambda: Echo(lag=3),
    "text": Text,
}


@pytest.fixture
def run(recording):
    """A short run from a seed: losses, final weights, training batches, and the evaluation set."""

    def made(name, *, seed=0, hidden_size=4, algorithm=(4, 2), dtype=np.float32, updates=8, **settings):
        streams = Streams(seed)
        task, drawn = recording(TASKS[name]())
        network = build_network(
            hidden_size=hidden_size,
            embedding_dim=3,
            output_size=task.output_size,
            input_size=task.input_size,
            input_kind=task.input_kind,
            rng=streams.init,
            dtype=dtype,
        )
        held_out = task.evaluation(rng=streams.evaluation).sequences(4)
        drawn.clear()
        reports = train(
            network,
            task,
            optimizer=Adam(0.01),
            steps=updates,
            rng=streams.data,
            algorithm=TruncatedBPTT(*algorithm),
            evaluate_on=held_out,
            **{"batch_size": 4, **settings},
        )
        losses = [(report.train_loss, report.grad_norm, report.evaluation) for report in reports]
        return losses, network.parameters.vector, drawn, held_out

    return made


def together(batches):
    """The training data one after the other, as far as they were read."""
    return np.concatenate([batch.inputs for batch in batches])


def assert_same_data(one, other):
    first, second = together(one), together(other)
    shorter = min(len(first), len(second))
    assert shorter >= 8
    assert np.array_equal(first[:shorter], second[:shorter])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_losses_and_weights_to_the_last_bit(run, name, dtype):
    first, second = run(name, dtype=dtype), run(name, dtype=dtype)
    assert first[0] == second[0]
    assert first[1].tobytes() == second[1].tobytes()
    assert first[1].dtype == dtype


@pytest.mark.parametrize("name", TASKS)
def test_another_seed_gives_other_losses_and_weights(run, name):
    first, second = run(name, seed=0), run(name, seed=1)
    assert all(one != other for one, other in zip(first[0], second[0], strict=True))
    assert not np.array_equal(first[1], second[1])


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "change", [{"hidden_size": 9}, {"algorithm": (7, 3)}, {"dtype": np.float64}, {"eval_every": 1}]
)
def test_the_data_do_not_depend_on_the_network_or_the_windows(run, name, change):
    _, _, drawn, held_out = run(name, updates=16)
    _, _, drawn_after, held_out_after = run(name, updates=16, **change)
    assert_same_data(drawn, drawn_after)
    assert np.array_equal(held_out.inputs, held_out_after.inputs)
    assert np.array_equal(held_out.targets, held_out_after.targets)


@pytest.mark.parametrize("name", ["recall", "adding", "echo"])
def test_training_and_evaluation_data_differ(run, name):
    _, _, drawn, held_out = run(name)
    shorter = min(len(drawn[0].inputs), len(held_out.inputs))
    assert not np.array_equal(drawn[0].inputs[:shorter], held_out.inputs[:shorter])


def test_streams_are_independent_of_what_the_others_were_asked_for():
    names = ("init", "data", "evaluation", "sampling")
    for name in names:
        alone, disturbed = Streams(7), Streams(7)
        for other in names:
            if other != name:
                getattr(disturbed, other).random(1000)
        assert np.array_equal(getattr(alone, name).random(50), getattr(disturbed, name).random(50))


def test_the_four_streams_and_neighbouring_seeds_draw_different_numbers():
    drawn = [
        getattr(Streams(seed), name).random(4).tobytes()
        for seed in range(5)
        for name in ("init", "data", "evaluation", "sampling")
    ]
    assert len(set(drawn)) == 20


def test_the_same_seed_gives_the_same_streams():
    for name in ("init", "data", "evaluation", "sampling"):
        assert np.array_equal(getattr(Streams(3), name).random(9), getattr(Streams(3), name).random(9))


@pytest.mark.parametrize("seed", [-1, 1.0, "0", None, True])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(InvalidValue, match=r"^seed must be a whole number >= 0, got "):
        Streams(seed)


def test_numpy_integers_and_large_seeds_are_seeds():
    assert Streams(np.int64(5)).data.random() == Streams(5).data.random()
    assert Streams(2**100).data.random() != Streams(2**100 + 1).data.random()


def test_a_trainer_counts_its_updates(network_for, frozen):
    task = Recall(3, lag=3)
    trainer = Trainer(
        network_for(task),
        task,
        optimizer=frozen(),
        steps=3,
        rng=np.random.default_rng(0),
        algorithm=TruncatedBPTT(2),
        clipping=NoClipping(),
        regularizer=NoRegularizer(),
        schedule=Constant(),
        batch_size=3,
    )
    assert trainer.step == 0
    assert [trainer.update().step for _ in range(3)] == [1, 2, 3]
    assert trainer.step == 3


def test_the_test_data_are_one_stream_more_and_change_no_other():
    streams, children = Streams(11), np.random.SeedSequence(11).spawn(4)
    for name, child in zip(("init", "data", "evaluation", "sampling"), children, strict=True):
        assert np.array_equal(getattr(streams, name).random(9), np.random.default_rng(child).random(9))
    assert not np.array_equal(Streams(11).test.random(9), Streams(11).evaluation.random(9))
    alone, disturbed = Streams(11), Streams(11)
    disturbed.evaluation.random(1000)
    assert np.array_equal(alone.test.random(9), disturbed.test.random(9))
