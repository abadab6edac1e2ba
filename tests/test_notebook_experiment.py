import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "experiments" / "vanilla_rnn" / "run.py"


def test_the_script_prints_what_its_readme_shows():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = (SCRIPT.parent / "README.md").read_text(encoding="utf-8")
    states = [line for line in done.stdout.splitlines() if line.startswith(("step", "        state", "        output"))]
    assert len(states) == 6
    for line in states:
        assert line in shown
    assert "equal: the layer is the cell" in done.stdout
