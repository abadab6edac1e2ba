"""The HTML report of a run: its figures, its numbers, and what they mean, a sentence each."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnexp.gradients import Study
from rnnexp.history import History
from rnnexp.pages import browser_file, render, significant

#: A smaller rate is printed as 0.000, so its sign is not interpreted.
ROUNDING = 5e-4

CAPTIONS = {
    "loss.png": "Loss on training windows and on held-out sequences.",
    "gradient_by_lag.png": "Gradient norm of the last scored loss with respect to the state at each earlier step; on "
    "the right over that at lag 0.",
    "gradient_by_state.png": "The same norm for each state: h and c of an LSTM, or each layer of a stack. Those of one "
    "state alone also count its ways through other states of the same step.",
    "bptt_length.png": "How many steps the gradient of each update was propagated back.",
    "gradient_over_training.png": "The norm over that at lag 0, during training.",
    "gradient_by_time.png": "Gradient norm of the summed losses with respect to each step's state, as in training.",
    "gradient_split.png": "How much of each weight matrix's gradient comes from each lag, over all losses; of more "
    "than 200 steps, over the last 40,000 / T of a sequence.",
    "eigenvalues.png": "Eigenvalues of the recurrent weights: beyond the circle a linear recurrence would explode.",
    "step_jacobians.png": "Largest and smallest factor by which one step can stretch or shrink a gradient, at up to "
    "200 steps.",
    "hidden_units.png": "Distribution of the hidden units; near -1 and 1, tanh is flat and passes little gradient.",
    "lyapunov.png": "Mean growth rates of small perturbations and of the gradient over up to 200 steps; above zero is "
    "chaos.",
}


def readings(
    study: Study, bptt_length: int | None, staleness: float = math.nan, influence: float = math.nan
) -> list[str]:
    """The interpretation of a study's numbers, and of `state/staleness` and `influence/staleness`, a sentence each."""
    norms, sentences = study.norms, []
    rate, steps, fitted = norms.decay_rate, len(norms.common) - 1, norms.lag_range
    if fitted is None:
        nowhere = "exactly zero or not finite at every lag, or at all but one"
        sentences.append(f"The gradient is {nowhere}: it has no decay rate.")
    else:
        factor = significant(math.log(10.0) / abs(rate)) if rate else ""
        within = f"(least squares over lags {fitted[0]} to {fitted[1]}, fit {norms.decay_fit:.2f})"
        if norms.verdict == "kept":
            sentences.append(f"The norm of the gradient stays within a factor of 2 over {steps} steps: it is kept.")
        elif norms.verdict == "vanishing":
            halving = f"halves every {significant(norms.half_life)} {within}"
            sentences.append(f"The gradient shrinks by a factor of 10 every {factor} steps and {halving}: it vanishes.")
        elif norms.verdict == "exploding":
            sentences.append(f"The gradient grows by a factor of 10 every {factor} steps {within}: it explodes.")
        else:
            sentences.append(f"The norm of the gradient {norms.phases}.")
            sentences.append(f"It is not a line: the decay rate of {rate:+.3f} per step {within} does not describe it.")
        if not norms.usable.all():
            lost = int((~norms.usable).sum())
            sentences.append(f"At {lost} of {steps + 1} lags it is exactly zero or not finite; these are left out.")
        sentences.append(
            f"Its norm stays above a thousandth of that at the last step for {norms.horizon} of {steps} steps back."
        )
    # A window that covers everything, if only when rounded, goes without saying.
    seen = f"{study.seen_by_window:.0%}" if math.isfinite(study.seen_by_window) else "100%"
    if bptt_length is not None and bptt_length < len(norms.mean) and seen != "100%":
        sentences.append(f"The window of {bptt_length} steps covers {seen} of it (share of the summed norms).")
    if study.bias is not None and math.isfinite(study.bias.relative_error) and study.bias.relative_error >= ROUNDING:
        cosine = f"{study.bias.cosine:.3f}" if math.isfinite(study.bias.cosine) else "undefined"
        sentences.append(
            f"The gradient used in training has a cosine similarity of {cosine} to the full gradient, and a relative "
            f"error of {study.bias.relative_error:.0%}."
        )
    if study.variance is not None and math.isfinite(study.variance):
        sentences.append(
            f"It is random: its variance is {study.variance:.3g} times the squared norm of the full gradient."
        )
    sentences += _by_parameter(study) + _noise(study)
    if math.isfinite(staleness) and staleness >= ROUNDING:
        sentences.append(
            f"The state that the last window took over from older weights differs by {staleness:.1%} from the one that "
            "the weights of that moment would have computed."
        )
    if math.isfinite(influence) and influence >= ROUNDING:
        sentences.append(
            f"The influence carried through updates differs by {influence:.1%} from the one that those weights would "
            "have carried."
        )
    if study.window.window is not None and study.window.window < len(norms.mean):
        sentences.append(
            f"At the estimated decay (beta = {study.window.beta:.3f}), a window of {study.window.window} steps would "
            "keep the bias below the tolerance."
        )
    bound = study.pascanu_bound
    if math.isfinite(bound) and math.isfinite(rate):
        meaning = "so that the norm must shrink" if bound < -ROUNDING else "which is inconclusive"
        sentences.append(
            f"Pascanu's bound on the growth rate per step is {bound:+.3f}, {meaning}; the measured rate is {rate:+.3f}."
        )
    passing = study.saturation.mean_slope
    saturated = f"{study.saturation.saturated_fraction:.0%} of the units are saturated (|h| > 0.95)"
    passed = f"; on average the activation passes {passing:.0%} of the gradient" if math.isfinite(passing) else ""
    sentences.append(f"{saturated}{passed}.")
    if study.lyapunov is not None and math.isfinite(leading := float(study.lyapunov[0])):
        side = "unstable: small perturbations grow" if leading > 0 else "stable: small perturbations die out"
        if abs(leading) < ROUNDING:
            side = "neutral: small perturbations keep their size"
        sentences.append(f"The leading Lyapunov exponent is {leading:+.3f} nats per step, {side}.")
    return sentences


def _by_parameter(study: Study) -> list[str]:
    """Which parameter's gradient the truncation changes most, if it changes any."""
    errors = {n: b.relative_error for n, b in study.parameter_bias.items() if math.isfinite(b.relative_error)}
    worst = max(errors, key=lambda name: errors[name], default="")
    if not errors or errors[worst] < ROUNDING:
        return []
    return [f"Of all parameters, truncation changes the gradient of {worst} most, by {errors[worst]:.0%}."]


def _noise(study: Study) -> list[str]:
    """What the signal-to-noise ratio says, where there is one."""
    if study.snr is None or not math.isfinite(ratio := study.snr.ratio):
        return []
    meaning = "more signal than noise" if ratio > 1 else "more noise than signal"
    if ratio <= 0:
        meaning = "no signal can be told from the noise"
    return [f"Over {study.snr.batches} batches, the signal-to-noise ratio of the gradient is {ratio:.2g}: {meaning}."]


def write_report(
    history: History, folder: Path, title: str, figures: Mapping[str, Sequence[Path]], bptt_length: int | None
) -> Path:
    """Write ``gradient_report.html`` with the figures, whose files are given by name; its path."""
    step, study = history.studies[-1]
    stale = {name: history.last(f"{name}/staleness") for name in ("state", "influence")}
    numbers = sorted(study.metrics().items())
    numbers += [(f"{name}/staleness", value) for name, value in stale.items() if math.isfinite(value)]
    page = render(
        "gradient_report.html",
        title=title,
        step=step,
        sequences=study.norms.per_sequence.shape[1],
        sentences=readings(study, bptt_length, stale["state"], stale["influence"]),
        figures=[(browser_file(paths), CAPTIONS[name]) for name, paths in figures.items()],
        numbers=[(name, value) for name, value in numbers if math.isfinite(value)],
        undefined=[name for name, value in numbers if not math.isfinite(value)],
    )
    path = folder / "gradient_report.html"
    path.write_text(page, encoding="utf-8")
    return path
