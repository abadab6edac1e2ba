"""Random feedback local online learning, with the network's own feedback: only the leak carries the influence."""

from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.algorithms.influence import Blocks, InfluenceMatrix
from rnnexp.algorithms.influencing import Pattern
from rnnexp.algorithms.step_derivatives import StepDerivatives
from rnnexp.checks import InvalidValue
from rnnexp.layers import Network
from rnnexp.layers.base import Array
from rnnexp.tasks import Task


class RFLO(InfluenceMatrix):
    """Murray 2019, "Local online learning in recurrent networks with random feedback", eLife 8:e43299, equation 3.

    ::

        J_t = (1 - leak) J_{t-1} + M_t

    Of D_t = (1 - leak) I + leak phi'_t Wh^T the second part, through the recurrent weights, is left out: each synapse
    needs only what its own unit knows. It is defined for a cell with a leak. With leak = 1 nothing is left of the past,
    and the gradient is that of BPTT(1; 1). The paper feeds the error back through fixed random weights; here it comes
    through the output weights, so that the influence is the only approximation.

    A learned initial state acts directly on the state after the first step.

    A step costs N P multiplications and numbers of memory. An embedding of E parameters acts on all units at once:
    N S E more.

    Parameters
    ----------
    stride : int or None
        Steps between updates, >= 1; None is 1.
    """

    def check(self, network: Network) -> None:
        """Refuse a cell without a leak."""
        if any(not isinstance(getattr(layer, "leak", None), float) for layer in network.recurrent.layers):
            allowed = f"another one than rflo with {network.design.cell.__name__}, which has no leak"
            hint = "cell=leaky has one; without one, what is left of it is algorithm=bptt bptt_length=1 bptt_stride=1"
            raise InvalidValue("algorithm", "rflo", allowed, hint)

    def begin(self, network: Network, task: Task | None, *, rng: Generator) -> None:
        """Lay out the matrix."""
        self.check(network)
        super().begin(network, task, rng=rng)
        layers: list[Any] = list(network.recurrent.layers)
        leaks, sizes = [layer.leak for layer in layers], [layer.hidden_size for layer in layers]
        self.kept_share = np.repeat([1.0 - float(leak) for leak in leaks], sizes).astype(network.dtype)

    def pattern(self, direct: Pattern, onward: Pattern) -> Pattern:
        """What a parameter acts on directly."""
        kept, (_, learned) = direct.copy(), self.layout.starts
        kept[:, learned] |= onward @ direct[:, learned]
        return kept

    def onward(self, step: StepDerivatives) -> Array | None:
        """D_t in the first step, which initial states go through; None after it."""
        return step.onward if step.first else None

    def carried(self, network: Network, blocks: Blocks, onward: Any, before: Array) -> Array:
        """(1 - leak) J_{t-1}; in the first step there are initial states only."""
        if onward is not None:
            return blocks.carried(onward, before)
        return self.kept_share[blocks.rows][:, :, np.newaxis] * before
