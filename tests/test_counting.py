"""Parameters are counted as networks have them, and the size that comes nearest to a number is the nearest."""

from itertools import product

import numpy as np
import pytest

from rnnexp.counting import nearest_size, parameter_count
from rnnexp.layers import TimeGRU, TimeLSTM, TimeRNN, build_network

CELLS = [TimeRNN, TimeGRU, TimeLSTM]


@pytest.mark.parametrize(("cell", "layers", "learned"), list(product(CELLS, [1, 3], [False, True])))
@pytest.mark.parametrize(
    ("kind", "embedding", "last"),
    [("tokens", 6, {"tie": True}), ("tokens", None, {}), ("values", 4, {"shortcut": True})],
)
def test_the_count_is_that_of_the_network(cell, layers, learned, kind, embedding, last):
    sizes = {"num_layers": layers, "learn_initial_state": learned, "embedding_dim": embedding, **last}
    network = build_network(
        hidden_size=6, input_size=7, output_size=7, input_kind=kind, cell=cell, rng=np.random.default_rng(0), **sizes
    )
    more = {"embedding": embedding, "layers": layers, "learn_initial_state": learned, **last}
    assert parameter_count(cell, 6, inputs=7, outputs=7, **more) == network.parameters.vector.size


@pytest.mark.parametrize("cell", CELLS)
def test_the_nearest_size_is_the_nearest(cell):
    def count(size):
        return parameter_count(cell, size, inputs=3, outputs=2, embedding=5, layers=2)

    counts = [count(size) for size in range(1, 60)]
    for wanted in [*range(1, 500, 7), *counts[:50], *(number + 1 for number in counts[:50]), 5000]:
        off = [abs(number - wanted) for number in counts]
        assert nearest_size(count, wanted) == 1 + off.index(min(off))


def test_of_two_sizes_that_come_as_near_the_smaller_is_taken():
    assert nearest_size(lambda size: 10 * size, 25) == 2
    assert nearest_size(lambda size: size * size, 10**18 + 10**9) == 10**9
