"""Run the notebook from top to bottom and keep its outputs: ``make notebook``, or ``python execute.py``.

An error in a cell ends it with a traceback and exit code 1, and the file stays as it was.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")


def executed(path: Path = NOTEBOOK) -> nbformat.NotebookNode:
    """The notebook with fresh outputs, and without what differs from one machine or moment to the next."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=120, record_timing=False, coalesce_streams=True, resources=resources)
    client.execute()
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main() -> None:
    """Execute and write."""
    try:
        notebook = executed()
    except CellExecutionError as error:
        sys.exit(str(error))
    nbformat.write(notebook, NOTEBOOK)
    print(f"executed {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells of {NOTEBOOK.name}")


if __name__ == "__main__":
    main()
