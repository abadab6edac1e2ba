"""The rows as a table, as findings beside what is aimed at, and as a figure."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from measuring import Row, slope

#: Okabe and Ito's colours, which colour-blind readers tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9")
#: Titles, and the label of the cost, of the panels.
PANELS = {
    "evaluation": ("Evaluation and test", "share of training"),
    "study": ("A study with all statistics", "CPU s (solid), MB (dashed)"),
    "stacked": ("A job of a stacked sweep", "CPU s per job"),
    "runs": ("Runs in the database", "CPU s (solid), MB (dashed)"),
    "files": ("Reading a file", "CPU s (solid), MB (dashed)"),
}
#: What a reader of the figure needs to be told.
LABELS = {"whole": "whole sweep", "without": "with tracking=none", "training": "its training", "store": "MLflow alone"}
Finding = tuple[str, float, str]


def findings(rows: list[Row]) -> list[Finding]:
    """What is asked for: a name, the number, and what is aimed at."""
    series: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        series.setdefault((row.part, row.series), []).append(row)
    last = {name: found[-1] for name, found in series.items()}
    found: list[Finding] = []

    def add(name: str, value: float, aim: str) -> None:
        found.append((name, value, aim))

    for (part, name), row in last.items():
        if part == "evaluation":
            at = f" of {row.size:g} {row.of}" if row.of else ""
            add(f"evaluation and test of {name}{at} / training", row.value, "<= 0.15")
        if part == "training":
            aim = "<= 0.15" if "softmax" in name else ""
            add(f"{name} / training", row.value, aim)
    if ("study", "seconds") in last:
        add("slope of a study's CPU time over T", slope(series["study", "seconds"]), "<= 1")
        longest = last["study", "seconds"]
        add(f"CPU s of a study at T={longest.size:g}", longest.value, "60 at T=10,000")
        add("MB of it beyond the rest", last["study", "memory"].value, "")
    if ("stacked", "whole") in last:
        cost = {name: last["stacked", name].value for name in ("whole", "without", "training", "store", "points")}
        jobs = f"{last['stacked', 'whole'].size:g} jobs"
        add(
            f"what MLflow adds to a sweep of {jobs} / its client alone",
            (cost["whole"] - cost["without"]) / cost["store"],
            "<= 1.2",
        )
        add(
            "(a job - its training) / MLflow's client alone",
            (cost["whole"] - cost["training"]) / cost["store"],
            "<= 1.2",
        )
        add("slope of CPU time a job over the number of jobs", slope(series["stacked", "whole"]), "<= 0")
        add("most points of a run", cost["points"], "<= 200")
    if ("command", "whole") in last:
        seconds = {name: row.value for (part, name), row in last.items() if part == "command"}
        add(
            "first loss line / with tracking=none",
            seconds["first loss"] / seconds["first loss, tracking=none"],
            "<= 1.5",
        )
        add("the whole command / bare imports, run and figures", seconds["whole"] / seconds["whole, bare"], "<= 1.2")
        add("with tracking=none / the whole command", seconds["whole, tracking=none"] / seconds["whole"], "")
    if ("runs", "report") in last:
        few, many = series["runs", "report"][0], last["runs", "report"]
        add("ms of a report a run", 1000 * (many.value - few.value) / (many.size - few.size), "<= 2")
        add(
            f"MB of a report of {many.size:g} runs / of {few.size:g}",
            last["runs", "report, memory"].value / series["runs", "report, memory"][0].value,
            "",
        )
        for name in ("a run", "skip_finished"):
            beyond = last["runs", name].value - series["runs", name][0].value
            add(f"CPU s of {name} with {many.size:g} runs beyond {few.size:g}", beyond, "<= 0.5")
    if ("files", "text") in last:
        size = last["files", "text"].size
        add("CPU s of reading 100 MB of text", 100 * last["files", "text"].value / size, "<= 7.5")
        add("peak memory of reading a text / the file", last["files", "text, memory"].value / size, "<= 4")
        for name, aim in (("", ""), (", memory", "<= 1.5")):
            ratio = last["files", f"table{name}"].value / last["files", f"pandas{name}"].value
            add(f"{'peak memory' if name else 'CPU time'} of reading a CSV file / pandas alone", ratio, aim)
    return found


def markdown(rows: list[Row], head: str) -> str:
    """The findings as a table."""
    lines = [head, "", "| | measured | aim |", "|---|--:|---|"]
    return "\n".join([*lines, *(f"| {name} | {value:.3g} | {aim} |" for name, value, aim in findings(rows))]) + "\n"


def draw(rows: list[Row]) -> Figure:
    """A panel for each part that has sizes, cost against size on logarithmic axes, slopes in the legends."""
    parts = [part for part in PANELS if any(row.part == part and row.of for row in rows)]
    figure = Figure(figsize=(4.6 * min(3, len(parts)), 3.9 * -(-len(parts) // 3)), layout="constrained")
    axes = figure.subplots(-(-len(parts) // 3), min(3, len(parts)), squeeze=False).ravel()
    for ax, part in zip(axes, parts, strict=False):
        series: dict[str, list[Row]] = {}
        for row in rows:
            if row.part == part and row.of and row.unit and row.value > 0:
                series.setdefault(row.series, []).append(row)
        colors: dict[str, str] = {}  # a part's time and memory have one
        for name, found in series.items():
            color = colors.setdefault(name.removesuffix(", memory"), COLORS[len(colors)])
            name = LABELS.get(name, name)
            label = f"{name} (slope {slope(found):.2f})" if len(found) > 1 else name
            style = "--" if found[0].unit == "MB" else "-"
            x, y = [row.size for row in found], [row.value for row in found]
            ax.loglog(x, y, style, marker="o", markersize=4, color=color, label=label)
        title, cost = PANELS[part]
        ax.set(title=title, xlabel=next(row.of for row in rows if row.part == part and row.of), ylabel=cost)
        ax.margins(y=0.35)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    for ax in axes[len(parts) :]:
        ax.remove()
    return figure
