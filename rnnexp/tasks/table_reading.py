"""What was made of a user's table, in a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rnnexp.tasks.table_columns import few
from rnnexp.tasks.table_roles import Roles
from rnnexp.tasks.table_split import Split


@dataclass
class Reading:
    """What is said of a table.

    Attributes
    ----------
    rows : int
        In the file.
    unnamed : sequence of int
        Columns without a name, from 1.
    written : mapping of str to str
        How numbers are written that are not plain ones, by column.
    constant : list of str
        Columns that are constant in the training part.
    """

    path: str
    rows: int
    unnamed: Sequence[int]
    written: Mapping[str, str]
    constant: list[str] = field(default_factory=list)

    def note_scale(self, name: str, std: float) -> None:
        """Note a column that is constant where it is trained on."""
        if std == 0:
            self.constant.append(name)

    def line(self, roles: Roles, split: Split, horizon: int, *, dropped: int, filled: Mapping[str, int]) -> str:
        """Inputs, targets, what is left out and why, the split, and how cells were read."""
        left = [f"{name} ({why})" for name, why in roles.left_out.items()]
        left += [f"column {number} (no name)" for number in self.unnamed]
        same = roles.targets == roles.inputs and horizon > 0
        targets = "the same" if same else few(roles.targets, 8)
        own = set() if same or horizon == 0 else set(roles.targets)
        named = few([f"{name} (its own past)" if name in own else name for name in roles.inputs], 8)
        parts = [
            f"inputs {named}",
            f"targets {targets}" + (f", {horizon} rows ahead" if horizon > 1 else " of the same row" * (horizon == 0)),
            f"left out: {few(left, 8)}" if left else "no column left out",
            self._series(roles, split),
        ]
        if roles.time is not None:
            parts.append(f"sorted by {roles.time}")
        parts += [f"{name} read {how}" for name, how in list(self.written.items())[:8]]
        if dropped:
            parts.append(f"{dropped} of {self.rows} rows dropped, the series cut there")
        if filled:
            counts = few([f"{name} {count}" for name, count in filled.items()], 8)
            parts.append(f"interpolated within each part: {counts}")
        if self.constant:
            parts.append(f"constant in the training part: {few(self.constant, 8)}")
        return f"{Path(self.path).name}: " + "; ".join(parts)

    def _series(self, roles: Roles, split: Split) -> str:
        """How the rows are split."""
        sizes = [int((spans[:, 1] - spans[:, 0]).sum()) for spans in split.spans]
        counts = [len(spans) for spans in split.spans]
        by = f" by {roles.sequence}" if roles.sequence is not None else ""
        if split.along_time:
            whose = f"{counts[0]} sequences{by}, each split along time: " if counts[0] > 1 else ""
            return f"{whose}{sizes[0]} rows to train, then {sizes[1]} to evaluate, {sizes[2]} to test"
        return f"{sum(counts)} sequences{by}: {counts[0]} to train, {counts[1]} to evaluate, {counts[2]} to test"
