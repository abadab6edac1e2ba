"""The parent of a sweep's runs in MLflow."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from rnnexp.sweeps.jobs import Sweep
from rnnexp.tracking.mlflow_run import run_tags
from rnnexp.tracking.store import Store

#: The compare page of MLflow shows no more.
MOST_COMPARED = 50


class SweepRun:
    """A run that holds other runs. It is made and ended by the client, never active.

    Parameters
    ----------
    store : Store
    run : str
        MLflow run id.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.id = store, run

    def end_children(self, reason: str) -> None:
        """Mark the runs KILLED whose processes could not do it."""
        running = f"tags.`mlflow.parentRunId` = '{self.id}' and attributes.status = 'RUNNING'"
        for run in self.store.client.search_runs([self.store.experiment_id], filter_string=running):
            self.store.client.set_tag(run.info.run_id, "error", reason)
            self.store.client.set_terminated(run.info.run_id, "KILLED")

    def end(self, status: str, *, metrics: Mapping[str, float], tags: Mapping[str, str], files: list[Path]) -> None:
        """Keep what was found, and end the parent."""
        try:
            for name, value in metrics.items():
                self.store.client.log_metric(self.id, name, value)
            for name, text in tags.items():
                self.store.client.set_tag(self.id, name, text[:5000])
            for path in files:
                self.store.client.log_artifact(self.id, str(path))
        finally:
            self.store.client.set_terminated(self.id, status)

    def charts_link(self) -> str:
        """The page of the UI that draws a chart for each metric of the children."""
        children = quote(f"tags.`mlflow.parentRunId` = '{self.id}'", safe="")
        by_name = quote("tags.`mlflow.runName`", safe="")
        return f"{self.store.link('runs')}&searchFilter={children}&orderByKey={by_name}&compareRunsMode=CHART"

    def compare_link(self, runs: list[str]) -> str:
        """The page of the UI that compares children side by side, the first `MOST_COMPARED` of them."""
        listed = quote("[" + ",".join(f'"{run}"' for run in runs[:MOST_COMPARED]) + "]", safe="")
        experiments = quote(f'["{self.store.experiment_id}"]', safe="")
        return (
            f"{self.store.base()}/#/compare-runs?runs={listed}&experiments={experiments}&workflowType=machine_learning"
        )


def open_parent(sweep: Sweep, store: Store, *, run_name: str | None, count: int) -> SweepRun:
    """Begin the parent run."""
    from mlflow.entities import Param, RunTag

    command = " ".join(["python -m rnnexp -m", *sweep.overrides])
    tags = {**run_tags(command), "rnnexp.kind": "sweep", "rnnexp.sweep": sweep.id}
    swept = [text for text in sweep.overrides if text.lstrip("+~").partition("=")[0] in sweep.keys]
    name = run_name or "sweep: " + (", ".join(swept) or ", ".join(sweep.overrides) or "one job")
    run = store.client.create_run(store.experiment_id, tags=tags, run_name=name[:250])
    params = {"overrides": " ".join(sweep.overrides), **({"jobs": str(count)} if count else {})}
    store.client.log_batch(
        run.info.run_id,
        params=[Param(key, value[:6000]) for key, value in params.items() if value],
        tags=[RunTag("rnnexp.swept", ", ".join(sweep.keys))],
    )
    sweep.experiment, sweep.experiment_id = store.experiment, store.experiment_id
    return SweepRun(store, run.info.run_id)
