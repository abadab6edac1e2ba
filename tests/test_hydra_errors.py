"""A choice that is not there: what to do depends on where it would come from."""

import errno
import os

import pytest
from hydra.errors import ConfigCompositionException, MissingConfigException

from rnnexp.command.check_first import register
from rnnexp.command.hydra_errors import EXTRAS, explain


def missing(group, choice, there):
    return explain(MissingConfigException("not there", f"{group}/{choice}", there), [])


@pytest.mark.parametrize("choice", EXTRAS)
def test_a_launcher_or_sweeper_of_an_extra_names_it(choice):
    group, _, name = choice.rpartition("/")
    told = missing(group, name, ["basic"])
    assert told.key == group
    assert f"--editable '.[{EXTRAS[choice]}]'" in told.hint
    assert "--config-dir" not in told.hint


def test_other_choices_are_near_or_a_persons_own():
    assert "'lstm'" in missing("cell", "lsmt", ["gru", "lstm", "rnn"]).hint
    assert "--config-dir" in missing("cell", "mine", ["gru", "lstm", "rnn"]).hint


def test_stacks_on_slurm_are_dasks():
    error = ConfigCompositionException("Could not override 'hydra.launcher.max_copies'.")
    (alone, on_slurm) = [explain(error, [f"hydra/launcher={name}"]).hint for name in ("joblib", "submitit_slurm")]
    assert alone == "add hydra/launcher=stacked"
    assert on_slurm.startswith("instead: hydra/launcher=stacked hydra.launcher.backend=dask hydra.launcher.address=")


@pytest.mark.parametrize(
    ("key", "target", "gives"),
    [
        ("task.separator", "rnnexp.tasks.Table", "+task.separator=x"),
        ("task.seperator", "rnnexp.tasks.Table", None),
        ("task.output_size", "rnnexp.tasks.Text", None),
        ("task.separator", "nope.Nope", None),
    ],
)
def test_a_setting_that_a_yaml_file_does_not_name_is_given_with_a_plus(tmp_path, key, target, gives):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "load.yaml").write_text(f"_target_: {target}\npath: a.csv\n")
    error = ConfigCompositionException(f"Could not override '{key}'.")
    register()
    told = explain(error, ["--config-dir", str(tmp_path), "task=load", f"{key}=x"])
    assert told.problem == f"unknown key '{key}', got {key}=x"
    assert ("does not name it" in told.hint) is bool(gives)
    assert gives is None or told.hint.endswith(f"type {gives}")


@pytest.mark.parametrize(
    ("code", "hint"),
    [("EACCES", "writable folder"), ("EROFS", "writable folder"), ("ENOSPC", "free some"), ("EIO", "")],
)
def test_a_folder_that_the_system_refuses_is_named(code, hint):
    number = getattr(errno, code)
    told = explain(OSError(number, os.strerror(number), "outputs"), [])
    assert told is None if not hint else told.problem.startswith("outputs can't be written: ") and hint in told.hint
