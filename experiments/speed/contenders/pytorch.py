"""PyTorch, as its users write it: `nn.Embedding`, `nn.RNN` (or GRU, LSTM), `nn.Linear`, autograd, `optim.SGD`."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from shapes import LEARNING_RATE, Shape, data
from torch import nn
from torch.nn import functional

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
VERSION = f"PyTorch {torch.__version__}"


class Model(nn.Module):
    """The network, time first."""

    def __init__(self, cell: str, shape: Shape) -> None:
        super().__init__()
        if shape.tokens:
            self.embedding = nn.Embedding(shape.O, shape.D)
        self.rnn = CELLS[cell](shape.D, shape.H)
        self.output = nn.Linear(shape.H, shape.O)
        self.tokens = shape.tokens

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Tokens (T, N) or values (T, N, D) to outputs (T, N, O)."""
        return self.output(self.rnn(self.embedding(inputs) if self.tokens else inputs)[0])


def make(cell: str, shape: Shape, weights: dict[str, NDArray[Any]], *, compiled: bool = False) -> Callable[[], float]:
    """A step, the forward pass and loss compiled if asked for."""
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    model = Model(cell, shape)
    model.load_state_dict({key: torch.from_numpy(np.array(weights[key])) for key in model.state_dict()})
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    inputs, targets = (torch.from_numpy(array) for array in data(shape))

    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        outputs = model(inputs)
        if shape.tokens:
            return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
        return functional.mse_loss(outputs, targets)

    forward = torch.compile(loss_of) if compiled else loss_of

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(inputs, targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    second = model.rnn.bias_hh_l0
    shared = 2 * shape.H if cell == "gru" else len(second)
    start = second.detach()[:shared].clone()

    def between() -> None:
        # PyTorch trains two biases where rnnexp has one, which is twice the step: the second one's is taken back.
        second.detach()[:shared] = start

    step.between = between  # type: ignore[attr-defined]
    return step
