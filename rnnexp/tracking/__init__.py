"""Where results go: MLflow, the run folder, the terminal. MLflow and matplotlib are imported here and nowhere else."""

from rnnexp.tracking.recorder import Recorder, RunInfo, finished_before, open_recorder

__all__ = ["Recorder", "RunInfo", "finished_before", "open_recorder"]
