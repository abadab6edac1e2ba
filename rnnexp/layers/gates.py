"""What the gated layers share: parameters (..., G, fan_in, fan_out), one matrix a gate, and whole-window products.

NumPy is fast where arrays are contiguous. So the gates of a step are one block of a window's (T, G, ..., N, H), and one
call of tanh, or one product, does all of them; their gradients, which go into products over all steps, are
(G, T, ..., N, H).
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..checks import InvalidValue
from .base import BLOCK, Array, bias_gradient, multiplier, rows, transposed, weight_gradient, whole_window
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
        """All gates of the last window, the candidate last: (T, G, ..., N, H)."""
        steps, *shape = self._states[0][1:].shape
        return self._steps("gates", (steps, len(self.gate_names) + 1, *shape), self._dtype)

    def _halved(self, weight: Array) -> Array:
        """Weights (G, ..., fan_in, fan_out), or biases (G, ..., H), halved for the sigmoids.

        sigmoid(x) = (1 + tanh(x / 2)) / 2, and halving is exact, so one tanh does for all gates.
        """
        halved = weight.copy()
        halved[:-1] *= 0.5
        return halved

    def _gate_inputs(self, first: int) -> None:
        """Begin the gates with x_t Wx_g + b_g, halved for the sigmoids, for all steps from `first` on."""
        weights = np.concatenate(self._halved(all_gates(self.params[0])), axis=-1)
        bias = np.concatenate(self._halved(np.moveaxis(self.params[2], -2, 0)), axis=-1)
        gates, xs, (batch, units) = self._gates()[first:], self._xs[first:], self._states[0].shape[-2:]
        # Blocks that stay in the cache; the number of copies is left out, so that each has the bits of one alone.
        each = max(1, 4 * BLOCK // max(1, batch * units))
        product = np.empty((*self._copies, min(each, len(xs)), batch, gates.shape[1], units), self._dtype)
        together = product.reshape(*self._copies, -1, weights.shape[-1])
        by_gate = np.moveaxis(product, (-4, -2), (0, 1))
        for start in range(0, len(xs), each):
            inputs = rows(xs[start : start + each])
            flat = np.matmul(inputs, weights, together[..., : inputs.shape[-2], :])
            np.add(flat, bias[..., np.newaxis, :], flat)
            gates[start : start + each] = by_gate[: len(xs) - start]

    def _back(self) -> Array:
        """Wh_g^T of all gates, one below the other: (..., G * H, H)."""
        back = transposed(self.params[1])
        return back.reshape(*back.shape[:-3], -1, back.shape[-1])

    def _concatenated(self, back: Array, out: Array) -> tuple[Array, Callable[[Array, Array], Any]]:
        """A place for gradients of all gates of one step, and a function (back, out) for sum_g dgates_g Wh_g^T.

        The place is (G, ..., N, H), where the gates are concatenated, so that one product does all of them.
        """
        together = np.empty((*out.shape[:-1], back.shape[-2]), out.dtype)
        by_gate = together.reshape(*out.shape[:-1], -1, out.shape[-1])
        return np.moveaxis(by_gate, -2, 0), multiplier(together, back, out)

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
        slopes: Array = 1.0 - self._gates()[:, -1] ** 2
        return slopes

    def gates(self) -> dict[str, Array]:
        """The gates but the candidate at every step of the last window by name, each (T, ..., N, H)."""
        return {name: self._gates()[:, gate] for gate, name in enumerate(self.gate_names)}

    def recurrent_weights(self) -> list[Array]:
        """The candidate's matrix."""
        return [self.params[1][..., -1, :, :]]
