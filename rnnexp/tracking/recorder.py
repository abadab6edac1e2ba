"""Records a run: its metrics, tables, figures and end, in the run folder and in MLflow."""

import contextlib
import csv
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from rnnexp import own_code, process
from rnnexp.checks import UserError
from rnnexp.experiment import Experiment
from rnnexp.history import History, Point, is_last_curve
from rnnexp.plot.axes import in_formats, save_figure
from rnnexp.plot.gradient_plots import drawings
from rnnexp.records import Diverged, JobRecord
from rnnexp.redaction import redact_text
from rnnexp.run_info import RunInfo
from rnnexp.settings import formats_of
from rnnexp.tasks import Text
from rnnexp.tasks.repeats import repeated_share
from rnnexp.tracking import summary
from rnnexp.tracking.datasets import dataset
from rnnexp.tracking.failures import attempt
from rnnexp.tracking.gradient_report import write_report
from rnnexp.tracking.keys import mlflow_key
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.model import keep_model
from rnnexp.tracking.progress import Quiet, progress_display
from rnnexp.tracking.run_folder import RunFolder
from rnnexp.tracking.run_log import RUN_LOG, RunLog
from rnnexp.tracking.saver import Saver
from rnnexp.tracking.summary_file import SUMMARY, write_summary
from rnnexp.tracking.tables import table_tag, write_mlflow_table
from rnnexp.tracking.thinning import Thinned
from rnnexp.training import Report, Run
from rnnexp.training.sampling import generate

SAMPLE_LENGTH = 1000
#: In MLflow: the norms by lag of the last study.
TABLE = "gradient_by_lag.json"


class Recorder:
    """A context manager that takes in every report and leaves a complete record, whatever happens.

    Parameters
    ----------
    experiment : Experiment
    training : Run
        Of the experiment.
    info : RunInfo
    log : RunLog
        A `MLflowRun`, or one that stays in the run folder.
    """

    def __init__(self, experiment: Experiment, training: Run, info: RunInfo, log: RunLog) -> None:
        self.experiment, self.training, self.info, self.log = experiment, training, info, log
        self.run = log if isinstance(log, MLflowRun) else None
        self.history, resumed = History(experiment.task, experiment.steps), info.resumed is not None
        self.saver = Saver(info.folder, info.settings["checkpoint"], experiment.steps, resumed=resumed)
        of_sweep = "rnnexp.sweep" in log.creator.get("tags", ())  # also when a job's run is resumed alone
        self._thinned = Thinned(experiment.steps) if of_sweep else None
        if info.resumed is not None and "history" in info.resumed:
            self.history.restore(info.resumed["history"])
            self._tell(self.history.points())  # a process that was killed may not have written them
        self.parameters = Point("network/parameters", experiment.network.parameters.vector.size, 0)
        self._later = [self.parameters]  # MLflow's charts and comparisons begin with the metric that was sent first
        self._files = RunFolder(info.folder)
        for name, source in info.code.sources.items():
            self._files.save(f"{own_code.FOLDER}/{name}", partial(write_source, source))
        shown = info.sweep is None and not process.is_quiet()
        self._progress = progress_display(experiment.steps) if shown else Quiet()
        self._model: list[str] = []
        self._seconds, self._began = 0.0, time.time()
        with contextlib.suppress(OSError):
            (info.folder / SUMMARY).unlink(missing_ok=True)  # of a run that goes on

    def __enter__(self) -> "Recorder":
        """Begin."""
        self._progress.__enter__()
        return self

    def train_with(self, runs: int) -> None:
        """Training begins, of so many runs at a time. A run of a stack leaves its dataset to its sweep: it costs."""
        if self.run is not None and runs == 1 and self.info.resumed is None:
            info = self.info
            self.run.put(inputs=[dataset(self.experiment, info.settings, info.choices, info.started_in)])
        self.log.train_with(runs)

    def record(self, report: Report, seconds: float = 0.0) -> None:
        """Take in a report, and how long training has taken."""
        self._seconds = seconds
        self._tell([*self.history.add(report), *self._later])
        self._later = []
        if report.step < self.history.steps:  # the end sends everything
            self.log.flush_if_due()
        self._progress.show(report)

    def _tell(self, points: list[Point]) -> None:
        """Give the log points, fewer of them in a sweep; the run's own table has all."""
        self.log.add(points if self._thinned is None else self._thinned.take(points))

    def save(self, report: Report) -> None:
        """Write a checkpoint; training is between two updates."""
        about = {
            "settings": dict(self.info.settings),
            "choices": dict(self.info.choices),
            "overrides": list(self.info.overrides),
            "hash": self.info.config_hash,
            "data": self.info.data,
            "code": self.info.code.tag,
            "log": self.log.word,
            "eval_limit": self.experiment.limit.steps,
        }
        loss = None if report.evaluation is None else report.evaluation.loss
        if self.saver.files is not None:
            self.log.write()  # which never lacks what a checkpoint has
        self.saver.warned |= self.log.warned
        self.saver.save(self.training, {"run": about, "history": self.history.state()}, loss, self._seconds)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End: print the summary; write the tables, the figures and the status in MLflow."""
        with attempt("the end of the progress bar"):
            self._progress.__exit__(kind, error, traceback)
        try:
            self._close(error and process.root_cause(error))
        except Exception as fault:
            if error is None:
                raise
            # What can't be written any more must not stand in the way of what went wrong before it.
            store_error = fault.problem if isinstance(fault, UserError) else f"{type(fault).__name__}: {fault}"
            process.say(f"rnnexp: the record could not be closed: {store_error}", error=True)

    def discard(self) -> None:
        """Take back what was recorded, as far as that can be done; of a resumed run it stays, and may go on."""
        self._progress.__exit__(None, None, None)
        if self.info.resumed is not None:
            self.log.write()
            return
        self.saver.discard()
        self.log.discard()

    def _close(self, error: BaseException | None) -> None:
        tags: dict[str, str] = {}
        diverged = summary.divergence(self.history)
        status = "FINISHED"
        if error is not None:
            status = "KILLED" if process.is_interruption(error) else "FAILED"
            tags["error"] = reason(error, self.info)
        elif diverged:
            status = "FAILED"
            tags["diverged"], tags["error"] = "\n".join(diverged), diverged[0]
        if self.history.not_finite:
            tags["not_finite_values"] = str(self.history.not_finite)
        if self.saver.written:
            tags["checkpoints"] = self.saver.steps_kept
        if self.history.stopped:
            tags["stopped"] = f"at step {self.history.step} of {self.history.steps}: {self.history.stopped}"
        if whole := status == "FINISHED":
            with attempt("the test"):
                self._test()
        # A run that may be resumed will have other last points, and MLflow keeps every value of a step.
        unfinished = error is not None and self.saver.files is not None
        if self._thinned is not None and not unfinished:
            self.log.add(self._thinned.rest())
        try:
            if problem := self.log.write():
                self._files.missing[RUN_LOG] = problem
            with attempt("what was left of the run's files"):
                self._write_tables()
            if error is None and (problem := self._files.problem()):
                status, tags["error"] = "FAILED", problem
            findings: list[str] = []
            with attempt("the summary of the run"):
                findings = self._findings()
                tags["mlflow.note.content"] = "```\n" + "\n".join(findings) + "\n```"
            if error is None and self.info.job is None and not problem:  # before what takes longer
                with attempt("the summary on the screen"):
                    took = f"{self.history.step} updates in {self._seconds:.1f} s"
                    folder = f"run folder          {self.info.folder}"
                    process.say(f"{self.info.name}: {took}, {status}", *findings, folder)
            with attempt("what was left of the run's figures"):
                self._write_figures()
            if self.run is not None and self.info.sweep is None and (rows := self.history.norm_rows(last=True)):
                with attempt("the table of the gradient by lag"):
                    if self._files.save(TABLE, partial(write_mlflow_table, rows), extra=True):
                        tags |= table_tag(TABLE)
            if whole and isinstance(task := self.experiment.task, Text):
                self._files.save("sample.txt", partial(self._write_sample, task), extra=True)
            with attempt("the list of final values"):
                self.log.add(p for p in self.history.summary() if not (unfinished and is_last_curve(p.name)))
            self._files.save(SUMMARY, partial(self._write_summary, status, tags), extra=True)
            for path in self._files.written:
                self.log.artifact(path)
            known = self.log.id
        finally:
            if self.info.job is not None and status == "FINISHED":  # as MLflow will have it, whatever comes after
                self.info.job.status = status
            if problem := self.log.end(status, tags):
                self._files.missing[RUN_LOG] = problem
        if known != self.log.id:  # the run was created in MLflow at its end
            self._files.save(SUMMARY, partial(self._write_summary, status, tags), extra=True)
        if status == "FINISHED":
            self.saver.finish(self.history.step)
        if self.info.job is not None:
            with attempt("a part of the job's results"):
                self._complete_job(self.info.job, status)
        if status == "FINISHED":
            self._model = keep_model(self.info, self.experiment, self.run, self.history.step)
        if status == "KILLED" and self.saver.written and self.info.job is None:  # the sweep says it once for all
            process.say(f"rnnexp: to go on: python -m rnnexp resume={self.info.folder}", error=True)
        if problem := self._files.problem():
            raise UserError(problem, "free some space there, and run it again")
        if error is None and self.info.job is None and self.run is not None:
            with attempt("the run's links"):
                process.say(*self._links(self.run))
            if lost := self.run.lost():
                raise lost
        if self.info.job is not None and status == "FINISHED":
            with attempt("the summary on the screen"):
                took = f"{self.history.step} updates in {self._seconds:.1f} s"
                process.say(f"{self.info.job.label}: {took}, {status}, evaluation loss {self.final_loss:.4g}")

    def _test(self) -> None:
        """Evaluate the best and the final weights on data that selection never saw."""
        if (unseen := self.experiment.unseen()) is not None:
            self.history.tested = self.training.evaluate_best(unseen)
            self.history.test_is_evaluation = unseen.same_as(self.experiment.held_out)

    def _findings(self) -> list[str]:
        lines = summary.losses(self.history)
        if part := self.experiment.evaluated:
            lines.append(f"evaluated on        {part}; task.eval_limit=null reads all")
        lines += summary.gradient(self.history)
        if (wanted := self.info.settings["parameters"]) is not None:
            size = f"{self.parameters.value} with hidden_size={self.info.settings['hidden_size']}"
            lines.append(f"parameters          {size} (asked for: {wanted})")
        return lines

    def _complete_job(self, job: JobRecord, status: str) -> None:
        """Enter the results in the sweep's record of the job."""
        job.run = None if self.run is None else self.run.id
        summary = [*self.history.summary(), self.parameters]
        job.values, job.config = self.info.job_values(), self.info.config_hash
        job.metrics = {
            mlflow_key(point.name): point.value for point in summary if not point.name.startswith("gradient_by_lag")
        }
        job.curve = [(point.step, point.value) for point in summary if point.name == "gradient_by_lag/last"]

    def _links(self, run: MLflowRun) -> list[str]:
        """Where the run is in MLflow, or how it comes there."""
        lines = []
        if run.id is not None:
            lines.append(f"MLflow run          {run.id} in experiment {run.store.experiment}")
            if command := run.store.ui_command():
                lines.append(f"to see it, start    {command}")
            lines.append(f"and open            {run.store.link(f'runs/{run.id}')}")
            lines += self._model
        if run.undelivered:
            lines.append(f"not uploaded yet    {run.sync_command()}")
        return lines

    def _write_tables(self) -> None:
        """The configuration, the metrics, and the norms by lag."""
        files, history, experiment = self._files, self.history, self.experiment
        files.save("config.yaml", lambda path: path.write_text(self.info.config_yaml, encoding="utf-8"))
        rows = [
            {"metric": name, "step": step, "value": value}
            for name, curve in history.curves.items()
            for step, value in curve
        ]
        for name, table in (("metrics.csv", rows), ("gradient_by_lag.csv", history.norm_rows())):
            if table:
                files.save(name, partial(write_table, table))
        drawn = history.step * experiment.batch_size
        history.repeated = repeated_share(experiment.task, experiment.held_out, drawn, experiment.batch_size)

    def _write_figures(self) -> None:
        """The figures, if they are wanted, and the report that shows them."""
        files, history, length = self._files, self.history, self.experiment.algorithm.length
        figures: dict[str, Any] = {}
        wanted = self.info.settings["tracking"].get("figures")
        if self.info.sweep is None if wanted is None else wanted:
            for name, draw in drawings(history, length).items():
                with attempt(name):
                    figures[name] = draw(subtitle=self.info.name)
        formats = formats_of(self.info.settings["tracking"])
        saved = {
            name: [
                files.path / each
                for each in in_formats(name, formats)
                if files.save(each, partial(save_figure, figure), extra=True)
            ]
            for name, figure in figures.items()
        }
        pictures = {name: paths for name, paths in saved.items() if paths}
        if history.studies and (pictures or self.info.sweep is None):
            report = partial(write_report, history, files.path, self.info.name, pictures, length)
            files.save("gradient_report.html", lambda path: report(), extra=True)

    def _write_summary(self, status: str, tags: Mapping[str, str], path: Path) -> None:
        times = {"began": self._began, "seconds": self._seconds}
        write_summary(path, self.info, self.log, self.history, status=status, error=tags.get("error", ""), **times)

    def _write_sample(self, task: Text, path: Path) -> None:
        tokens = generate(self.experiment.network, task.start, SAMPLE_LENGTH, rng=self.experiment.sampling)
        path.write_text(task.decode(tokens), encoding="utf-8")

    def raise_if_diverged(self) -> None:
        """Raise `Diverged`, which tells how, if the run did."""
        if store_error := summary.divergence(self.history):
            raise Diverged(*store_error)

    @property
    def final_loss(self) -> float:
        """The last finite evaluation loss."""
        return self.history.last("eval/loss")


def write_source(source: str, path: Path) -> None:
    """A file of the person's, as it was when the run began."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8", errors="surrogatepass", newline="")


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A CSV file with one row each; all have the same keys in the same order."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)


def reason(error: BaseException, info: RunInfo) -> str:
    """Why a run ended, for its tag."""
    if process.is_interruption(error):
        return f"stopped by {process.describe_interruption(error)}"
    return redact_text(f"{type(error).__name__}: {error}", info.uri or "")
