"""What the tracking store has not taken yet: a queue in memory, and its copy in the run folder when the store fails.

The file holds one JSON object a line: first whose record it is, then what is to be delivered, in order. To deliver the
same twice does no harm: MLflow keeps a point once if its name, step, value and time are the same, and parameters, tags,
files and the end of a run are set, not added.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnexp.json_lines import Lines, read_lines

#: Name of the file in the run folder.
OUTBOX_FILE = "outbox.jsonl"
#: MLflow takes at most 1000 metrics in one call, and a call of many costs hardly more than a call of one.
BATCH = 1000
Entry = dict[str, Any]


class Outbox:
    """A run's undelivered record.

    Parameters
    ----------
    folder : Path
        The run folder.
    head : mapping
        Whose record it is: `run` (its id; null if it could not even be created, with `create` to do that),
        `uri` (without credentials), `experiment_id`, `host`, `pid`, `process_start`.

    Attributes
    ----------
    entries : list of dict
        One of `metrics` ([name, value, milliseconds, step], ...), `params`, `tags`, `artifact` (a path in the folder),
        `end` ([status, milliseconds]) each.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any]) -> None:
        self.folder, self.head = folder, dict(head)
        self.entries: list[Entry] = []
        self._unsaved: list[Entry] = []
        self._lines: Lines | None = None

    @classmethod
    def load(cls, path: Path) -> "Outbox":
        """The outbox that a file holds.

        Raises
        ------
        ValueError
            If it is none.
        OSError
            If it can't be read.
        """
        head, *entries = read_lines(path) or [None]
        if not isinstance(head, dict) or "uri" not in head or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("it is no outbox")
        outbox = cls(path.parent, head)
        outbox.entries = entries
        outbox._lines = Lines(path)
        return outbox

    def put(self, **entry: Any) -> None:
        """Add an entry to the end."""
        self.entries.append(entry)
        self._unsaved.append(entry)

    @property
    def end(self) -> tuple[str, int] | None:
        """How and when the run ended, if that waits to be told."""
        return next((tuple(entry["end"]) for entry in self.entries if "end" in entry), None)

    def deliver(self, client: Any, run: str, artifacts: Any) -> None:
        """Send everything; what was acknowledged is no longer among the entries, whatever is raised.

        Parameters
        ----------
        client : mlflow.MlflowClient
        run : str
        artifacts : ArtifactRepository
            Of the run.
        """
        from mlflow.entities import Metric, Param, RunTag

        for batch, metrics, params, tags in self._batches():
            client.log_batch(
                run,
                metrics=[Metric(*point) for point in metrics],
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            self._drop(batch)
        for entry in [entry for entry in self.entries if "artifact" in entry]:
            path = self.folder / entry["artifact"]
            # What somebody deleted in the meantime can't be waited for.
            if path.is_file():
                artifacts.log_artifact(str(path))
            self._drop([entry])
        if (end := self.end) is not None:
            client.set_terminated(run, end[0], end[1])
            self._drop([entry for entry in self.entries if "end" in entry])

    def _batches(self) -> Iterator[tuple[list[Entry], list[Any], Entry, Entry]]:
        """Entries for one call each, and what they hold."""
        batch: list[Entry] = []
        metrics: list[Any] = []
        params: Entry = {}
        tags: Entry = {}
        for entry in [entry for entry in self.entries if entry.keys() & {"metrics", "params", "tags"}]:
            if metrics and len(metrics) + len(entry.get("metrics", ())) > BATCH:
                yield batch, metrics, params, tags
                batch, metrics, params, tags = [], [], {}, {}
            batch.append(entry)
            metrics += entry.get("metrics", ())
            params |= entry.get("params", {})
            tags |= entry.get("tags", {})
        if batch:
            yield batch, metrics, params, tags

    def _drop(self, entries: list[Entry]) -> None:
        gone = {id(entry) for entry in entries}
        self.entries = [entry for entry in self.entries if id(entry) not in gone]
        self._unsaved = [entry for entry in self._unsaved if id(entry) not in gone]

    def save(self) -> str:
        """Append to the file what is not in it yet; why that could not be done, or nothing."""
        if self._lines is None:
            self._lines = Lines(self.folder / OUTBOX_FILE)
            self._lines.add(self.head)
        for entry in self._unsaved:
            self._lines.add(entry)
        self._unsaved = []
        self._lines.write()
        return self._lines.problem

    def forget(self) -> None:
        """Delete what an earlier process left."""
        with contextlib.suppress(OSError):
            (self.folder / OUTBOX_FILE).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the file, if there is one: everything was delivered."""
        if self._lines is not None:
            self._lines.remove()
            self._lines = None


def contents(outbox: Outbox) -> dict[str, int]:
    """How much of what is in an outbox."""
    found = {"points": 0, "params": 0, "files": 0}
    for entry in outbox.entries:
        found["points"] += len(entry.get("metrics", ()))
        found["params"] += len(entry.get("params", ()))
        found["files"] += "artifact" in entry
    return found


def inside(folder: Path, name: str) -> bool:
    """Whether a name means a file in the folder: an outbox is read from a file that anybody may have written."""
    with contextlib.suppress(OSError, ValueError):
        return (folder / name).resolve().is_relative_to(folder.resolve())
    return False
