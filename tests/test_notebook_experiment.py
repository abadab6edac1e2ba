import importlib.util
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "experiments" / "vanilla_rnn"


def texts(cell):
    return "".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream")


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(FOLDER / "notebook.ipynb", as_version=4)


@pytest.fixture(scope="module")
def executed():
    spec = importlib.util.spec_from_file_location("execute_notebook", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.executed()


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_cell_runs_and_prints_what_is_written_there(committed, executed):
    pairs = list(zip(code_cells(committed), code_cells(executed), strict=True))
    same = [(old, new) for old, new in pairs if "same-numbers" in old.metadata.get("tags", [])]
    assert len(same) >= 8
    for old, new in same:
        assert texts(new) == texts(old), old.source
    for old, new in pairs:
        assert [output.output_type for output in new.outputs] == [output.output_type for output in old.outputs]


def test_the_network_of_the_notebook_learns_and_its_gradient_vanishes(executed):
    printed = "".join(map(texts, code_cells(executed)))
    assert "right answers: 100%" in printed
    rates = [float(line.split(": ")[1].split()[0]) for line in printed.splitlines() if "nats per step back" in line]
    assert len(rates) == 3
    assert rates == sorted(rates)
    assert rates[0] < -0.69
    assert rates[1] < -0.2


def test_the_committed_notebook_was_run_once_from_top_to_bottom(committed):
    nbformat.validate(committed)
    cells = code_cells(committed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs) == 3
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def test_the_committed_notebook_is_small_and_names_no_machine(committed):
    text = (FOLDER / "notebook.ipynb").read_text(encoding="utf-8")
    assert len(text) < 300_000
    for cell in code_cells(committed):
        for word in ("site-packages", ".venv", "/home/", "/Users/", "C:\\", str(Path.cwd())):
            assert word not in texts(cell)
        assert "execution" not in cell.metadata
    assert committed.metadata.kernelspec.name == "python3"
    assert committed.metadata.language_info == {"name": "python"}


def test_the_notebook_uses_the_python_api_alone(committed):
    source = "\n".join(cell.source for cell in code_cells(committed))
    imports = {line.strip() for line in source.splitlines() if line.strip().startswith(("import ", "from "))}
    assert imports == {"import numpy as np", "import rnnexp"}
