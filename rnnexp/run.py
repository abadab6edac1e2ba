"""One job, however it was launched: build, train, record."""

from rnnexp import process
from rnnexp.build import build_experiment
from rnnexp.experiment import Experiment
from rnnexp.run_info import RunInfo
from rnnexp.tracking.recorder import failure_recorded, finished_before, open_recorder


def train_and_record(info: RunInfo, experiment: Experiment | None = None) -> float:
    """Build unless that is done, train, record; the final evaluation loss."""
    with failure_recorded(info):
        experiment = experiment or build_experiment(info.settings)
    info = info.of(experiment.task)
    if info.settings["skip_finished"] and (loss := finished_before(info)) is not None:
        return loss

    training = experiment.run()
    if info.resumed is not None:
        training.trainer.restore(info.resumed["trainer"])
    # From before the run is there until after its end is told: no interruption may leave it RUNNING.
    with process.postponed(), open_recorder(info, experiment) as recorder:
        process.check()
        for report in training.reports():
            recorder.record(report)
            stopping = process.waiting()  # one that comes later waits for the next update, and its checkpoint
            recorder.save_if_due(training.trainer, report)
            if stopping:
                process.check()
    recorder.raise_if_diverged()
    return recorder.final_loss
