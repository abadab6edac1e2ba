"""Tables that MLflow's UI shows as tables: files of the form that `mlflow.log_table` gives them.

Such a file is sent like any other of the run, and stored once however often; `log_table` appends to what is there.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnexp.json_lines import document


def write_mlflow_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A table with one row each; all have the same keys in the same order. What is not finite is left empty."""
    table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    path.write_text(document(table), encoding="utf-8")


def table_tag(*names: str) -> dict[str, str]:
    """The tag by which MLflow knows which of a run's files are tables."""
    return {"mlflow.loggedArtifacts": json.dumps([{"path": name, "type": "table"} for name in names])} if names else {}
