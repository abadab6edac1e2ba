"""The files that compare many runs: the table, the figures, and the page that holds them all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from rnnexp.comparison.effects import LOSS, unit_of
from rnnexp.comparison.page import page
from rnnexp.comparison.sweep_figures import comparison_figures
from rnnexp.plot.axes import save_figure


def write_comparison(
    table: pd.DataFrame,
    curves: Mapping[str, pd.Series],
    folder: Path,
    *,
    title: str,
    keys: Sequence[str],
    metric: str = LOSS,
    unit: str = "",
) -> list[Path]:
    """Write ``sweep.csv``, the figures and ``sweep.html``, which holds them all.

    Parameters
    ----------
    table : DataFrame
        Indexed by run id; one row a run with `name`, `status`, the parameters in `keys`, and metrics ``final/...``.
        Runs that are not FINISHED or SKIPPED, or have no finite `metric`, are left out of every mean and counted.
    curves : mapping of str to Series
        By run id, log10 of the gradient's norm by lag; may lack runs.
    folder : Path
        Made if need be; files of the same names are replaced.
    title : str
        Over the figures and the page.
    keys : sequence of str
        What differs between the runs; ``seed`` is averaged over.
    metric : str
        What is compared.
    unit : str
        Its unit; that of a loss is told from the other metrics when not given.

    Returns
    -------
    list of Path
        The table, the figures (none if no run counts), the page.
    """
    keys = list(dict.fromkeys(keys))
    unit = unit or unit_of(table, metric)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "sweep.csv"]
    finals = [name for name in table if str(name).startswith("final/")]
    columns = dict.fromkeys(["name", "status", *keys, *finals, metric])
    chosen = table[[name for name in columns if name in table]]
    chosen.to_csv(files[0], index_label="run", encoding="utf-8")
    pictures = []
    for name, (figure, caption) in comparison_figures(table, curves, title, keys, metric, unit).items():
        pictures.append((folder / name, caption))
        save_figure(figure, folder / name)
    files += [path for path, _ in pictures]
    files.append(folder / "sweep.html")
    files[-1].write_text(page(table, pictures, title=title, keys=keys, metric=metric, unit=unit), encoding="utf-8")
    return files
