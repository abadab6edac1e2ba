"""The last lines that a run prints."""

import math

from rnnexp.gradients import NormsByLag
from rnnexp.history import History, state_label


def losses(history: History) -> list[str]:
    """Final and best evaluation loss beside the trivial baseline's."""
    baseline = history.baseline
    unit = "nats per scored step" if history.task.target_kind == "classes" else "mean squared error"
    rows = [("evaluation loss", history.last("eval/loss"), history.best("eval/loss"), baseline.loss, unit)]
    for name, best, base, meaning in (
        ("bits_per_character", min, baseline.loss / math.log(2.0), "bits per character"),
        ("accuracy", max, baseline.accuracy, "share of scored steps"),
        ("wrong_fraction", min, baseline.error, f"share of wrong {history.task.error_per}s"),
    ):
        if name == "wrong_fraction" and _error_is_redundant(history):
            continue
        if (curve := history.curves.get(f"eval/{name}")) and base is not None:
            rows.append((name.replace("_", " "), curve[-1][1], best(value for _, value in curve), base, meaning))
    lines = [f"{'':20}{'final':>10}{'best':>10}{'baseline':>10}   (baseline: {baseline.predictor})"]
    lines += [f"{name:20}{''.join(map(_number, numbers))}   {unit}" for name, *numbers, unit in rows]
    if history.repeats:
        lines.append(f"{'':20}{history.repeats}")
    lines += test(history)
    if history.task.success and "eval/solved" in history.curves:
        when = "not solved" if history.solved_at is None else f"solved at step {history.solved_at}"
        lines.append(f"{when:19} asked for: {history.task.success}")
    if history.stopped:
        lines.append(f"stopped             at step {history.step} of {history.steps}: {history.stopped}")
    return lines


def test(history: History) -> list[str]:
    """What the final and the best weights make of data that selection never saw."""
    if history.tested is None:
        return []
    best, last = history.tested
    told = "the evaluation set again: the task has no other sequences"
    if not history.test_is_evaluation:
        told = "data that selection never saw; best: lowest evaluation loss"
    lines = [f"{'test loss':20}{_number(last.loss)}{_number(best.loss)}{'':10}   {told}"]
    if best.accuracy is not None and last.accuracy is not None:
        lines.append(f"{'test accuracy':20}{_number(last.accuracy)}{_number(best.accuracy)}")
    return lines


def _error_is_redundant(history: History) -> bool:
    """Whether error + accuracy = 1 at every evaluation."""
    errors, right = history.curves.get("eval/wrong_fraction", []), history.curves.get("eval/accuracy", [])
    pairs = zip(errors, right, strict=False)
    return bool(right) and all(math.isclose(error + share, 1.0) for (_, error), (_, share) in pairs)


def _number(value: float) -> str:
    """Ten characters: four decimals, or powers of ten where that would not fit."""
    return f"{value:10.4f}" if abs(value) < 1e4 else f"{value:10.2e}"


def gradient(history: History) -> list[str]:
    """The numbers of the last study."""
    if not history.studies:
        return []
    study = history.studies[-1][1]
    norms = study.norms
    ratio = "exactly zero or not finite somewhere within"
    if math.isfinite(norms.log10_ratio):
        ratio = f"||dL_T/dh_0|| / ||dL_T/dh_T|| = 10^{norms.log10_ratio:.2f} over"
    lines = [f"gradient            {ratio} {len(norms.common) - 1} steps"]
    if math.isfinite(rate := norms.decay_rate):
        lines.append(f"decay rate          {rate:+.4f} per step back in time ({_verdict(norms)})")
    for name, other in study.others.items():
        if math.isfinite(other.log10_ratio):
            place = name.replace("layer", "layer ")
            counted = state_label(name).partition(", ")[2]
            lines.append(f"    in {place:13}10^{other.log10_ratio:.2f}, decay rate {other.decay_rate:+.4f} ({counted})")
    if math.isfinite(study.spectral_radius):
        whose = "the candidate's recurrent weights" if study.gates else "the recurrent weights"
        lines.append(f"spectral radius     {study.spectral_radius:.4f} of {whose}")
    if study.gates:
        means = ", ".join(f"{name} {mean:.2f}" for name, mean in study.gates.items())
        lines.append(f"gates on average    {means}")
    return lines


def _verdict(norms: NormsByLag) -> str:
    """What the curve of the norms is called, and why."""
    if norms.verdict == "kept":
        return "kept: within a factor of 2 at all lags"
    fit = f"fit {norms.decay_fit:.2f}"
    return f"not a line, {fit}: it {norms.phases}" if norms.verdict == "not a line" else f"{norms.verdict}, {fit}"


def divergence(history: History) -> list[str]:
    """When and how a run diverged, and one line of advice; empty if it did not."""
    report = history.diverged
    if report is None:
        return []
    last = "no loss was finite"
    if history.last_finite is not None:
        step, loss, norm = history.last_finite
        last = f"the last finite loss was {loss:.4g}, with a gradient of norm {norm:.4g} (step {step})"
    return [
        f"diverged at step {report.step}: the loss or the gradient is no longer a finite number; {last}",
        "try a smaller optimizer.learning_rate, or clipping=norm with a smaller clipping.threshold",
    ]
