"""What a step of RTRL costs, beside the products it cannot do without: ``python experiments/speed/influence.py``.

Of a network of 32 units in float32: the influence after a step of the sequence and the gradient read from it, against
D_t J_{t-1} and dL/ds_t J_t alone, into arrays that are there. Processor time, both in turns, the median of the ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from rnnexp.algorithms import RTRL
from rnnexp.layers import build_network

CELLS, BATCHES, UNITS = ("rnn", "leaky", "gru", "lstm"), (1, 20), 32


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Processor time of so many calls."""
    began = time.process_time()
    for _ in range(repeats):
        work()
    return time.process_time() - began


def ratio(cell: str, batch: int, rounds: int = 30, repeats: int = 20) -> float:
    """A step of RTRL over its products."""
    rng = np.random.default_rng(0)
    network = build_network(hidden_size=UNITS, input_size=4, output_size=4, embedding_dim=5, cell=cell, rng=rng)
    rule = RTRL()
    rule.begin(network, None, rng=rng)
    network.forward(rng.integers(4, size=(20, batch)))
    rule.advance(network, rng=rng)
    assert rule.influence is not None
    (before,) = (array[:, 0] for array in rule.influence.values())
    onward = rng.standard_normal((batch, before.shape[1], before.shape[1])).astype(np.float32) / before.shape[1]
    slope, after = rng.standard_normal((batch, before.shape[1])).astype(np.float32), np.empty_like(before)

    def step() -> None:
        rule.step(network, 19, rng=rng)
        rule.read(slope)

    def products() -> None:
        np.matmul(onward, before, out=after)
        slope.ravel() @ after.reshape(-1, after.shape[-1])

    for work in (step, products):
        work()
    return statistics.median(seconds(step, repeats) / seconds(products, repeats) for _ in range(rounds))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="turns of the two; the median counts")
    rounds = parser.parse_args().rounds
    print(f"| cell | {' | '.join(f'batch of {batch}' for batch in BATCHES)} |\n|---|{'---|' * len(BATCHES)}")
    for cell in CELLS:
        print(f"| {cell} | {' | '.join(f'{ratio(cell, batch, rounds):.2f}' for batch in BATCHES)} |", flush=True)


if __name__ == "__main__":
    main()
