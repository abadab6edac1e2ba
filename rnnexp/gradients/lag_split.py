"""Each parameter's gradient split by lag: how far back what a parameter learns comes from."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.components import Shown
from rnnexp.gradients.passes import QUIET, Passes
from rnnexp.gradients.shape import thinned
from rnnexp.layers import CRITERIA, Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.layers.network import recurrent_names
from rnnexp.tasks import Batch

#: Losses of a sequence times its steps, at most: all losses of 200 steps, the last 40 of 1,000.
LOSSES_BY_STEPS = 200 * 200
#: Sequences whose gradient a study splits.
SEQUENCES = 4


@dataclass(frozen=True, repr=False)
class LagSplit(Shown):
    """Norm of each parameter's gradient by lag, of a few sequences.

    Attributes
    ----------
    lags : integer array (L,)
        All up to 200, and beyond them, of more than 300, a hundred in equal ratios; none from which on every part is
        zero.
    norms : dict of str to array (L,)
        By parameter. The output layer is left out: its gradient is all at lag 0.
    """

    lags: NDArray[np.int64]
    norms: dict[str, Array]


@np.errstate(**QUIET)
def split_norms(network: Network, batch: Batch, target_kind: str) -> LagSplit:
    """Norms of what `gradients_by_lag` yields of the first sequences; only one lag's gradient is kept at a time."""
    wanted, lags = thinned(len(batch.inputs), 201, 100), []
    norms: dict[str, list[float]] = {}
    for lag, parts in gradients_by_lag(network, batch.sequences(SEQUENCES), target_kind, set(wanted.tolist())):
        lags.append(lag)
        for name, part in parts.items():
            if not name.startswith("output."):
                norms.setdefault(name, []).append(float(row_norms(part.ravel())))
    return LagSplit(np.array(lags), {name: np.array(values) for name, values in norms.items()})


def gradient_by_lag(network: Network, batch: Batch, target_kind: str) -> dict[str, Array]:
    """All that `gradients_by_lag` yields: name -> array (L, *shape), whose rows add up to the gradient."""
    rows = [parts for _, parts in gradients_by_lag(network, batch, target_kind)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def gradients_by_lag(
    network: Network, batch: Batch, target_kind: str, lags: Collection[int] | None = None
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Each parameter's gradient split by lag: (lag, name -> its part) for all lags or those wanted, 0 first.

    dL/dW = sum over lags l of (sum over t of (dL_t/dh_{t-l}) (dh_{t-l}/dW)), the inner derivative through the one
    step t - l: a part is the contribution from l steps back, and for a loss at its end, a window of k steps keeps those
    below k. The output layer's gradient is at lag 0. Bengio, Simard & Frasconi 1994, equation 5, summed by t - l.

    L is the mean over all scored steps, as in training; but of each sequence only the last 40,000 / T losses count,
    which are all of them up to T = 200, so that the work does not grow with the square of T. It ends with the lag
    after which nothing is left of the gradient.
    """
    passes, layer, grads = Passes(network, batch, target_kind), network.recurrent, network.parameters.grads
    at, of = _last_losses(batch)
    states = passes.states_before(at + 1, of)
    hs = states[len(states) - len(layer.layers[-1].state_names)]
    criterion: Any = CRITERIA[target_kind]()
    outputs = network.read_out(hs[np.newaxis], batch.inputs[at, of][np.newaxis])
    criterion.forward(outputs, batch.targets[at, of][np.newaxis])
    dstates = layer.after_each_step(network.read_back(criterion.backward())[0].copy())
    parts = {name: grads[name].copy() for name in grads if name.startswith("output.")}
    if network.tied:
        parts["embedding.W"] = network.output.grads[0].mT.copy()
    lag = 0
    while lag == 0 or (len(at) and any(np.any(dstate) for dstate in dstates)):
        before, inputs = passes.states_before(at - lag, of), batch.inputs[at - lag, of]
        xs = inputs if network.embedding is None else network.embedding.forward(inputs[np.newaxis])[0]
        dxs, earlier, found = layer.step_back(xs, before, dstates)
        if lags is None or lag in lags:
            parts |= _by_name(network, found, [value[at == lag].sum(axis=0) for value in earlier])
            if network.embedding is not None and network.embedding.params:
                network.embedding.backward(dxs[np.newaxis])
                parts["embedding.W"] = grads["embedding.W"] + parts.get("embedding.W", 0.0)
            frozen = network.design.frozen
            yield (
                lag,
                {
                    name: parts[name] if name in parts and name not in frozen else np.zeros_like(grad)
                    for name, grad in grads.items()
                },
            )
        further, lag, parts = at > lag, lag + 1, {}
        at, of, dstates = at[further], of[further], tuple(value[further] for value in earlier)
    network.reset_state()


def _last_losses(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Steps and sequences (R,) of the losses that are split."""
    most = max(1, LOSSES_BY_STEPS // max(1, len(batch.mask)))
    later = np.cumsum(batch.mask[::-1], axis=0)[::-1]  # scored steps of a sequence from here on
    at, of = np.nonzero(batch.mask & (later <= most))
    return at, of


def _by_name(network: Network, found: list[Array], starts: list[Array]) -> dict[str, Array]:
    """Gradients of the recurrent layers' own parameters, the lowest layer first, and of their initial states."""
    names, own, named = recurrent_names(network.design.num_layers), iter(found), iter(starts)
    parts: dict[str, Array] = {}
    for prefix, layer in zip(names, network.recurrent.layers, strict=True):
        initial = {f"{prefix}.{state}0": next(named) for state in layer.state_names}
        for name in network.parameters.grads:
            if name.rpartition(".")[0] == prefix:
                parts[name] = initial[name] if name in initial else next(own)
    return parts
