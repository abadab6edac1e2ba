"""What the gated layers share: parameters (..., G, fan_in, fan_out), one matrix a gate, and whole-window products.

The gates of a step are one array whose slabs are contiguous, so that one call of tanh, or one product, does all of
them; a window's are (G, T, ..., N, H), so that each gate's steps are contiguous too.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import InvalidValue
from .base import bias_gradient, weight_gradient, whole_window

Array = NDArray[Any]


def only_tanh(activation: str) -> None:
    """Refuse any activation but tanh: gated layers are defined with it."""
    if activation != "tanh":
        raise InvalidValue(
            "activation", activation, "tanh in a cell with gates", "cell=rnn also takes relu, identity and sigmoid"
        )


def per_gate(x: Array, weight: Array) -> Array:
    """x W_g of one step for every gate g: (..., N, D), (..., G, D, H) -> (..., G, N, H)."""
    product: Array = x[..., np.newaxis, :, :] @ weight
    return product


def all_gates(weight: Array) -> Array:
    """Weights (..., G, fan_in, fan_out) with the gates in front of the copies, for a product with one step's state."""
    return np.moveaxis(weight, -3, 0)


def gate_inputs(xs: Array, Wx: Array, b: Array, out: Array, sigmoids: int) -> None:
    """x_t Wx_g + b_g for all steps and gates, halved for the first gates: (T, ..., N, D) -> out (G, T, ..., N, H).

    Parameters
    ----------
    sigmoids : int
        How many of the gates are sigmoids; see `half_for_sigmoids`.
    """
    weights, biases = half_for_sigmoids(all_gates(Wx), sigmoids), half_for_sigmoids(np.moveaxis(b, -2, 0), sigmoids)
    for weight, bias, pre in zip(weights, biases, out, strict=True):
        whole_window(xs, weight, bias, out=pre)


def gate_gradients(xs: Array, dgates: list[Array], dWx: Array) -> None:
    """dWx_g = sum over steps and batch of x^T dgate_g, for dgates (T, ..., N, H) each -> dWx (..., G, D, H)."""
    for gate, dgate in enumerate(dgates):
        weight_gradient(xs, dgate, out=dWx[..., gate, :, :])


def gate_biases(dgates: list[Array], db: Array) -> None:
    """db_g = sum over steps and batch of dgate_g, for dgates (T, ..., N, H) each -> db (..., G, H)."""
    for gate, dgate in enumerate(dgates):
        bias_gradient(dgate, out=db[..., gate, :])


def input_gradient(dgates: list[Array], Wx: Array, out: Array, work: Array) -> Array:
    """Sum over the gates of dgate_g Wx_g^T for all steps: out (T, ..., N, D), `work` shaped like it."""
    for gate, dgate in enumerate(dgates):
        whole_window(dgate, Wx[..., gate, :, :].mT, None, out=work if gate else out)
        if gate:
            np.add(out, work, out=out)
    return out


def half_for_sigmoids(weight: Array, sigmoids: int) -> Array:
    """Weights (G, ..., fan_in, fan_out), or biases (G, ..., H), halved for the first gates.

    sigmoid(x) = (1 + tanh(x / 2)) / 2, and halving is exact, so one tanh does for all gates.
    """
    halved = weight.copy()
    halved[:sigmoids] *= 0.5
    return halved
