"""Recorded runs as tables, for whoever compares them."""

from pathlib import Path

import pandas as pd

from rnnexp.checks import UserError
from rnnexp.tracking.store import Store, open_store, tracking_uri


def runs(experiment: str = "rnnexp", *, uri: str | None = None, status: str = "FINISHED") -> pd.DataFrame:
    """One row a run: its parameters as numbers where they are numbers, and the last value of every metric.

    Parameters
    ----------
    experiment : str
        MLflow experiment.
    uri : str, optional
        Tracking store; as for ``python -m rnnexp`` in this folder when not given.
    status : str
        MLflow's word for how the run ended.

    Returns
    -------
    DataFrame
        Indexed by MLflow run id, oldest first; ``null`` parameters are missing values.

    Raises
    ------
    UserError
        If the store can't be opened, or has no such run.
    """
    store = open_store(tracking_uri(uri, Path.cwd()), experiment)
    found, token = [], None
    while True:
        page = store.client.search_runs(
            [store.experiment_id],
            filter_string=f"attributes.status = '{status}'",
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        found += page
        token = page.token
        if not token:
            break
    if not found:
        raise UserError(
            f"there is no {status} run in the MLflow experiment {experiment} of {store.uri}",
            "start from the folder where the runs were recorded, or name another experiment or store",
        )
    rows = [{"run": run.info.run_id, **run.data.params, **run.data.metrics} for run in found]
    table = pd.DataFrame(rows).set_index("run")
    for name in {name for run in found for name in run.data.params}:
        column = table[name].replace("null", None)
        numbers = pd.to_numeric(column, errors="coerce")
        table[name] = numbers if numbers.notna().equals(column.notna()) else column
    return table


def curve(run: str, metric: str, *, uri: str | None = None, experiment: str = "rnnexp") -> pd.Series:
    """A metric of one run by MLflow step (the update, or for `gradient_by_lag/...` the lag), in order."""
    return curve_of(open_store(tracking_uri(uri, Path.cwd()), experiment), run, metric)


def curve_of(store: Store, run: str, metric: str) -> pd.Series:
    """The same from an open store."""
    history = store.client.get_metric_history(run, metric)
    points = sorted((point.step, point.value) for point in history)
    return pd.Series([value for _, value in points], index=[step for step, _ in points], name=metric, dtype=float)
