"""Every hint that the package gives for a command is obeyed here, and works."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from compositions import composing
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from rnnexp.build import build_experiment
from rnnexp.checks import InvalidValue, UserError, out_of_memory
from rnnexp.command.flags import put_together, take_apart
from rnnexp.command.hydra_errors import explain
from rnnexp.settings import GROUPS, as_in_job, check_root
from rnnexp.sweeps.composition import check_all, check_count, known_jobs, trials
from rnnexp.tracking.addresses import tracking_uri
from rnnexp.tracking.store import check_uri

ROOT = Path(__file__).parents[2] / "rnnexp"


@pytest.fixture(scope="module", autouse=True)
def hydra():
    with composing():
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data files of every kind."""
    (tmp_path / "data.txt").write_text("the cat sat on the mat\n" * 40)
    (tmp_path / "data.csv").write_text(
        "load (kW),größe,b\n" + "\n".join(f"{row * row},{row % 5},1" for row in range(80))
    )
    (tmp_path / "two.csv").write_text("who,a\n" + "\n".join(f"{row % 2},{row}" for row in range(20)))
    (tmp_path / "a (b, c).txt").write_text("the cat sat on the mat\n" * 40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tried(arguments):
    """The error that a command line ends with before its first job; None if it would run."""
    try:
        line = take_apart(arguments)
        overrides = [argument for argument in put_together(line) if not argument.startswith("-")]
        mode = RunMode.MULTIRUN if line.multirun else RunMode.RUN
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", overrides, run_mode=mode)
        config.hydra.runtime.cwd = str(Path.cwd())
        with as_in_job(config):
            if mode == RunMode.MULTIRUN:
                known = known_jobs(config)
                if known is not None:
                    check_count(known[0], config.max_jobs)
                check_all(config, trials(config) if known is None else known[1])
            else:
                settings = check_root(config)
                build_experiment(settings)
                if settings["tracking"]["backend"] == "mlflow":
                    check_uri(tracking_uri(settings["tracking"]["uri"], Path.cwd()))
    except UserError as error:
        return error
    except MemoryError as error:
        return out_of_memory(error)
    except Exception as error:
        told = explain(error, arguments)
        if told is None:
            raise
        return told
    finally:
        HydraConfig.instance().cfg = None
    return None


def obeyed(arguments, error):
    """The command lines that the hint of an error offers, one for each `or` and `;` in it."""
    hint = error.hint.partition("; in the job ")[0]
    if "cannot parse the argument" in error.problem or "is not a flag" in error.problem:  # what is no key=value goes
        arguments = [word for word in arguments if re.match(r"(-m$|[^-=]+=.)", word)]
    key = getattr(error, "key", None) or re.sub(r"^unknown key '([^']*)'.*", r"\1", error.problem)
    if "is called algorithm now" in error.problem:
        arguments = [word for word in arguments if not re.match(r"[+~]*bptt[=.]", word)]
    if hint.startswith("did you mean"):
        (word,) = re.findall(r"did you mean '(.*)'\?", hint)
        group = isinstance(error, InvalidValue)
        renamed = [re.sub(rf"^\+?{re.escape(key)}(?==)", word, argument) for argument in arguments]
        return [
            [re.sub(rf"^({re.escape(key)})=.*", rf"\1={word}", argument) for argument in arguments]
            if group
            else renamed
        ]
    if hint.endswith("leave it out"):
        return [[argument for argument in arguments if argument.lstrip("+").partition("=")[0] != key]]
    if (found := re.search(r"\btry (\S+)$", hint)) and "=" not in found[1]:
        return [put(arguments, [f"{key}={found[1]}"], key)]
    offers = []
    for part in re.split(r";| or |, or ", hint):
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        words = [word.rstrip(":,") for word in words]
        given = [word for word in words if re.match(r"\+?[a-z_][\w./@]*=", word) and word != "key=value"]
        flags = (
            [word for word in words if word == "-m"] if "leave out -m" not in hint and "without -m" not in hint else []
        )
        if given or flags:
            offers.append(put([*flags, *arguments], given, key))
    if not offers and (found := re.match(r"(?:one of )?(\w+)", getattr(error, "allowed", ""))):  # the rule says it
        offers.append(put(arguments, [f"{key}={found[1]}"], key))
    return offers


def put(arguments, given, key):
    """The arguments with others put in: in place of the same key, the one in error, or the settings of a group."""
    names = {word.lstrip("+").partition("=")[0] for word in given}
    groups = {name for name in names if name in GROUPS}
    kept = []
    for argument in arguments:
        name = argument.lstrip("+~").partition("=")[0]
        wrong = bool(given) and name == key
        if not (name in names or wrong or any(name.startswith(f"{group}.") for group in groups)):
            kept.append(argument)
    return [*kept, *given]


#: A command line that ends with a hint; obeyed once, it runs.
CASES = [
    "+seed=1",
    "hiden_size=3",
    "HIDDEN_SIZE=3",
    "learning_rate=0.1",
    "optimizer.lr=0.1",
    "+cell.activaton=relu",
    "cell.leak=0.3",
    "+cell.leak=0.3",
    "algorithm.order=2",
    "+algorithm.order=2",
    "task=adding task.lag=3",
    "init.recurrent.spectral_radius=0.9 hidden_size=20",
    "init.recurrent=sparse hidden_size=20",
    "init.output=null",
    "hidden_size=10,50",
    "run_name=a,b",
    "task=table task.path=data.csv task.targets=größe,b",
    "task=table task.path=data.csv 'task.targets=[größe'",
    "task=table task.path=data.csv 'task.targets=[größe,]'",
    "-m run_name=f(a,b)",
    "-m run_name=shuffle(größe,b)",
    "-m seed=0,1,",
    "-m hidden_size=choice()",
    "seed=range()",
    "hidden_size=int(x)",
    "optimizer.learning_rate=float(x)",
    "-m 'task=text' 'task.path=a (b, c).txt'",
    "'run_name=größe [a, b'",
    "'run_name=${x'",
    "'run_name={ä:1}'",
    "hidden_size 3",
    "hidden_size = 3",
    "hidden_size: 3",
    "nothing",
    "--hidden_size=3",
    "--lr 0.1",
    "epochs=3",
    "early_stopping=true",
    "lr=0.1",
    "n_layers=2",
    "device=cpu",
    "dropout=0.5",
    "model=LSTM",
    "cell=LSTM",
    "cell=lsmt",
    "optimizer=Adam",
    "optimizer={a:1}",
    "optimizer=[1]",
    "initializer@init.recurrent=[1]",
    "+optimizer=sgd",
    "~optimizer=adam",
    "optimizer=0.1",
    "clipping=5",
    "algorithm=25",
    "algorithm=windows",
    "algorithm=RTRL1",
    "algorithm=rflo",
    "algorithm=rflo cell=lstm num_layers=2",
    "algorithm=rtrl regularizer=omega cell=rnn",
    "algorithm=rtrl hidden_size=3000",
    "keep_zeros=recurrent.W",
    "algorithm=randomized",
    "algorithm=adam",
    "bptt=25",
    "bptt=windows",
    "+bptt=randomized",
    "bptt=adaptive bptt.every=20 bptt_length=5",
    "-m bptt=windows,randomized seed=0,1",
    "gradients=true",
    "hydra.job.env_set.A=1",
    "cell._target_=rnnexp.layers.TimeRNN cell.activation=rel",
    "algorithm=adaptive_bptt bptt_length=null task=adding",
    "algorithm=artbp bptt_length=1",
    "algorithm=artbp bptt_stride=2",
    "task=echo bptt_length=null",
    "cell=gru cell.activation=relu",
    "tie=true",
    "task=text tie=true",
    "task=text task.path=data.txt tie=true embedding_dim=10 shortcut=true",
    "checkpoint.every=0",
    "skip_finished=true tracking=none",
    "tracking=none tracking.model=true",
    "tracking.model=true cell._target_=mine.Own",
    "-m optimizer.learning_rate=interval(0.001,0.1)",
    "-m hidden_size=interval(3,5)",
    "-m max_jobs=3 seed=range(5)",
    "clipping.threshold=0",
    "clipping=value clipping.threshold=0",
    "regularizer=weight_decay regularizer.strength=-1",
    "regularizer=omega regularizer.strength=-1",
    "regularizer=omega cell=lstm",
    "optimizer=sgd optimizer.nesterov=true",
    "optimizer=rmsprop optimizer.epsilon=0",
    "task=text task.path=data.txt task.eval_fraction=0.9999",
    "task=table",
    "task=table task.path=data.csv task.eval_fraction=0.999",
    "tracking.uri=./somewhere",
    "init=sparse hidden_size=10 init.recurrent.non_zeros=20",
    "output_size=7 task=adding",
    "parameters=3",
    "parameters=500 hidden_size=10",
    "task=text task.path=data.txt tie=true parameters=500",
    "task=text task.path=data.txt stopping=solved",
    "task=text task.path=data.txt task.test_fraction=0.9999",
    "task=table task.path=data.csv task.test_fraction=0.999",
    "task=table task.path=two.csv task.sequence=who task.split=sequences",
    "stopping=early_stopping",
    "cell=leaky cell.leak=2",
    "-m seed=0,1 hydra.launcher.max_copies=4",
    "-m seed=0,1 hydra/launcher=submitit_slurm hydra.launcher.max_copies=4",
    "patience=3",
    "tracking.tags=rnn101",
    "tracking.tags.course=rnn101",
    "'tracking.tags={error: mine}'",
]


#: The messages of the cases that this process has tried.
TOLD = dict[str, str]()


@pytest.mark.parametrize("typed", CASES)
def test_a_hint_obeyed_works(folder, typed):
    arguments = shlex.split(typed)
    error = tried(arguments)
    assert error is not None, "it works as it is"
    TOLD[typed] = error.message()
    offers = obeyed(arguments, error)
    assert offers, error.message()
    for offer in offers:
        assert tried(offer) is None, (error.message(), offer, tried(offer).message())


@pytest.mark.parametrize("key", ["seed", "init.recurrent", "tracking.tags"])
def test_no_hint_is_what_was_typed(folder, key):
    for form in ("~{}", "~{}=3", "{}.foo=3", "{}={{a:1}}", "{}@x=3", "+{}=3"):
        typed = form.format(key)
        message = error.message() if (error := tried([typed])) else ""
        for named, offered in re.findall(r"unknown key '(.*?)'.*\n.*did you mean '(.*?)'", message):
            assert offered not in (named, typed.lstrip("+~").partition("=")[0]), message


def test_an_obeyed_hint_runs_as_many_jobs_as_were_meant(folder):
    def count(arguments):
        line = put_together(take_apart(arguments))
        overrides = [argument for argument in line if not argument.startswith("-")]
        config = (
            GlobalHydra.instance().config_loader().load_configuration("config", overrides, run_mode=RunMode.MULTIRUN)
        )
        return known_jobs(config)[0]

    for typed, meant in [("-m seed=0,1,", [2]), ("-m run_name=shuffle(größe,b)", [2]), ("-m run_name=f(a,b)", [1])]:
        arguments = shlex.split(typed)
        assert [count(offer) for offer in obeyed(arguments, tried(arguments))] == meant
    assert count(["-m", "task.targets=[load (kW)],[größe]", "seed=0,1"]) == 4


#: Hints for commands that need more than a command line, with the test that obeys them.
ELSEWHERE = {
    "resume.py": "tests/test_resume.py, tests/program/test_resume_refusals.py",
    "sweeps/account.py": "tests/program/test_sweep_skip_finished.py",
    "sweeps/lifecycle.py": "tests/program/test_resume_sweeps.py",
    "sweeps/dask_workers.py": "tests/cluster/test_dask.py",
    "training/loop.py": "tests/training: Python, no command",
    "tracking/": "tests/tracking/test_tracking_store.py, tests/program/test_store.py, test_store_failures.py",
    "command/tasks.py": "tests/program/test_tasks_command.py",
    "layers/torch_weights.py": "tests/layers/test_torch_weights.py: Python, no command",
    "tasks/digits.py": "tests/tasks/test_task_digits.py: a folder of the user's",
    "analysis/": "tests/analysis: Python, no command",
    "entering.py": "tests/program/test_same_folder.py",
    "tasks/table": "tests/tasks/test_task_table_forms.py: files of many kinds",
    "tasks/encodings.py": "tests/tasks/test_task_table_forms.py",
    "layers/fit.py": "tests/layers: Python, no command",
    "try rng=numpy": "tests/test_components.py: Python, no command",
    "or give a task: build_network": "tests/layers: Python, no command",
    "loading.py": "tests/test_loading.py, tests/program/test_evaluate_command.py",
    "trained.py": "tests/test_trained.py: Python, no command",
    "plot/": "tests/test_api.py, tests/plot/test_plot_axes.py: Python, no command",
    "what the shell has to evaluate": "tests/command/test_flags.py",
}
SETTING = re.compile(r"(?<![\w{<.])(?:-m )?[a-z_][\w.]*=[\w{\[\"'.-]")


def hints():
    """Every text of an error in the package that names a setting, with its file."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        raised = [call for call in calls if getattr(call.func, "id", "") in ("InvalidValue", "UserError", "refused")]
        checked = [word.value for call in calls for word in call.keywords if word.arg == "hint"]
        named = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and "hint" in ast.dump(node.targets[0])
        ]
        for part in [*(argument for call in raised for argument in call.args), *checked, *named]:
            texts = [node.value for node in ast.walk(part) if isinstance(node, ast.Constant)]
            for text in texts:
                if isinstance(text, str) and SETTING.search(text):
                    yield str(path.relative_to(ROOT)), text


def test_every_hint_is_obeyed_by_a_case(folder):
    for typed in CASES:
        if typed not in TOLD and (error := tried(shlex.split(typed))):
            TOLD[typed] = error.message()
    told = " ".join(TOLD.values())
    missing = [
        (file, text)
        for file, text in hints()
        if not any(text.startswith(one) or file.startswith(one) for one in ELSEWHERE)
        and text.strip(" ;:(),'") not in told
    ]
    assert not missing
