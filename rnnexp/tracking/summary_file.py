"""What a run came to, as a file for scripts."""

from datetime import UTC, datetime
from pathlib import Path

from rnnexp.history import History
from rnnexp.json_lines import document
from rnnexp.run_info import RunInfo
from rnnexp.tracking.run_log import RunLog

SUMMARY = "summary.json"


def write_summary(
    path: Path, info: RunInfo, log: RunLog, history: History, *, status: str, error: str, began: float, seconds: float
) -> None:
    """Write status, final numbers, identity and times of a run; numbers are not rounded, and null if not finite.

    Parameters
    ----------
    error : str
        Why it did not finish; empty if it did.
    began, seconds : float
        When this process began to record it, in seconds since 1970, and how long it has trained.
    """
    finals = [point for point in history.summary() if not point.name.startswith("gradient_by_lag")]
    about = {
        "name": info.name,
        "status": status,
        "error": error or None,
        "task": info.choices.get("task"),
        "run": log.id,
        "sweep": None if info.sweep is None else info.sweep.id,
        "job": None if info.job is None else info.job.number,
        "config_hash": info.config_hash,
        "data": info.data or None,
        "overrides": list(info.overrides),
        "folder": info.folder.resolve(),
        "resumed": info.resumed is not None,
        "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds"),
        "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "training_seconds": seconds,
        "step": history.step,
        "steps": history.steps,
        "stopped": history.stopped or None,
        "metrics": {point.name: point.value for point in finals},
    }
    path.write_text(document(about) + "\n", encoding="utf-8")
