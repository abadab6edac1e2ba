"""Where results go: MLflow, the run folder, the terminal. MLflow is imported here and in `rnnexp.report`, on demand."""

from rnnexp.tracking.recorder import Recorder, RunInfo, finished_before, open_recorder

__all__ = ["Recorder", "RunInfo", "finished_before", "open_recorder"]
