"""One sequence as readable text: its inputs, and its targets at the scored steps."""

from collections.abc import Sequence

from rnnexp.tasks.base import Array, Batch, Task


def trial_text(task: Task, batch: Batch, *, sequence: int = 0, width: int = 100) -> str:
    """A sequence as lines of at most `width` characters, time running to the right.

    Parameters
    ----------
    task : Task
        Gives tokens and classes their names.
    batch : Batch
        Sequences (T, N, ...), of which `sequence` is shown.
    sequence : int
    width : int
        Characters per line; longer sequences are wrapped.

    Returns
    -------
    str
        A row of step numbers, of each input, of each target at scored steps (and of the classes that count as right,
        if any), and of marks under the scored steps.
    """
    rows = {"step": [str(step) for step in range(len(batch.inputs))]}
    rows.update(_rows("input", batch.inputs[:, sequence], task.input_names))
    scored = batch.mask[:, sequence]
    for name, cells in _rows("target", batch.targets[:, sequence], task.output_names).items():
        rows[name] = [cell if here else "" for cell, here in zip(cells, scored, strict=True)]
    if batch.allowed is not None:
        names = task.output_names or [str(index) for index in range(task.output_size)]
        rows["right"] = [
            "".join(name for name, right in zip(names, allowed, strict=True) if right) if here else ""
            for allowed, here in zip(batch.allowed[:, sequence], scored, strict=True)
        ]
    rows["scored"] = ["^" if here else "" for here in scored]
    label = max(map(len, rows)) + 1
    cell = max(len(text) for cells in rows.values() for text in cells) + 1
    columns = max(1, (width - label) // cell)
    blocks = [
        "\n".join(
            (name.ljust(label) + "".join(text.rjust(cell) for text in cells[start : start + columns])).rstrip()
            for name, cells in rows.items()
        )
        for start in range(0, len(rows["step"]), columns)
    ]
    return "\n\n".join(blocks)


def _rows(name: str, values: Array, names: Sequence[str] | None) -> dict[str, list[str]]:
    """Cells for tokens or classes (T,), or for each of several values (T, D)."""
    if values.ndim == 1:
        return {name: [names[int(value)] if names else str(value) for value in values]}
    numbered = [name] if values.shape[1] == 1 else [f"{name} {index}" for index in range(values.shape[1])]
    columns = zip(names or numbered, values.T, strict=True)
    return {label: [f"{value:.2f}" for value in column] for label, column in columns}
