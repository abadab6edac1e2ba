"""Where results go: MLflow, the run folder, the terminal. MLflow is imported here and in `rnnexp.report`, on demand."""

from rnnexp.tracking.recorder import Recorder, failure_recorded, finished_before, open_recorder
from rnnexp.tracking.run_info import RunInfo

__all__ = ["Recorder", "RunInfo", "failure_recorded", "finished_before", "open_recorder"]
