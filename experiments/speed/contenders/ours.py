"""rnnexp: what `rnnexp.training.train` runs for each update, its report included."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from shapes import LEARNING_RATE, Shape, data

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.layers import Network, TimeGRU, TimeLSTM, TimeRNN, build_network, to_state_dict
from rnnexp.tasks import Baseline, Batch, EpisodeTask
from rnnexp.training import SGD, Constant, NoClipping, NoRegularizer
from rnnexp.training.trainer import Trainer

CELLS = {"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM}


class Prepared(EpisodeTask):
    """The same batch, whenever one is asked for."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(eval_sequences=shape.N)
        self.input_kind, self.target_kind = ("tokens", "classes") if shape.tokens else ("values", "values")
        self.input_size, self.output_size = shape.O if shape.tokens else shape.D, shape.O
        self.batch = Batch(*data(shape), np.ones((shape.T, shape.N), bool))

    @property
    def baseline(self) -> Baseline:
        """There is none: nothing is evaluated here."""
        raise NotImplementedError

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """The batch."""
        return self.batch


def network(cell: str, shape: Shape) -> Network:
    """The network whose weights all contenders start from."""
    return build_network(
        hidden_size=shape.H,
        output_size=shape.O,
        input_size=shape.O if shape.tokens else shape.D,
        input_kind="tokens" if shape.tokens else "values",
        embedding_dim=shape.D if shape.tokens else None,
        cell=CELLS[cell],
        rng=np.random.default_rng(0),
    )


def save(cell: str, shape: Shape, path: Path) -> None:
    """Write the first weights under our names, and under those of a PyTorch module too."""
    first = network(cell, shape)
    np.savez(path, **first.parameters.values, **to_state_dict(first))


def make(cell: str, shape: Shape, weights: dict[str, np.ndarray]) -> Callable[[], float]:
    """A step of `Trainer.update`."""
    trainer = Trainer(
        network(cell, shape),
        Prepared(shape),
        optimizer=SGD(LEARNING_RATE),
        steps=1_000_000,
        rng=np.random.default_rng(2),
        algorithm=TruncatedBPTT(None),
        clipping=NoClipping(),
        regularizer=NoRegularizer(),
        schedule=Constant(),
        batch_size=shape.N,
    )

    def step() -> float:
        loss = trainer.update().train_loss
        assert loss is not None
        return loss

    return step
