"""Find recorded runs in a store. Nothing is created."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnexp.arguments import FILTER, STATUSES
from rnnexp.checks import InvalidValue, UserError, nearest, one_of, show
from rnnexp.records import load_sweep
from rnnexp.redaction import redact
from rnnexp.tracking import store as stores
from rnnexp.tracking.addresses import database_file, is_sqlite, tracking_uri
from rnnexp.tracking.store import Store
from rnnexp.tracking.sweep_run import skipped_runs

#: Runs that one search names.
MOST_NAMED = 100


def reading(uri: str | None, experiment: str, status: str | None = None) -> Store:
    """The store with an existing experiment; else a `UserError` that lists the existing ones."""
    full = tracking_uri(uri, Path.cwd())
    where = redact(full)
    elsewhere = "start from the folder where the runs were recorded, or name another experiment or store"
    missing = f"there is no {f'{status} ' if status else ''}run in the MLflow experiment {experiment} of {where}"
    if is_sqlite(full) and not database_file(full).is_file():
        raise UserError(f"{missing}: there is no such file", elsewhere)
    client = stores.existing_store(full).client
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "active":
            return Store(client, full, found.experiment_id, experiment)
        known = [other.name for other in client.search_experiments()]
    except MlflowException as error:
        raise stores.store_error(error, full) from None
    why = "there is no such experiment" if found is None else "the experiment was deleted"
    near = nearest(experiment, known)
    raise UserError(f"{missing}: {why}", f"{near} " * bool(near) + f"experiments: {', '.join(known)}; {elsewhere}")


def found_runs(
    store: Store, *, status: str | None, sweep: str | None, query: str | None, name: str | None = None
) -> list[Any]:
    """The runs that match, oldest first; a `UserError` that lists the existing ones if none does.

    Parameters
    ----------
    status : str or None
        One of `STATUSES`; None for all.
    sweep : str or None
        A sweep's id, folder or parent's run id; its runs, and those for which it skipped a job.
    query : str or None
        MLflow filter.
    name : str or None
        Name of the runs; ``%`` stands for anything.
    """
    clauses = []
    if status is not None:
        clauses.append(f"attributes.status = '{one_of('status', status, STATUSES)}'")
    for what, value in (("sweep", sweep), ("name", name)):
        if value is not None and ("'" in value or not value.strip()):
            raise InvalidValue(what, value, "text without a single quote")
    if name is not None:
        clauses.append(f"attributes.run_name LIKE '{name}'")
    found = _matching(store, clauses, sweep, query)
    if not found:
        raise _nothing(store, status, sweep, query, name)
    return found


def count_others(store: Store, *, status: str, sweep: str | None, query: str | None) -> int:
    """How many runs match except for their status."""
    return len(_matching(store, [f"attributes.status != '{status}'"], sweep, query))


def _matching(store: Store, clauses: list[str], sweep: str | None, query: str | None) -> list[Any]:
    if query is not None and query.strip():
        clauses = [*clauses, query]
    if sweep is None:
        found = _search(store, clauses, query)
    else:
        of_it = f"tags.`rnnexp.sweep` = '{_sweep_id(store, sweep)}'"
        parents = _search(store, [of_it, "tags.`rnnexp.kind` = 'sweep'"])
        skipped = [run for parent in parents for run in skipped_runs(parent.data.tags)]
        found = _search(store, [of_it, *clauses], query)
        for start in range(0, len(skipped), MOST_NAMED):
            named = ", ".join(f"'{run}'" for run in skipped[start : start + MOST_NAMED])
            found += _search(store, [f"attributes.run_id IN ({named})", *clauses], query)
        unique = {run.info.run_id: run for run in found}
        found = sorted(unique.values(), key=lambda run: int(run.info.start_time))
    return _without_parents(found)


def _without_parents(found: Sequence[Any]) -> list[Any]:
    # MLflow's != would also leave out runs without the tag.
    return [run for run in found if run.data.tags.get("rnnexp.kind") != "sweep"]


def _search(store: Store, clauses: Sequence[str] = (), query: str | None = None) -> list[Any]:
    """All runs that match, oldest first."""
    from mlflow.exceptions import MlflowException

    found, token = [], None
    while True:
        try:
            ids, order = [store.experiment_id], ["attributes.start_time ASC"]
            page = store.client.search_runs(ids, " and ".join(clauses), order_by=order, page_token=token)
        except MlflowException as error:
            if query is None:
                raise
            raise UserError(f"the filter {show(query)} can't be read: {str(error).splitlines()[0]}", FILTER) from None
        found += page
        token = page.token
        if not token:
            return found


def _sweep_id(store: Store, sweep: str) -> str:
    """The id of a sweep given by its id, its parent run or its folder."""
    from mlflow.exceptions import MlflowException

    number, experiment = sweep, None
    if (saved := load_sweep(Path(sweep))) is not None:
        number, experiment = saved.id, saved.experiment
    else:
        try:
            parent = store.client.get_run(sweep)
        except MlflowException:
            return sweep
        number = str(parent.data.tags.get("rnnexp.sweep", sweep))
        if parent.info.experiment_id != store.experiment_id:
            experiment = store.client.get_experiment(parent.info.experiment_id).name
    if experiment not in (None, store.experiment):
        here = f"the sweep {show(sweep)} is not in the MLflow experiment {store.experiment}"
        raise UserError(here, f"it is in {experiment}: name that one")
    return number


def _nothing(store: Store, status: str | None, sweep: str | None, query: str | None, name: str | None) -> UserError:
    """The error for a search without results: what was searched, and what exists."""
    where = f"there is no {f'{status} ' if status else ''}run in the MLflow experiment {store.experiment}"
    parts = [("of the sweep", sweep), ("of the name", name), ("that matches", query)]
    asked = ", ".join(f"{what} {show(value)}" for what, value in parts if value is not None)
    there = _without_parents(_search(store))
    if not there:
        hint = "it is empty: start from the folder where the runs were recorded, or name another experiment or store"
        return UserError(f"{where} of {redact(store.uri)}{f', {asked}' if asked else ''}", hint)
    counts = Counter(run.info.status for run in there)
    sweeps = Counter(run.data.tags["rnnexp.sweep"] for run in there if "rnnexp.sweep" in run.data.tags)
    hint = f"there are {', '.join(f'{count} {word}' for word, count in counts.items())}"
    if sweeps:
        newest = list(sweeps.items())[-10:]
        hint += f"; newest sweeps: {', '.join(f'{found} ({count} runs)' for found, count in newest)}"
    near = nearest(sweep, sweeps) if sweep is not None else ""
    problem = f"{where} of {redact(store.uri)}{f' {asked}' if asked else ''}"
    return UserError(problem, "; ".join(filter(None, [near, hint, FILTER if query is not None else ""])))
