"""The networks that training is checked on, and gradients of them by other ways than training takes."""

from dataclasses import fields
from itertools import product

import numpy as np
import pytest

from rnnexp.gradients import Window
from rnnexp.layers import CRITERIA, Initializers, Network, Normal, Parameters, TimeGRU, TimeLSTM, TimeRNN
from rnnexp.training import train

CELLS = {
    "rnn": {"cell": TimeRNN},
    "gru": {"cell": TimeGRU},
    "lstm": {"cell": TimeLSTM},
    "two layers": {"num_layers": 2, "learn_initial_state": True, "init": Initializers(state=Normal(0.5))},
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def trained(network, task, optimizer, steps, *, seed=1, batch_size=3, **settings):
    """The reports of all updates; the one before the first is left out."""
    rng = np.random.default_rng(seed)
    return list(train(network, task, optimizer=optimizer, steps=steps, rng=rng, batch_size=batch_size, **settings))[1:]


def same(one, other):
    """Whether two values are the same to the last bit, NaN included."""
    if isinstance(one, np.ndarray):
        return one.tobytes() == np.asarray(other).tobytes()
    if isinstance(one, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one) if field.compare)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def step_losses(network, batch, target_kind):
    """Loss of every step, the mean over the sequences, by one forward pass over all steps."""
    outputs = network.replica().forward(batch.inputs).copy()
    return [
        float(CRITERIA[target_kind]().forward(outputs[[t]], batch.targets[[t]], batch.mask[[t]]))
        for t in range(len(outputs))
    ]


def complex_step_gradient(network, batch, target_kind):
    """Gradient of the mean loss over the scored steps, without a backward pass."""
    gradient, step = np.empty_like(network.parameters.vector), 1e-30
    for index in range(len(gradient)):
        vector = network.parameters.vector.astype(complex)
        vector[index] += 1j * step
        shifted = Network(Parameters(network.parameters.shapes, dtype=complex, vector=vector), network.design)
        loss = CRITERIA[target_kind]().forward(shifted.forward(batch.inputs), batch.targets, batch.mask)
        gradient[index] = loss.imag / step
    return gradient


def by_name(network, vector):
    """A vector of all parameters as named arrays."""
    return Parameters(network.parameters.shapes, dtype=vector.dtype, vector=vector).values


class Scripted(np.random.Generator):
    """In place of a generator: cuts where `cuts` says so, whatever the probability, and always after its end."""

    def __init__(self, cuts):
        super().__init__(np.random.PCG64(0))
        self.cuts = list(cuts)

    def random(self):
        return 0.0 if not self.cuts or self.cuts.pop(0) else np.nextafter(1.0, 0.0)


def hazard(since, length, alpha):
    """Probability of a cut `since` steps after the last one: section 5 of Tallec & Ollivier."""
    return (alpha - 1.0) / ((alpha - 2.0) * length + since)


def all_cut_patterns(steps, length, alpha):
    """Every way to cut a sequence: after which steps, the windows, and how probable it is."""
    for cuts in product([False, True], repeat=steps - 1):
        windows, probability, start, step_weights = [], 1.0, 0, [1.0]
        for end, cut in enumerate(cuts, start=1):
            chance = hazard(end - start, length, alpha)
            probability *= chance if cut else 1.0 - chance
            if cut:
                windows.append(Window(start, start, end, step_weights))
                start, step_weights = end, [1.0]
            else:
                step_weights.append(1.0 / (1.0 - chance))
        yield cuts, [*windows, Window(start, start, steps, step_weights)], probability
