"""Every form in which a flag of Hydra's may be typed, and what is not a flag."""

import shlex

import pytest
from hydra._internal.utils import get_args_parser

from rnnexp.checks import UserError
from rnnexp.command.flags import check_letters, put_together, take_apart
from rnnexp.settings import conf_dir
from rnnexp.version import __version__


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a configuration of one's own in `mine`."""
    (tmp_path / "mine" / "cell").mkdir(parents=True)
    (tmp_path / "mine" / "cell" / "slow.yaml").write_text("_target_: mine.Slow\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_again(arguments):
    """What Hydra's own parser makes of the line that it is given."""
    return get_args_parser().parse_args(put_together(take_apart(arguments)))


SAME = {
    "config_dir": ["--config-dir mine", "--config-dir=mine", "-cd mine", "-cd=mine", "-cdmine", "--config-d mine"],
    "config_name": ["--config-name mine", "-cn mine", "-cn=mine", "-cnmine", "--config_name=mine", "--config-n=mine"],
    "multirun": ["-m", "--multirun", "--multi", "--mul"],
    "cfg": ["--cfg job", "-c job", "-cjob", "-c=job", "--cfg=job", "--cf job"],
    "info": ["--info", "-i", "--inf", "--info all", "--info=all", "-iall"],
    "package": ["--cfg job --package task", "-c job -p task", "-c job -ptask", "-c job --pack=task"],
    "resolve": ["--cfg job --resolve", "-c job --res"],
    "shell_completion": ["--shell-completion install=bash", "-sc install=bash", "--shell_completion install=bash"],
    "help": ["--help", "-h", "--he"],
    "hydra_help": ["--hydra-help", "--hydra_help", "--hyd"],
    "run": ["--run", "-r"],
}


@pytest.mark.parametrize(("name", "typed"), [(name, line) for name, lines in SAME.items() for line in lines])
def test_every_form_of_a_flag_means_the_same_on_either_side_of_the_settings(folder, name, typed):
    expected = {"config_dir": "mine", "config_name": "mine", "cfg": "job", "info": "all", "package": "task"}
    for line in (f"{typed} seed=3", f"seed=3 {typed}", f"seed=3 {typed} steps=2"):
        if name == "info" and typed in ("--info", "-i", "--inf") and not line.endswith(typed):
            continue  # its own value follows
        found = read_again(shlex.split(line))
        assert getattr(found, name) == expected.get(name, True)
        assert "seed=3" in found.overrides


def test_settings_get_the_quotes_that_they_need_and_flags_keep_their_values(folder):
    found = read_again(["task.targets=[load (kW)]", "-cd", "mine", "run_name=größe"])
    assert found.config_dir == "mine"
    assert found.overrides == ['task.targets=["load (kW)"]', 'run_name="größe"']


def test_a_comma_in_brackets_is_read_only_where_nothing_sweeps(folder):
    assert put_together(take_apart(["run_name=f(a,b)"])) == ['run_name="f(a,b)"']
    for other in (["-m"], ["-cd", "mine"], ["hydra.mode=MULTIRUN"], ["-cn", "mine"]):
        assert "run_name=f(a,b)" in put_together(take_apart([*other, "run_name=f(a,b)"]))


def test_the_version_is_this_programs(capsys):
    for flag in ("--version", "--vers"):
        with pytest.raises(SystemExit) as ended:
            take_apart([flag])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"rnnexp {__version__} (Hydra ")


REFUSED = [
    ("--config-path mine", ["--config-path", "mine", "--config-dir mine"]),
    ("-cp mine", ["--config-dir mine"]),
    ("--config-path=/nowhere", ["--config-dir /nowhere"]),
    ("--config-dir nowhere", ["--config-dir", "nowhere", "not found"]),
    ("-m --cfg job", ["-m and --cfg can't be given together", "leave out -m"]),
    ("-mr", ["--run and -m can't be given together", "leave out --run"]),
    ("--resolve", ["give both: --cfg job --resolve"]),
    ("-p task", ["give both: --cfg job --package task"]),
    ("-sc", ["--shell-completion install=bash"]),
    ("--experimental-rerun nowhere", ["nowhere", "resume=<run folder>"]),
    ("--nope", ["--nope", "key=value"]),
    ("--cfg", ["--cfg", "key=value"]),
    ("--hidden_size=3", ["--hidden_size is not a flag", "hidden_size=3"]),
    ("--hidden-size 3", ["hidden_size=3"]),
    ("-hidden_size 3", ["hidden_size=3"]),
    ("--lr 0.1", ["optimizer.learning_rate=0.1"]),
    ("--epochs 3 seed=1", ["steps=1000"]),
    ("--optimizer.learning_rate 0.1", ["optimizer.learning_rate=0.1"]),
    ("hidden_size = 3", ["hidden_size=3"]),
    ("hidden_size =3", ["hidden_size=3"]),
    ("hidden_size= 3", ["hidden_size=3"]),
    ("hidden_size: 3", ["hidden_size=3"]),
    ("hidden_size:3", ["hidden_size=3"]),
    ("hidden_size 3", ["hidden_size=3"]),
    ("hidden_size", ["hidden_size", "key=value"]),
    ("''", ["''", "key=value"]),
    ("-m hidden_size=5, 10, 15 seed=1", ["cannot parse the argument 10,", "without spaces: hidden_size=5,10,15\n"]),
    ("freeze=[ embedding ,recurrent ] seed=1", ["without spaces: 'freeze=[embedding,recurrent]'\n"]),
]


@pytest.mark.parametrize(("typed", "named"), REFUSED)
def test_what_is_no_flag_or_setting_is_refused_with_what_to_type(folder, typed, named):
    with pytest.raises(UserError) as refused:
        take_apart(shlex.split(typed))
    for word in named:
        assert word in f"{refused.value.message()}\n"


def test_a_whole_configuration_may_take_the_place_of_this_one():
    assert take_apart(["--config-path", str(conf_dir())]).config_path == str(conf_dir())


def test_a_file_that_would_never_be_read_is_refused(folder):
    (folder / "mine" / "config.yaml").write_text("hydra:\n  mode: MULTIRUN\n")
    with pytest.raises(UserError) as refused:
        take_apart(["-cd", "mine"])
    assert "mine/config.yaml would never be read" in refused.value.problem
    assert "my_config.yaml" in refused.value.hint
    (folder / "mine" / "config.yaml").rename(folder / "mine" / "my_config.yaml")
    (folder / "mine" / "cell" / "rnn.yaml").write_bytes((conf_dir() / "cell" / "rnn.yaml").read_bytes())
    assert take_apart(["-cd", "mine", "-cn", "my_config"]).config_name == "my_config"


def test_letters_that_the_locale_lacks_are_refused_with_what_helps():
    read = "run_name=한".encode().decode("ascii", "surrogateescape")  # as Python reads it with LC_ALL=C PYTHONUTF8=0
    with pytest.raises(UserError, match="letters") as refused:
        check_letters(["steps=20", read], "ascii")
    assert refused.value.hint.endswith("PYTHONUTF8=1")
    check_letters([read], "utf-8")  # the name of a file that is no UTF-8
    check_letters(["run_name=한"], "ascii")
