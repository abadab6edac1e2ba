"""The gradient statistics of a run: which, and how often."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnexp.checks import InvalidValue, boolean, integer, number
from rnnexp.components import Component, Shown
from rnnexp.gradients.lag_split import LagSplit, split_norms
from rnnexp.gradients.noise import SignalToNoise, signal_to_noise
from rnnexp.gradients.norms import NormsByLag, by_lag, from_all_losses, from_last_loss
from rnnexp.gradients.passes import QUIET, NormsByStep, Passes
from rnnexp.gradients.saturated import Saturation, SaturationCount
from rnnexp.gradients.spectra import (
    StepJacobians,
    eigenvalues,
    pascanu_bound,
    singular_values,
    singular_values_in,
    together,
)
from rnnexp.gradients.stability import lyapunov_in
from rnnexp.gradients.truncation import (
    AdaptiveWindow,
    TruncationBias,
    Window,
    adaptive_window,
    both_gradients,
    compare,
    compare_each,
    fixed_windows,
)
from rnnexp.layers import Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.tasks import Batch, StreamTask, Task

#: Batches of a signal-to-noise ratio, at most: its relative error falls with their root, to 1 % here.
MOST_BATCHES = 10_000


@dataclass(frozen=True, repr=False)
class Study(Shown):
    """The results of one study of the gradient; those not requested are None.

    Attributes
    ----------
    norms, window, saturation, bias, total_by_time, jacobians, lyapunov, snr
        As the functions of this package give them; `window` from the norms of the whole state.
    eigenvalues : array (L * H,)
        Of Wh (in a gated layer, the candidate's), of all layers together, largest modulus first.
    singular_values : array (L * H,)
        Of the same matrices, largest first.
    pascanu_bound : float
        Upper bound of the growth per step back, nats; below 0 it is sufficient for vanishing. NaN for a gated layer
        and for a stack, where there is no such bound.
    others : dict of str to NormsByLag
        In addition to those of h: ``c`` of an LSTM, and in a stack ``layer1``, ``layer2``, ... (h of one layer alone);
        other than in `norms`, ways through other states of the same step count: h, or the layers above.
    gates : dict of str to float
        Mean of every gate over units, steps and sequences.
    seen_by_window : float
        Share of the summed norms by lag of the whole state within the truncation window.
    parameter_bias : dict of str to TruncationBias
        `bias` of each parameter.
    variance : float
        Of a random algorithm's gradient on these sequences: its total variance over the full one's squared norm.
    split : LagSplit or None
        Norm of each parameter's gradient by lag.
    """

    also = ("spectral_radius",)

    norms: NormsByLag
    window: AdaptiveWindow
    saturation: Saturation
    eigenvalues: Array
    singular_values: Array
    pascanu_bound: float
    seen_by_window: float
    others: dict[str, NormsByLag] = field(default_factory=dict)
    gates: dict[str, float] = field(default_factory=dict)
    bias: TruncationBias | None = None
    parameter_bias: dict[str, TruncationBias] = field(default_factory=dict)
    variance: float | None = None
    snr: SignalToNoise | None = None
    total_by_time: Array | None = None
    split: LagSplit | None = None
    jacobians: StepJacobians | None = None
    lyapunov: Array | None = None

    @property
    def spectral_radius(self) -> float:
        """Largest modulus of an eigenvalue of Wh; NaN if there is no such matrix."""
        return float(np.abs(self.eigenvalues[0])) if len(self.eigenvalues) else float("nan")

    def metrics(self) -> dict[str, float]:
        """Scalars by metric name; NaN or infinite where a number is not defined."""
        values = {
            "gradient/log10_ratio": self.norms.log10_ratio,
            "gradient/decay_rate": self.norms.decay_rate,
            "gradient/decay_fit": self.norms.decay_fit,
            "gradient/half_life": self.norms.half_life,
            "gradient/horizon": float(self.norms.horizon),
            "gradient/seen_by_window": self.seen_by_window,
            "gradient/beta": self.window.beta,
            "gradient/sufficient_window": float("nan") if self.window.window is None else float(self.window.window),
            "recurrent/spectral_radius": self.spectral_radius,
            "recurrent/pascanu_bound": self.pascanu_bound,
            "recurrent/saturated_fraction": self.saturation.saturated_fraction,
            "recurrent/mean_slope": self.saturation.mean_slope,
        }
        if len(self.singular_values):
            values["recurrent/spectral_norm"] = float(self.singular_values[0])
            values["recurrent/smallest_singular_value"] = float(self.singular_values[-1])
        for name, norms in self.others.items():
            values[f"gradient_{name}/log10_ratio"] = norms.log10_ratio
            values[f"gradient_{name}/decay_rate"] = norms.decay_rate
            values[f"gradient_{name}/decay_fit"] = norms.decay_fit
        values.update({f"gate/{name}": mean for name, mean in self.gates.items()})
        if self.bias is not None:
            values["gradient/alignment"] = self.bias.cosine
            values["gradient/alignment_error"] = self.bias.relative_error
        if self.variance is not None:
            values["gradient/variance"] = self.variance
        for name, bias in self.parameter_bias.items():
            values[f"gradient/bias/{name}"] = bias.relative_error
            values[f"gradient/bias_cosine/{name}"] = bias.cosine
        if self.snr is not None:
            values["gradient/snr"] = self.snr.ratio
        if self.jacobians is not None:
            values["jacobian/mean_singular_value"] = self.jacobians.mean
            values["jacobian/largest_singular_value"] = self.jacobians.largest
            values["jacobian/smallest_singular_value"] = self.jacobians.smallest
        if self.lyapunov is not None:
            values.update({f"lyapunov/{index}": float(value) for index, value in enumerate(self.lyapunov, 1)})
        return values


class GradientStudy(Component):
    """Measures the gradient on the first sequences of the evaluation set.

    Always: norms by lag and what follows from them, the spectrum of Wh, saturation. Time is linear in the length of
    the sequences; memory is that of a window of 200 steps, and of a state for each window (`Passes`).

    Parameters
    ----------
    every : int, optional
        Updates between studies, >= 1; a tenth of the run, and at least 100, when not given. The first weights and the
        last are always studied.
    sequences : int
        Sequences to study, >= 1.
    max_length : int
        Steps of a stream to study, >= 1, plus those before its first scored step. Episodes are always studied whole.
    tolerance : float
        Relative bias of the gradient at which a truncation window is called sufficient, > 0.
    truncation : bool
        Compare the gradient of training with the full one, as a whole and by parameter.
    draws : int
        Draws of a random algorithm's gradient on the same sequences, for its variance, >= 2; 0 for none.
    snr_batches : int
        Batches for the gradient's signal-to-noise ratio, from 2 to 10,000; 0 for none.
    staleness_steps : int
        Steps of a stream, at least, from which the state that a window takes over is recomputed (`Past`); 0 for none.
    jacobians : bool
        Singular values of every step's Jacobian, on the first sequence; of a longer one at 200 steps (`StepJacobians`).
    lag_split : bool
        Each parameter's gradient by lag (`LagSplit`), and the total gradient by time.
    lyapunov_exponents : int, optional
        How many, on the first sequence's last 200 steps; 0 for none; 3, or all of a smaller layer, when not given.
    """

    def __init__(
        self,
        *,
        every: int | None = None,
        sequences: int = 20,
        max_length: int = 200,
        tolerance: float = 0.1,
        truncation: bool = True,
        draws: int = 5,
        snr_batches: int = 0,
        staleness_steps: int = 200,
        jacobians: bool = False,
        lag_split: bool = False,
        lyapunov_exponents: int | None = 0,
    ) -> None:
        self.every = None if every is None else integer("every", every, at_least=1)
        self.sequences = integer("sequences", sequences, at_least=1)
        self.max_length = integer("max_length", max_length, at_least=1)
        self.tolerance = number("tolerance", tolerance, above=0)
        self.truncation = boolean("truncation", truncation)
        self.draws = integer("draws", draws, at_least=0)
        if self.draws == 1:
            raise InvalidValue("draws", 1, ">= 2, or 0 for none", "one draw has no variance: try 5")
        self.snr_batches = integer("snr_batches", snr_batches, at_least=0)
        if self.snr_batches == 1:
            raise InvalidValue("snr_batches", 1, ">= 2, or 0 for none", "one batch has no scatter: try 10")
        if self.snr_batches > MOST_BATCHES:  # each costs as much as an update, in every study
            raise InvalidValue("snr_batches", snr_batches, f"<= {MOST_BATCHES}", "10 batches give a ratio: try 10")
        self.staleness_steps = integer("staleness_steps", staleness_steps, at_least=0)
        self.jacobians = boolean("jacobians", jacobians)
        self.lag_split = boolean("lag_split", lag_split)
        self.lyapunov_exponents = lyapunov_exponents
        if lyapunov_exponents is not None:
            integer("lyapunov_exponents", lyapunov_exponents, at_least=0)

    def exponents(self, hidden_size: int) -> int:
        """Number of Lyapunov exponents for a layer of this size; `InvalidValue` if it has fewer."""
        if self.lyapunov_exponents is None:
            return min(3, hidden_size)
        if self.lyapunov_exponents > hidden_size:
            raise InvalidValue("lyapunov_exponents", self.lyapunov_exponents, f"<= hidden_size, which is {hidden_size}")
        return self.lyapunov_exponents

    def select(self, task: Task, evaluation: Batch) -> Batch:
        """The part of an evaluation set that is studied."""
        batch = evaluation.sequences(self.sequences)
        if isinstance(task, StreamTask):
            first_scored = int(np.argmax(batch.mask.any(axis=1)))
            batch = batch.steps(0, max(self.max_length, first_scored + 1))
        return batch

    @np.errstate(**QUIET)
    def __call__(
        self,
        network: Network,
        batch: Batch,
        target_kind: str,
        *,
        length: int | None = None,
        stride: int | None = None,
        windows: Sequence[Window] | None = None,
        own: Callable[[Network, Batch, str], Array] | None = None,
        draws: Iterable[Array] | None = None,
        gradients: Iterable[Array] | None = None,
    ) -> Study:
        """Study `network` (its state is overwritten) on all of `batch`.

        Training uses BPTT(length; stride), cuts a sequence of this length into `windows`, or has a gradient of its
        `own`, of which `draws` are further random ones on the same sequences. `gradients` are those of training on
        independent batches, whose signal-to-noise ratio is wanted.
        """
        batch, layer = batch.cast(network.dtype), network.recurrent
        passes, count = Passes(network, batch, target_kind), self.exponents(layer.layers[0].hidden_size)
        by_step, units, gates = NormsByStep(passes), SaturationCount(), dict[str, float]()
        jacobians: list[StepJacobians] = []
        exponents = None
        for window in from_last_loss(passes):
            by_step.add(window)
            units.add(layer.states[1:], layer.slopes())
            for name, gate in layer.gates().items():
                share = (window.stop - window.start) / len(batch.inputs)
                gates[name] = gates.get(name, 0.0) + share * float(np.mean(gate, dtype=np.float64))
            if self.jacobians:
                jacobians.insert(0, singular_values_in(passes, window))
            if count and window is passes.windows[-1]:
                exponents = lyapunov_in(layer, window, count)
        found = {name: by_lag(norms, batch) for name, norms in by_step.of.items()}
        norms, whole = found.pop("outputs"), found.pop("state")
        weights = layer.recurrent_weights()
        singular = _largest_first([singular_values(matrix) for matrix in weights])
        bound = pascanu_bound(float(singular[0]), layer.max_slope) if len(singular) else float("nan")
        cut = fixed_windows(len(batch.inputs), length, stride) if windows is None else windows
        compared, total_by_time, variance = None, None, None
        if self.truncation or self.lag_split:
            full, total_by_time = from_all_losses(passes, norms=self.lag_split)
            if self.truncation and own is not None:
                compared = own(network, batch, target_kind).copy(), full
            elif self.truncation:
                compared = both_gradients(network, batch, target_kind, cut, full)
            if draws is not None:
                variance = signal_to_noise(draws).noise / max(float(row_norms(full)) ** 2, np.finfo(float).tiny)
        return Study(
            norms=norms,
            others=found,
            gates=gates,
            window=adaptive_window(whole.common, self.tolerance),
            saturation=units.result(),
            eigenvalues=_largest_first([eigenvalues(matrix) for matrix in weights]),
            singular_values=singular,
            pascanu_bound=bound,
            seen_by_window=whole.seen_by_window(length) if own is None else float("nan"),
            jacobians=together(jacobians) if self.jacobians else None,
            lyapunov=exponents,
            bias=None if compared is None else compare(*compared),
            parameter_bias={} if compared is None else compare_each(network, *compared),
            variance=variance,
            snr=None if gradients is None else signal_to_noise(gradients),
            total_by_time=total_by_time,
            split=split_norms(network, batch, target_kind) if self.lag_split else None,
        )


def _largest_first(values: list[Array]) -> Array:
    """The values of all layers together, largest modulus first; empty if there are none."""
    if len(values) == 1:
        return values[0]
    together = np.concatenate(values) if values else np.empty(0)
    return together[np.argsort(-np.abs(together), kind="stable")]
