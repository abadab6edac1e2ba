"""The help, which is read faster than Hydra alone reads it, says the same."""

import subprocess
import sys

import pytest

CODE = "import sys; from rnnexp import __main__ as command; {}sys.argv[:] = {!r}; command.main()"
BY_HYDRA = "command.list_choices_faster = lambda: None; "


@pytest.mark.parametrize("arguments", [["--help"], ["--hydra-help"], ["--config-dir", "own", "--help"]])
def test_the_help_is_the_one_that_hydra_writes(tmp_path, arguments):
    (tmp_path / "own" / "cell").mkdir(parents=True)
    (tmp_path / "own" / "cell" / "mine.yaml").write_text("_target_: mine.Cell\n")

    def told(before):
        code = CODE.format(before, ["rnnexp", *arguments])
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    ours = told("")
    assert ours == told(BY_HYDRA) and "hydra" in ours.lower()
    assert ("mine" in ours) == ("--config-dir" in arguments)
