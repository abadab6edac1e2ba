"""What all recurrent layers over a window share: state, initial state, and what the gradient statistics need."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .base import Array, Layer, as_parameter, common_dtype, row_norms

State = tuple[Array, ...]


class Recurrent(Layer):
    """A recurrent layer over a window of steps, the same weights at every step.

    A subclass gives the names and shapes of its parameters and the formulas of one step, forward and back; everything
    else (windows, state, truncation, the gradient statistics) follows from these. The layers of this package also
    override `_forward` and `_backward` with loops that allocate nothing.

    Parameters
    ----------
    params : sequence of arrays
        In the order of `parameter_shapes`; axes before those shapes are independent copies of the layer.
    hidden_size : int
        H.
    stateful : bool
        Carry the last state into the next window; otherwise every window starts from the initial state.
    grads, batch_first, reuse
        As for `Layer`; the gradients of the initial states come last.
    **initial : array (..., H), optional
        Learned initial states by name, ``h0`` for the state ``h``; zero, and not learned, when not given.

    Attributes
    ----------
    state_names : tuple of str
        What a step hands to the next one; the first is the output.
    params, grads : lists of arrays
        The parameters, the learned initial states last, and their gradients, which `backward` overwrites.
    state : tuple of arrays (..., N, H), or None
        After the last window, which began at the initial state if `from_start`.
    dstate : tuple of arrays (..., N, H), or None
        dL/dstate for the state before the window's first step, left by `backward`.
    norms : dict of str to array (T + 1, ..., N), or None
        ||dL/dh_t|| of each sequence (and ||dL/dc_t||, for a layer with a state c) for t = 0, the state before the
        window, to T; left by ``backward(norms=True)``. What goes through other states of step t counts here, too.
    max_slope : float
        sup |phi'| of the one activation that the gradient passes; NaN where there are gates.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)
    max_slope: float = float("nan")

    def __init__(
        self,
        params: Sequence[ArrayLike],
        *,
        hidden_size: int,
        grads: Sequence[Array] | None = None,
        stateful: bool = False,
        batch_first: bool = False,
        reuse: bool = False,
        **initial: ArrayLike | None,
    ) -> None:
        starts = [initial.pop(f"{name}0", None) for name in self.state_names]
        if initial:
            raise TypeError(f"{type(self).__name__} takes no argument {', '.join(initial)}")
        self.initial_states = [as_parameter(start) for start in starts if start is not None]
        if len(self.initial_states) not in (0, len(starts)):
            raise TypeError(f"give all of the initial states {', '.join(self.state_names)}, or none")
        super().__init__([*params, *self.initial_states], grads=grads, batch_first=batch_first, reuse=reuse)
        self.hidden_size = hidden_size
        self.stateful = stateful
        self.state: State | None = None
        self.dstate: State | None = None
        self.norms: dict[str, Array] | None = None
        self.own_params = self.params[: len(params)]
        rank = len(next(iter(self.parameter_shapes(1, 1).values())))
        self._incoming: tuple[Array, list[Array]] = (np.empty(0), [])
        self._copies = self.params[0].shape[: self.params[0].ndim - rank]
        self.from_start = True

    @staticmethod
    def parameter_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the constructor takes, in its order.

        ``Wx`` and ``Wh`` (..., fan_in, fan_out) are drawn by the initialisers of input and recurrent weights, one
        matrix at a time; all else starts at zero, or as `initial_values` says.
        """
        raise NotImplementedError

    def initial_values(self) -> dict[str, Array]:
        """Values, by name, of parameters that no initialiser draws and that do not start at zero."""
        return {}

    def step(self, x: Array, state: State) -> State:
        """One step: x (..., N, D) and state, each (..., N, H), to the next state."""
        raise NotImplementedError

    def step_back(self, x: Array, state: State, dstate: State) -> tuple[Array, State, list[Array]]:
        """Back through one step, which is computed again from its input and the state before it.

        Parameters
        ----------
        x : array (..., N, D)
        state : tuple of arrays (..., N, H)
            Before the step.
        dstate : tuple of arrays (..., N, H)
            dL/d(state after the step), each taken as if the others did not depend on it.

        Returns
        -------
        dx : array (..., N, D)
        dstate : tuple of arrays (..., N, H)
            For the state before the step.
        grads : list of arrays
            Of the parameters, initial states left out; summed over N. Axes of x in front of the layer's they may have.
        """
        raise NotImplementedError

    @property
    def h(self) -> Array | None:
        """The output state after the last window (..., N, H)."""
        return None if self.state is None else self.state[0]

    @property
    def dh(self) -> Array | None:
        """dL/dh for the state before the window's first step (..., N, H), left by `backward`."""
        return None if self.dstate is None else self.dstate[0]

    @property
    def dh_norms(self) -> Array | None:
        """||dL/dh_t|| of every step and sequence (T + 1, ..., N), left by ``backward(norms=True)``."""
        return None if self.norms is None else self.norms["h"]

    @property
    def layers(self) -> "list[Recurrent]":
        """The layers of a stack; here this one alone."""
        return [self]

    @property
    def state_size(self) -> int:
        """Units of the whole state: H times the number of states."""
        return self.hidden_size * len(self.state_names)

    def set_state(self, *state: ArrayLike) -> None:
        """Let the next window of a stateful layer start from `state`, each (..., N, H); those left out are zero."""
        if not 1 <= len(state) <= len(self.state_names):
            raise TypeError(f"the state is ({', '.join(self.state_names)}), got {len(state)} arrays")
        given = [np.array(array) for array in state]
        given += [np.zeros_like(given[0]) for _ in self.state_names[len(given) :]]
        self.state = tuple(given)

    def reset_state(self) -> None:
        """Let the next window start from the initial state: zero, or learned."""
        self.state = None

    def forward(self, xs: ArrayLike, first: int = 0) -> Array:
        """States of a window: xs (T, ..., N, D) -> hs (T, ..., N, H).

        Parameters
        ----------
        xs : array (T, ..., N, D)
        first : int
            Steps before `first` were computed by an earlier call and are kept as they are (see `drop`).

        Raises
        ------
        ValueError
            If `xs` does not fit the weights, or the carried state has another batch size.
        """
        xs = self._given(xs)
        self._check_input(xs)
        steps, shape = len(xs), (*self._copies, xs.shape[-2], self.hidden_size)
        carried = self.state if self.stateful else None
        for state in carried or ():
            if state.shape != shape:
                raise ValueError(
                    f"the carried state has shape {state.shape}, the window needs {shape}: call reset_state() first"
                )
        self._dtype = common_dtype(xs, (*self.params, *(carried or ())))
        self._xs = xs
        self._states = [self._steps(name, (steps + 1, *shape), self._dtype) for name in self.state_names]
        if first == 0:
            self.from_start = carried is None
            starts: Sequence[Any] = carried or [start[..., np.newaxis, :] for start in self.initial_states]
            starts = starts or [0.0] * len(self._states)
            for states, start in zip(self._states, starts, strict=True):
                states[0] = start
        self._forward(first)
        self.state = tuple(states[steps].copy() for states in self._states)
        return self._returned(self._states[0][1:])

    def backward(
        self,
        dhs: ArrayLike,
        *,
        norms: bool = False,
        step_weights: Sequence[float] | None = None,
        later: State | None = None,
    ) -> Array:
        """Gradients of a window: dL/dhs (T, ..., N, H) -> dL/dxs (T, ..., N, D).

        Parameters
        ----------
        dhs : array (T, ..., N, H)
            dL/dh of each step, without the part that comes through later states.
        norms : bool
            Also leave ||dL/dh_t|| of every step and sequence in `norms`.
        step_weights : sequence of T floats, optional
            Factors for the gradient that step t passes back to the state before it; 1 when not given.
        later : tuple of arrays (..., N, H), optional
            What later windows pass back to the state after this one, their `dstate`.
        """
        dhs = self._given(dhs)
        if dhs.shape != self._states[0][1:].shape:
            raise ValueError(f"{type(self).__name__}: dhs must have shape {self._states[0][1:].shape}, got {dhs.shape}")
        dtype = self._dtype if dhs.dtype is self._dtype else np.result_type(dhs, self._dtype)
        dstates = [self._steps(f"d{name}", self._states[0].shape, dtype) for name in self.state_names]
        self._dstates, self._step_weights = dstates, () if step_weights is None else step_weights
        self._later = later
        dhs = dhs if later is None else np.concatenate([dhs[:-1], dhs[-1:] + later[0]])
        dxs = self._backward(dhs, dstates, step_weights)
        for grad, dstate in zip(self.grads[len(self.own_params) :], dstates, strict=False):
            grad[...] = dstate[0].sum(axis=-2) if self.from_start else 0.0
        self.dstate = tuple(dstate[0].copy() for dstate in dstates)
        self.norms = {n: row_norms(d) for n, d in zip(self.state_names, dstates, strict=True)} if norms else None
        return self._returned(dxs)

    def _each_incoming(self, dhs: Array) -> list[Array]:
        """The steps of dL/dhs as views, kept while the same buffer is given."""
        if self._incoming[0] is not dhs:
            self._incoming = dhs, list(dhs)
        return self._incoming[1]

    def _check_input(self, xs: Array) -> None:
        """Raise a ValueError if `xs` does not fit the weights."""

    def _forward(self, first: int) -> None:
        """Fill `self._states[...][t + 1]` for the steps t >= first of `self._xs`."""
        for t in range(first, len(self._xs)):
            new = self.step(self._xs[t], tuple(states[t] for states in self._states))
            for states, value in zip(self._states, new, strict=True):
                states[t + 1] = value

    def _backward(self, dhs: Array, dstates: list[Array], step_weights: Sequence[float] | None) -> Array:
        """Fill `dstates`, each (T + 1, ..., N, H), and the gradients of the layer's own parameters; dL/dxs.

        In `dhs` is what later windows pass back to h; what they pass to a further state is in `self._later`. Here the
        ``dstates`` of a further state leave out the part that comes through h of the same step.
        """
        dxs = self._steps("dxs", self._xs.shape, dstates[0].dtype)
        for array in (*dstates, *self.grads[: len(self.own_params)]):
            array[...] = 0.0
        for array, passed in zip(dstates[1:], (self._later or ())[1:], strict=False):
            array[-1] = passed
        for t in range(len(self._xs) - 1, -1, -1):
            dstates[0][t + 1] += dhs[t]
            state, dstate = (
                tuple(array[at] for array in arrays) for arrays, at in ((self._states, t), (dstates, t + 1))
            )
            dxs[t], earlier, grads = self.step_back(self._xs[t], state, dstate)
            for array, value in zip(dstates, earlier, strict=True):
                array[t] = value if step_weights is None else step_weights[t] * value
            for total, grad in zip(self.grads, grads, strict=False):
                total += grad
        return dxs

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window; the later ones become its first."""
        super().drop(steps)
        if steps:
            self.from_start = False
        for name in self.state_names:
            self._steps.drop(name, steps)

    def handed_on(self) -> State:
        """dL/dstate_t of the last `backward`, t = 0 to T, as the output layer reads it and step t + 1 takes it.

        Each (T + 1, ..., N, H), with the other states of step t held fixed, as `jacobians` holds them.
        """
        return (self._dstates[0], *(self.through_next_step()[1:] if len(self._dstates) > 1 else ()))

    def through_next_step(self) -> State:
        """The part of these gradients that comes through step t + 1; at t = T, of a later window."""
        through = tuple(np.zeros_like(dstate) for dstate in self._dstates)
        self._through_next_step(through)
        for part, passed in zip(through, self._later or (), strict=False):
            part[-1] = passed
        for part in through:
            for t, weight in enumerate(self._step_weights):
                part[t] *= weight
        return through

    def _through_next_step(self, through: State) -> None:
        """Fill all but the last step, `step_weights` left out."""
        for t, x in enumerate(self._xs):
            after = tuple(dstate[t + 1] for dstate in self._dstates)
            for part, value in zip(through, self.step_back(x, self.state_before(t), after)[1], strict=True):
                part[t] = value

    @property
    def states(self) -> Array:
        """Output states of the last window, the one before its first step included: (T + 1, ..., N, H); a view."""
        return self._states[0]

    def state_before(self, step: int | slice) -> State:
        """The state before a step of the last window, as `set_state` takes it, or before each step of a slice."""
        return tuple(states[step] for states in self._states)

    def slopes(self) -> Array:
        """phi' of every unit at every step of the last window, (T, ..., N, H); empty if there is no one activation."""
        return np.empty(0)

    def gates(self) -> dict[str, Array]:
        """Every gate at every step of the last window by name, each (T, ..., N, H); none in a layer without gates."""
        return {}

    def recurrent_weights(self) -> list[Array]:
        """The matrix (..., H, H) through which the state reaches the next one: of a gated layer, the candidate's."""
        named = dict(zip(self.parameter_shapes(1, 1), self.params, strict=False))
        return [named["Wh"]] if "Wh" in named else []

    def after_each_step(self, dhs: Array) -> State:
        """Gradients in the states after each step from those in the outputs alone: (..., N, H) each."""
        return (dhs, *(np.zeros_like(dhs) for _ in self.state_names[1:]))

    def jacobians(self, sequence: int = 0, steps: Any = slice(None)) -> Array:
        """d state_t / d state_{t-1} of one sequence of the last window: (T, ..., S, S), rows the earlier state's units.

        S is H times the number of states, one after the other; `steps` is a slice or indices of those wanted.
        """
        return self._step_derivatives(sequence, steps)[0]

    def input_jacobians(self, sequence: int = 0, steps: Any = slice(None)) -> Array:
        """d state_t / d x_t of one sequence of the last window: (T, ..., D, S), rows the input's features."""
        return self._step_derivatives(sequence, steps)[1]

    def _step_derivatives(self, sequence: int, steps: Any) -> tuple[Array, Array]:
        hidden, size = self.hidden_size, self.state_size

        def repeated(wanted: Array) -> Array:
            return np.broadcast_to(wanted[..., [sequence], :], (*wanted.shape[:-2], size, wanted.shape[-1]))

        # One row of the batch for each unit of the state after the step.
        each = np.broadcast_to(np.eye(size, dtype=self._dtype), (*self._xs[steps].shape[:-2], size, size))
        after = tuple(each[..., k * hidden : (k + 1) * hidden] for k in range(len(self.state_names)))
        before = tuple(repeated(states[:-1][steps]) for states in self._states)
        dx, earlier, _ = self.step_back(repeated(self._xs[steps]), before, after)
        return np.concatenate(earlier, axis=-1).swapaxes(-1, -2), dx.swapaxes(-1, -2)
