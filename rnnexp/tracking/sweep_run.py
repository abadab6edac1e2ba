"""The parent of a sweep's runs in MLflow."""

from collections.abc import Mapping
from urllib.parse import quote

from rnnexp.process import say
from rnnexp.records import Sweep
from rnnexp.redaction import reason_of
from rnnexp.tracking.keys import LONGEST_NAME
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.searching import matching_runs
from rnnexp.tracking.store import Store

#: The compare page of MLflow shows no more.
MOST_COMPARED = 50
#: Tags of the parent, numbered, that name the runs for which a job was skipped; and how many fit one.
SKIPPED, MOST_SKIPPED = "rnnexp.skipped.", 150


class SweepRun(MLflowRun):
    """A run that holds other runs. It is made and ended by the client, never active.

    Parameters
    ----------
    store : Store
    sweep : Sweep
    run_name : str or None
        Its name; what is swept when not given.
    count : int
        Number of jobs, 0 if only the sweeper will know.
    tags : mapping
        The user's own.
    resumed : bool
        Continue the log in the sweep's folder.
    """

    def __init__(
        self,
        store: Store,
        sweep: Sweep,
        *,
        run_name: str | None,
        count: int,
        tags: Mapping[str, str],
        resumed: bool = False,
    ) -> None:
        swept = sweep.swept(sweep.overrides) or sweep.overrides
        called = "sweep: " + (", ".join(swept) or "one job")
        if len(called) > LONGEST_NAME:  # the jobs' names have no keys
            called = "sweep: " + ", ".join(sweep.keys)
        super().__init__(
            store,
            run_name or called,
            {"overrides": " ".join(sweep.overrides), **({"jobs": count} if count else {})},
            " ".join(["python -m rnnexp -m", *sweep.overrides]),
            {**tags, "rnnexp.kind": "sweep", "rnnexp.sweep": sweep.id, "rnnexp.swept": ", ".join(sweep.keys)}
            | {"rnnexp.folder": str(sweep.folder)},
            folder=sweep.folder,
            resumed=resumed,
        )
        self.write()  # so that a sweep that is killed and started again finds its parent

    def end_children(self, reason: str) -> None:
        """Mark the runs KILLED whose processes could not do it."""
        running = ["attributes.status = 'RUNNING'", f"tags.`mlflow.parentRunId` = '{self.id}'"]
        try:
            for run in list(matching_runs(self.store, running, ["tags"])):
                self.store.client.set_tag(run.info.run_id, "error", reason)
                self.store.client.set_terminated(run.info.run_id, "KILLED")
        except Exception as error:  # the next start of a run here does it
            why = reason_of(error, self.store.uri)
            say(f"rnnexp: runs of killed jobs could not be marked in MLflow: {why}", error=True)

    def end(self, status: str, tags: Mapping[str, str]) -> str:
        """End it, and upload what its jobs could not, if the store works again."""
        from rnnexp.tracking.sync import upload_ended

        problem = super().end(status, tags)
        if problem:
            say(f"rnnexp: the sweep's record in MLflow is not complete, and nowhere else: {problem}", error=True)
        elif not self.undelivered:
            upload_ended(self.folder, self.store)
        return problem

    def charts_link(self, runs: list[str]) -> str:
        """The page of the UI that draws a chart for each metric of the children.

        Parameters
        ----------
        runs : list of str
            Where some of them are children of an earlier sweep: all, of which the first `MOST_COMPARED` are shown.
        """
        named = ", ".join(f"'{run}'" for run in runs[:MOST_COMPARED])
        of_this = f"tags.`mlflow.parentRunId` = '{self.id}'"
        children = quote(f"attributes.run_id IN ({named})" if runs else of_this, safe="")
        by_name = quote("tags.`mlflow.runName`", safe="")
        return f"{self.store.link('runs')}&searchFilter={children}&orderByKey={by_name}&compareRunsMode=CHART"

    def compare_link(self, runs: list[str]) -> str:
        """The compare page of the UI for the children, at most the first `MOST_COMPARED` of them."""
        listed = quote("[" + ",".join(f'"{run}"' for run in runs[:MOST_COMPARED]) + "]", safe="")
        experiments = quote(f'["{self.store.experiment_id}"]', safe="")
        return (
            f"{self.store.base()}/#/compare-runs?runs={listed}&experiments={experiments}&workflowType=machine_learning"
        )


def skipped_tags(runs: list[str]) -> dict[str, str]:
    """Tags of a parent that name the earlier runs which stand for jobs of its sweep."""
    parts = [runs[start : start + MOST_SKIPPED] for start in range(0, len(runs), MOST_SKIPPED)]
    return {f"{SKIPPED}{number}": " ".join(part) for number, part in enumerate(parts)}


def skipped_runs(tags: Mapping[str, str]) -> list[str]:
    """The runs that `skipped_tags` named."""
    return [run for name, value in tags.items() if name.startswith(SKIPPED) for run in value.split()]
