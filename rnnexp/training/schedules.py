"""Learning-rate schedules: the factor on the optimizer's learning rate at each update."""

import math
from abc import ABC, abstractmethod

from rnnexp.checks import integer, number
from rnnexp.components import Component


class Schedule(Component, ABC):
    """A factor for every update, after a linear warm-up.

    Parameters
    ----------
    warmup : int
        Updates in which the factor rises linearly to its full value, >= 0: k / warmup at the k-th.
    """

    def __init__(self, warmup: int = 0) -> None:
        self.warmup = integer("warmup", warmup, at_least=0)

    def factor(self, step: int, steps: int) -> float:
        """The factor at update `step`, from 1 to `steps`."""
        if step <= self.warmup:
            return step / self.warmup
        return self.after_warmup(step - self.warmup - 1, steps - self.warmup)

    @abstractmethod
    def after_warmup(self, done: int, steps: int) -> float:
        """The factor when `done` of `steps` updates have been made."""


class Constant(Schedule):
    """A constant learning rate, after the warm-up."""

    def after_warmup(self, done: int, steps: int) -> float:
        """One."""
        return 1.0


class StepDecay(Schedule):
    """Multiply the learning rate by `decay` every `every` updates.

    Parameters
    ----------
    every : int
        >= 1.
    decay : float
        > 0.
    warmup : int
        See `Schedule`.
    """

    def __init__(self, every: int = 1000, decay: float = 0.5, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.every = integer("every", every, at_least=1)
        self.decay = number("decay", decay, above=0)

    def after_warmup(self, done: int, steps: int) -> float:
        """decay^floor(done / every)."""
        return self.decay ** (done // self.every)


class Cosine(Schedule):
    """Half a cosine from 1 down to `final` over the run. Loshchilov & Hutter 2017, equation 5, without restarts.

    Parameters
    ----------
    final : float
        >= 0.
    warmup : int
        See `Schedule`.
    """

    def __init__(self, final: float = 0.0, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.final = number("final", final, at_least=0)

    def after_warmup(self, done: int, steps: int) -> float:
        """final + (1 - final) (1 + cos(pi done / steps)) / 2."""
        return self.final + (1.0 - self.final) * (1.0 + math.cos(math.pi * done / steps)) / 2.0
