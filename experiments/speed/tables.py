"""What was measured, as text, as a table and as a figure."""

import csv
import datetime
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from shapes import Shape

COLORS = {
    "NumPy loops": "#CC79A7",
    "PyTorch": "#D55E00",
    "torch.compile": "#E69F00",
    "JAX jit": "#0072B2",
    "products only": "#999999",
}
THREADS = {"1": "1 thread", "all": "all threads"}


@dataclass(frozen=True)
class Row:
    """One contender on one case.

    Attributes
    ----------
    seconds : float
        Of a step.
    ratio : float
        Its time over rnnexp's.
    """

    cell: str
    shape: Shape
    threads: str
    contender: str
    seconds: float
    ratio: float
    version: str | None = None

    @property
    def case(self) -> str:
        """Cell and sizes."""
        sizes = self.shape
        return f"{self.cell}  N={sizes.N} T={sizes.T} D={sizes.D} H={sizes.H} O={sizes.O}"


def printed(rows: list[Row]) -> str:
    """One case in a line."""
    own, *others = rows
    ratios = "  ".join(f"{row.contender} {row.ratio:.3g}x" for row in others)
    return f"{own.case}, {THREADS[own.threads]}: rnnexp {own.seconds * 1e6:.0f} us; {ratios}"


def write_csv(rows: list[Row], path: Path) -> None:
    """All numbers."""
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["cell", "N", "T", "D", "H", "O", "threads", "contender", "us_per_step", "ratio_to_rnnexp"])
        for row in rows:
            sizes = str(row.shape).split(",")
            out.writerow([row.cell, *sizes, row.threads, row.contender, f"{row.seconds * 1e6:.1f}", f"{row.ratio:.3f}"])


def processor() -> str:
    """What the machine calls its processor."""
    known = Path("/proc/cpuinfo")
    if known.exists():
        for line in known.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(rows: list[Row]) -> str:
    """Where, when and with what."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index]
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__} ({blas['name']} {blas['version']})"]
    versions += sorted({row.version for row in rows if row.version})
    where = f"{platform.system()}, {platform.machine()}, {processor()}, {os.cpu_count()} cores"
    return f"{datetime.date.today().isoformat()}; {where}; {', '.join(versions)}."


def markdown(rows: list[Row], notes: list[str]) -> str:
    """A table for each number of threads."""
    columns = [name for name in COLORS if any(row.contender == name for row in rows)]
    text = [machine(rows), ""]
    text += ["Time of a training step over rnnexp's: above 1, rnnexp is so many times faster.", ""]
    if "products only" in columns:
        text[-2] += " For *products only* it is the other way round: rnnexp's time over that of its matrix products."
    for threads in dict.fromkeys(row.threads for row in rows):
        text += [f"**{THREADS[threads]}**", ""]
        text += [
            "| cell | N, T, D, H, O | rnnexp | " + " | ".join(columns) + " |",
            "|---" * 2 + "|--:" * (len(columns) + 1) + "|",
        ]
        cases: dict[str, list[Row]] = {}
        for row in rows:
            if row.threads == threads:
                cases.setdefault(row.case, []).append(row)
        for own, *others in cases.values():
            ratios = {row.contender: 1 / row.ratio if row.contender == "products only" else row.ratio for row in others}
            cells = [f"{ratios[name]:.2f}" if name in ratios else "-" for name in columns]
            sizes = str(own.shape).replace(",", ", ")
            text.append(f"| {own.cell} | {sizes} | {duration(own.seconds)} | " + " | ".join(cells) + " |")
        text.append("")
    return "\n".join([*text, *(f"- {note}" for note in notes)]).rstrip() + "\n"


def duration(seconds: float) -> str:
    """With a unit that fits."""
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def draw(rows: list[Row]) -> Figure:
    """The ratios, a group of bars for each case, a panel for each number of threads."""
    names = [name for name in COLORS if any(row.contender == name for row in rows)]
    cases = list(dict.fromkeys(row.case for row in rows))
    panels = list(dict.fromkeys(row.threads for row in rows))
    height = 1.3 + len(cases) * (0.2 * len(names) + 0.2)
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    thick = 0.86 / len(names)
    for ax, threads in zip(axes, panels, strict=True):
        shown = [row for row in rows if row.threads == threads and row.contender in names]
        for at, name in enumerate(names):
            bars = [row for row in shown if row.contender == name]
            ys = [cases.index(row.case) + (at - (len(names) - 1) / 2) * thick for row in bars]
            ax.barh(ys, [row.ratio - 1 for row in bars], thick, left=1, color=COLORS[name], label=name)
            for y, row in zip(ys, bars, strict=True):
                right = row.ratio >= 1
                ax.annotate(
                    f"{row.ratio:.2g}" if row.ratio < 9.95 else f"{row.ratio:.0f}",
                    (row.ratio, y),
                    xytext=(3 if right else -3, 0),
                    textcoords="offset points",
                    ha="left" if right else "right",
                    va="center",
                    fontsize=9,
                )
        ax.axvline(1, color="black", linewidth=1)
        ax.set_xscale("log")
        ax.margins(x=0.12, y=0.02)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_title(THREADS[threads], fontsize=11)
        ax.set_xlabel("time of a training step / rnnexp's (1 = rnnexp)", fontsize=10)
        ax.grid(axis="x", alpha=0.3)
        ax.set_axisbelow(True)
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(
        range(len(cases)), [case.replace("  ", "\n").replace(" H", "\nH") for case in cases], fontsize=10
    )
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(names), frameon=False, fontsize=10)
    return figure
