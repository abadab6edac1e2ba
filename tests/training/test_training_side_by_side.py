"""Episodes drawn for many networks at once are those that each draws alone."""

import numpy as np
import pytest

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.layers import build_network
from rnnexp.tasks import Batch, Parity, Recall
from rnnexp.training import SGD, Constant, NoClipping, NoRegularizer
from rnnexp.training.stacked_data import Joined, draw_episodes
from rnnexp.training.trainer import Trainer


def trainers(task, length, count=3):
    return [
        Trainer(
            build_network(
                hidden_size=4,
                output_size=task.output_size,
                input_size=task.input_size,
                rng=np.random.default_rng(seed),
            ),
            task,
            optimizer=SGD(0.1),
            steps=100,
            rng=np.random.default_rng(seed),
            algorithm=TruncatedBPTT(length),
            clipping=NoClipping(),
            regularizer=NoRegularizer(),
            schedule=Constant(),
            batch_size=2,
        )
        for seed in range(count)
    ]


@pytest.mark.parametrize("length", [None, 6, 9])
def test_whole_episodes_are_those_that_each_draws_alone_and_leave_the_same_state(length):
    together, alone = trainers(Recall(lag=5), length), trainers(Recall(lag=5), length)
    for _ in range(3):
        joined, each = draw_episodes(together), Joined.of([trainer.draw() for trainer in alone])
        for name in ("inputs", "targets", "mask"):
            assert np.array_equal(getattr(joined, name), getattr(each, name)), name
        assert np.array_equal(joined.scored, each.scored)
        assert joined.first.fresh
        for one, other in zip(together, alone, strict=True):
            assert str(one.data.state()) == str(other.data.state())


def test_episodes_that_are_read_in_pieces_are_handed_to_the_trainers():
    together, alone = trainers(Recall(lag=5), 4), trainers(Recall(lag=5), 4)
    for _ in range(5):
        assert draw_episodes(together) is None
        for one, other in zip(together, alone, strict=True):
            mine, expected = one.draw(), other.draw()
            assert np.array_equal(mine.chunk.inputs, expected.chunk.inputs)
            assert mine.fresh == expected.fresh


class Backwards(Recall):
    """Overrides the one draw alone: the other is not its own."""

    def sample(self, batch_size, *, rng):
        batch = super().sample(batch_size, rng=rng)
        return Batch(batch.inputs[::-1], batch.targets, batch.mask)


@pytest.mark.parametrize("task", [Parity(length=5), Backwards(lag=5)])
def test_a_task_that_can_not_is_left_alone(task):
    some = trainers(task, None)
    before = [trainer.data.rng.bit_generator.state for trainer in some]
    assert draw_episodes(some) is None
    assert [trainer.data.rng.bit_generator.state for trainer in some] == before
