"""Find recorded runs in a store. Nothing is created."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rnnexp.arguments import FILTER, STATUSES
from rnnexp.checks import InvalidValue, UserError, nearest, one_of, show
from rnnexp.records import load_sweep
from rnnexp.redaction import redact
from rnnexp.tracking import store as stores
from rnnexp.tracking.addresses import database_file, is_sqlite, tracking_uri
from rnnexp.tracking.searching import PARTS, matching_runs
from rnnexp.tracking.store import Store
from rnnexp.tracking.sweep_run import skipped_runs

#: Runs that one search names.
MOST_NAMED = 100
SWEEPS = "tags.`rnnexp.kind` = 'sweep'"


class NoRuns(UserError):
    """There is no run, or no experiment or database that could have one."""


def reading(uri: str | None, experiment: str, status: str | None = None) -> Store:
    """The store with an existing experiment; else a `UserError` that lists the existing ones."""
    full = tracking_uri(uri, Path.cwd())
    where = redact(full)
    elsewhere = "start from the folder where the runs were recorded, or name another experiment or store"
    missing = f"there is no {f'{status} ' if status else ''}run in the MLflow experiment {experiment} of {where}"
    if is_sqlite(full) and not database_file(full).is_file():
        raise NoRuns(f"{missing}: there is no such file", elsewhere)
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
    raise NoRuns(f"{missing}: {why}", f"{near} " * bool(near) + f"experiments: {', '.join(known)}; {elsewhere}")


def found_runs(
    store: Store, *, status: str | None, sweep: str | None, query: str | None, name: str | None = None
) -> Iterator[Any]:
    """The runs that match, read as they are asked for; a `UserError` that lists the existing ones if none does.

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
    if (first := next(found, None)) is None:
        raise _nothing(store, status, sweep, query, name)
    return chain([first], found)


def swept_keys(store: Store, sweep: str) -> list[str]:
    """What differs between the jobs of a sweep, in the order in which it was given; empty if that is not recorded."""
    of_it = f"tags.`rnnexp.sweep` = '{_sweep_id(store, sweep)}'"
    parent = next(iter(matching_runs(store, [of_it, SWEEPS], ["tags"])), None)
    return [] if parent is None else [key for key in parent.data.tags.get("rnnexp.swept", "").split(", ") if key]


def count_others(store: Store, *, status: str, sweep: str | None, query: str | None) -> int:
    """How many runs match except for their status."""
    return sum(1 for _ in _matching(store, [f"attributes.status != '{status}'"], sweep, query, ["tags"]))


def _matching(
    store: Store, clauses: list[str], sweep: str | None, query: str | None, parts: Sequence[str] = tuple(PARTS)
) -> Iterator[Any]:
    """The runs that match but the parents of sweeps, each once."""
    if query is not None and query.strip():
        clauses = [*clauses, query]
    chosen: list[list[str]] = [[]]
    if sweep is not None:
        of_it = f"tags.`rnnexp.sweep` = '{_sweep_id(store, sweep)}'"
        parents = matching_runs(store, [of_it, SWEEPS], ["tags"])
        skipped = [run for parent in parents for run in skipped_runs(parent.data.tags)]
        pages = (skipped[start : start + MOST_NAMED] for start in range(0, len(skipped), MOST_NAMED))
        named = (", ".join(f"'{run}'" for run in page) for page in pages)
        chosen = [[of_it], *([f"attributes.run_id IN ({page})"] for page in named)]
    from mlflow.exceptions import MlflowException

    seen = set()
    try:
        for those in chosen:
            for run in matching_runs(store, [*those, *clauses], parts):
                # MLflow's != would also leave out runs without the tag.
                if run.data.tags.get("rnnexp.kind") != "sweep" and run.info.run_id not in seen:
                    seen.add(run.info.run_id)
                    yield run
    except MlflowException as error:
        if query is None or error.error_code != "INVALID_PARAMETER_VALUE":
            raise stores.store_error(error, store.uri) from None
        raise UserError(f"the filter {show(query)} can't be read: {str(error).splitlines()[0]}", FILTER) from None


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
    counts: Counter[str] = Counter()
    sweeps: Counter[str] = Counter()
    for run in _matching(store, [], None, None, ["tags"]):
        counts[run.info.status] += 1
        sweeps.update([run.data.tags["rnnexp.sweep"]] if "rnnexp.sweep" in run.data.tags else [])
    if not counts:
        hint = "it is empty: start from the folder where the runs were recorded, or name another experiment or store"
        return NoRuns(f"{where} of {redact(store.uri)}{f', {asked}' if asked else ''}", hint)
    hint = f"there are {', '.join(f'{count} {word}' for word, count in counts.items())}"
    if sweeps:
        newest = list(sweeps.items())[-10:]
        hint += f"; newest sweeps: {', '.join(f'{found} ({count} runs)' for found, count in newest)}"
    near = nearest(sweep, sweeps) if sweep is not None else ""
    problem = f"{where} of {redact(store.uri)}{f' {asked}' if asked else ''}"
    return UserError(problem, "; ".join(filter(None, [near, hint, FILTER if query is not None else ""])))
