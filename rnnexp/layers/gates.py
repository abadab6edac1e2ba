"""What the gated layers share: parameters (..., G, fan_in, fan_out), one matrix a gate, and whole-window products.

The gates of a step are one array whose slabs are contiguous, so that one call of tanh, or one product, does all of
them; a window's are (G, T, ..., N, H), so that each gate's steps are contiguous too.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..checks import InvalidValue
from .base import Array, bias_gradient, weight_gradient, whole_window
from .time_cell import TimeCell


def per_gate(x: Array, weight: Array) -> Array:
    """x W_g of one step for every gate g: (..., N, D), (..., G, D, H) -> (..., G, N, H)."""
    product: Array = x[..., np.newaxis, :, :] @ weight
    return product


def all_gates(weight: Array) -> Array:
    """Weights (..., G, fan_in, fan_out) with the gates in front of the copies, for a product with one step's state."""
    return np.moveaxis(weight, -3, 0)


class TimeGated(TimeCell):
    """A window of steps of a cell with gates: sigmoids, but for the last, the candidate, which has tanh.

    Attributes
    ----------
    gate_names : tuple of str
        Of the others, in the order of their weights.
    """

    gate_names: ClassVar[tuple[str, ...]]

    def __init__(self, params: Sequence[ArrayLike], activation: str, **options: Any) -> None:
        if activation != "tanh":
            hint = "cell=rnn also takes relu, identity and sigmoid"
            raise InvalidValue("activation", activation, "tanh in a cell with gates", hint)
        super().__init__(params, **options)

    def _gates(self) -> Array:
        """All gates of the last window, the candidate included: (G, T, ..., N, H)."""
        return self._steps("gates", self._states[0][1:].shape, self._dtype, slabs=len(self.gate_names) + 1)

    def _halved(self, weight: Array) -> Array:
        """Weights (G, ..., fan_in, fan_out), or biases (G, ..., H), halved for the sigmoids.

        sigmoid(x) = (1 + tanh(x / 2)) / 2, and halving is exact, so one tanh does for all gates.
        """
        halved = weight.copy()
        halved[:-1] *= 0.5
        return halved

    def _gate_inputs(self, first: int) -> None:
        """Begin the gates with x_t Wx_g + b_g, halved for the sigmoids, for all steps from `first` on."""
        weights, biases = self._halved(all_gates(self.params[0])), self._halved(np.moveaxis(self.params[2], -2, 0))
        for weight, bias, pre in zip(weights, biases, self._gates()[:, first:], strict=True):
            whole_window(self._xs[first:], weight, bias, out=pre)

    def _gate_gradients(self, dinputs: Sequence[Array], dhidden: Sequence[Array]) -> Array:
        """The gradients of Wx, Wh and b, and dL/dxs, from those of x Wx_g + b_g and of h_prev Wh_g for every gate g.

        Summed over steps and batch, dWx_g = x^T dinput_g, dWh_g = h_prev^T dhidden_g and db_g = dinput_g; summed over
        the gates, dx = dinput_g Wx_g^T.

        Parameters
        ----------
        dinputs, dhidden : sequences of arrays (T, ..., N, H)
            One for each gate.
        """
        xs, before, Wx, (dWx, dWh, db) = self._xs, self._states[0][:-1], self.params[0], self.grads[:3]
        dxs, work = (self._steps(name, xs.shape, dinputs[0].dtype) for name in ("dxs", "work"))
        for gate, (dinput, dproduct) in enumerate(zip(dinputs, dhidden, strict=True)):
            weight_gradient(xs, dinput, out=dWx[..., gate, :, :])
            weight_gradient(before, dproduct, out=dWh[..., gate, :, :])
            bias_gradient(dinput, out=db[..., gate, :])
            whole_window(dinput, Wx[..., gate, :, :].mT, None, out=work if gate else dxs)
            if gate:
                np.add(dxs, work, out=dxs)
        return dxs

    def _through_gates(self, dhidden: Sequence[Array], through: Array) -> None:
        """Add dL/dh_{t-1} through the gates of step t to `through`, from the gradients of h_prev Wh_g of every gate."""
        work = np.empty_like(through)
        for gate, dproduct in enumerate(dhidden):
            through += whole_window(dproduct, self.params[1][..., gate, :, :].mT, None, out=work)

    def slopes(self) -> Array:
        """Slope of the candidate's tanh, 1 - n^2, at every step of the last window: (T, ..., N, H)."""
        slopes: Array = 1.0 - self._gates()[-1] ** 2
        return slopes

    def gates(self) -> dict[str, Array]:
        """The gates but the candidate at every step of the last window by name, each (T, ..., N, H)."""
        return dict(zip(self.gate_names, self._gates(), strict=False))

    def recurrent_weights(self) -> list[Array]:
        """The candidate's matrix."""
        return [self.params[1][..., -1, :, :]]
