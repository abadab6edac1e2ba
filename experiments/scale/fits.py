"""The rows as a table of slopes and exponents, with what they come to at 100,000 jobs, and as a figure."""

import statistics

from matplotlib.figure import Figure
from measuring import Row, slope

LARGE = 100_000
#: Okabe and Ito's colours, which colour-blind readers tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
#: Panels of the figure: part and series of each line, and the label of the axis.
PANELS = {
    "CPU seconds": [
        ("SQLite", "jobs"),
        ("without MLflow", "jobs"),
        ("SQLite", "composition and check"),
        ("SQLite", "summary"),
    ],
    "megabytes": [
        ("SQLite", "memory of the command"),
        ("SQLite", "database"),
        ("SQLite", "run folders"),
        ("server", "sent"),
        ("server", "received"),
    ],
}


def series_of(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by part and series, from small to large."""
    series: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.size):
        series.setdefault((row.part, row.series), []).append(row)
    return {name: series[name] for name in dict.fromkeys((row.part, row.series) for row in rows)}


def line(rows: list[Row]) -> tuple[float, float]:
    """Slope and intercept of a cost over its size, by least squares with weights of the relative errors."""
    weights = [1 / max(row.value, 1e-9) ** 2 for row in rows]
    total = sum(weights)
    x = sum(weight * row.size for weight, row in zip(weights, rows, strict=True)) / total
    y = sum(weight * row.value for weight, row in zip(weights, rows, strict=True)) / total
    above = sum(w * (row.size - x) * (row.value - y) for w, row in zip(weights, rows, strict=True))
    below = sum(w * (row.size - x) ** 2 for w, row in zip(weights, rows, strict=True))
    return above / below, y - above / below * x


def markdown(rows: list[Row], head: str) -> str:
    """A line for each quantity: at the largest size, a job more, the exponent, and at 100,000 jobs."""
    lines = [
        head,
        "",
        f"| sweep | | jobs | measured | a job more | exponent | at {LARGE:,} (line) |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for (part, name), found in series_of(rows).items():
        last, unit = found[-1], f" {found[-1].unit}" if found[-1].unit else ""
        shown = f"| {part} | {name} | {last.size:g} | {last.value:.4g}{unit} |"
        if len(found) < 2 or last.unit == "ms" or statistics.fmean(row.value for row in found) <= 0:
            lines.append(f"{shown} | | |")
            continue
        more, base = line(found)
        exponent = slope([row for row in found if row.value > 0][-2:])
        lines.append(f"{shown} {more:.3g} | {exponent:.2f} | {more * LARGE + base:.3g}{unit} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[Row]) -> Figure:
    """Costs against the number of jobs on logarithmic axes, with the fitted lines up to 100,000."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    series = series_of(rows)
    for ax, (label, chosen) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for name, color in zip(chosen, COLORS, strict=False):
            found = [row for row in series.get(name, []) if row.value > 0]
            if len(found) < 2:
                continue
            ax.loglog([row.size for row in found], [row.value for row in found], "o", color=color, markersize=4)
            by_size, base = line(found)
            sizes = [found[0].size * (LARGE / found[0].size) ** (at / 40) for at in range(41)]
            ax.loglog(sizes, [max(1e-3, by_size * at + base) for at in sizes], color=color, label=": ".join(name))
        ax.set(xlabel="jobs", ylabel=label)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure
