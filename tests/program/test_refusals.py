"""Every mistake gets one or two lines on stderr, exit code 1, and leaves nothing behind."""

import pytest

from rnnexp.settings import conf_dir

TASKS = ", ".join(sorted(path.stem for path in (conf_dir() / "task").glob("*.yaml")))

FILES = {
    "empty.txt": b"",
    "binary.txt": b"\x00\x01\xff\xfe" * 40,
    "nul.txt": b"abc\x00def" * 40,
    "utf16.txt": "plain words".encode("utf-16-le"),
    "short.txt": b"ab",
    "same.txt": b"a" * 500,
}

MISTAKES = [
    # what was typed, and what the answer must name
    (["+unknown=1"], ["unknown", "1"]),
    (["+seed=1"], ["the key seed already exists", "leave out the +: seed=1"]),
    (["tracking.uri=mssql+pymssql://me:secret@127.0.0.1:1/x"], ["needs the Python package pymssql", "pip install"]),
    (["tracking.uri=nosuch://me:secret@127.0.0.1:1/x"], ["tracking.uri must be a database or a server", "nosuch"]),
    (["hiden_size=3"], ["hiden_size", "3", "did you mean 'hidden_size'"]),
    (["optimizer.lr=3"], ["optimizer.lr", "did you mean 'optimizer.learning_rate'"]),
    (["learning_rate=3"], ["learning_rate", "did you mean 'optimizer.learning_rate'"]),
    (["+optimizer.momentun=3"], ["optimizer.momentun", "3"]),
    (["+cell.activaton=relu"], ["cell.activaton", "relu", "did you mean 'cell.activation'"]),
    (["+cell.stateful=false"], ["cell.stateful", "cell.activation"]),
    (["cell._target_=builtins.int"], ["cell._target_", "builtins.int"]),
    (["+tracking.url=x"], ["tracking.url", "did you mean 'tracking.uri'"]),
    (["+init.outputs=x"], ["init.outputs", "did you mean 'init.output'"]),
    (["task.path=x"], ["task.path", "task=text task.path=x"]),
    (["hydra.foo=1"], ["hydra.foo"]),
    (["hidden_size=abc"], ["hidden_size", "abc", "whole number >= 1"]),
    (["hidden_size=0"], ["hidden_size", "0", "whole number >= 1"]),
    (["hidden_size=-5"], ["hidden_size", "-5", "whole number >= 1"]),
    (["hidden_size=2.5"], ["hidden_size", "2.5", "whole number >= 1"]),
    (["hidden_size=true"], ["hidden_size", "true", "whole number >= 1"]),
    (["hidden_size=null"], ["hidden_size", "null", "whole number >= 1"]),
    (["hidden_size=[1,2]"], ["hidden_size", "[1,2]", "whole number >= 1"]),
    (["hidden_size="], ["hidden_size", "''", "whole number >= 1"]),
    (["hidden_size=10,50"], ["hidden_size", "10,50", "-m"]),
    (["hidden_size=1000000000"], ["memory", "hidden_size"]),
    (["hidden_size"], ["hidden_size", "key=value"]),
    (["embedding_dim=0"], ["embedding_dim", "0", ">= 1"]),
    (["output_size=1"], ["output_size", "1", ">= 2"]),
    (["output_size=7", "task=adding"], ["output_size", "7", "must be 1"]),
    (["output_size=3", "task=echo"], ["output_size", "3", "must be 2"]),
    (["bptt_length=-1"], ["bptt_length", "-1", ">= 1"]),
    (["bptt_length=0"], ["bptt_length", "0", ">= 1"]),
    (["bptt_length=null", "task=echo"], ["bptt_length", "null", "stream"]),
    (["bptt_length=5", "bptt_stride=6"], ["bptt_stride", "6", "<= bptt_length"]),
    (["seed=-1"], ["seed", "-1", ">= 0"]),
    (["steps=0"], ["steps", "0", ">= 1"]),
    (["batch_size=0"], ["batch_size", "0", ">= 1"]),
    (["batch_size=1000000", "task=text", "bptt_length=1", "hidden_size=2"], ["batch_size", "1000000", "characters"]),
    (["dtype=float16"], ["dtype", "float16", "float32, float64"]),
    (["task=nope"], ["task", "nope", TASKS]),
    (["task=null"], ["task", "null", TASKS]),
    (["~task"], ["task", "null", TASKS]),
    (["optimizer=7"], ["optimizer", "7", "adagrad, adam, adamw, rmsprop, sgd"]),
    (["optimizer=adan"], ["optimizer", "adan", "did you mean 'adam'"]),
    (["task.lag=0"], ["task.lag", "0", ">= 1"]),
    (["task=adding", "task.length=1"], ["task.length", "1", ">= 2"]),
    (["task=text", "task.path=missing.txt"], ["task.path", "missing.txt", "No such file"]),
    (["task=text", "task.path=."], ["task.path", "directory"]),
    (["task=text", "task.path=empty.txt"], ["task.path", "empty.txt", "is empty"]),
    (["task=text", "task.path=binary.txt"], ["task.path", "binary.txt", "binary file"]),
    (["task=text", "task.path=nul.txt"], ["task.path", "nul.txt", "NUL"]),
    (["task=text", "task.path=utf16.txt"], ["task.path", "utf16.txt", "task.encoding=utf-16-le"]),
    (["task=text", "task.path=short.txt"], ["task.path", "short.txt", "characters"]),
    (["task=text", "task.path=same.txt"], ["task.path", "same.txt", "different"]),
    (["task=text", "task.eval_fraction=1"], ["task.eval_fraction", "1", "> 0 and < 1"]),
    (["optimizer.learning_rate=-1"], ["optimizer.learning_rate must be a number > 0, got -1"]),
    (["optimizer.learning_rate=nan"], ["optimizer.learning_rate", "nan"]),
    (["optimizer.learning_rate=fast"], ["optimizer.learning_rate", "fast"]),
    (["optimizer.beta1=1"], ["optimizer.beta1", "1", "< 1"]),
    (["clipping.threshold=0"], ["clipping.threshold", "0", "clipping=none"]),
    (["cell.activation=gelu"], ["cell.activation", "gelu", "tanh, relu, identity, sigmoid"]),
    (["init.recurrent.gain=0"], ["init.recurrent.gain", "0"]),
    (["cell=gru", "cell.activation=relu"], ["cell.activation must be tanh", "got relu", "cell=rnn"]),
    (["cell=lstm", "cell.activation=relu"], ["cell.activation must be tanh", "got relu", "cell=rnn"]),
    (["cell=lstm", "cell.forget_bias=open"], ["cell.forget_bias must be a number, got open"]),
    (["num_layers=0"], ["num_layers must be a whole number >= 1, got 0"]),
    (["cell.num_layers=2"], ["cell.num_layers", "did you mean 'num_layers'"]),
    (["tie=true"], ["tie must be false here", "7 tokens in, 4 out", "task=text"]),
    (["task=text", "tie=true"], ["embedding_dim must be 10, the hidden_size, with tie=true, got 5"]),
    (["task=adding", "tie=true"], ["tie must be false here", "2 values in, 1 out"]),
    (["init=sparse"], ["init.recurrent.non_zeros must be <= hidden_size, which is 10, got 15"]),
    (["initializer@init.input=identity"], ["init.input._target_", "(5, 10)", "square"]),
    (["initializer@init.input=nope"], ["initializer", "nope", "orthogonal"]),
    (["freeze=recurent"], ["freeze", "recurent", "recurrent.Wh"]),
    (["freeze=[embedding,recurrent,output]"], ["freeze", "nothing would be trained"]),
    (["bptt_length=5", "bptt_stride=6"], ["bptt_stride must be <= bptt_length, which is 5, got 6"]),
    (["algorithm=artbp", "bptt_length=1"], ["bptt_length must be a whole number >= 2, got 1", "algorithm=bptt"]),
    (["algorithm=artbp", "bptt_stride=2"], ["bptt_stride must be null with algorithm=artbp, got 2"]),
    (
        ["algorithm=adaptive_bptt", "algorithm.max_length=5"],
        ["algorithm.max_length must be >= bptt_length, which is 20, got 5"],
    ),
    (["regularizer=omega", "cell=lstm"], ["regularizer=omega", "cell=rnn", "TimeLSTM"]),
    (["optimizer=sgd", "optimizer.nesterov=true"], ["optimizer.momentum", "nesterov"]),
    (["schedule=cosine", "schedule.warmup=-1"], ["schedule.warmup must be a whole number >= 0, got -1"]),
    (["optimizer._target_=rnnexp.training.NormClipping"], ["optimizer._target_", "group optimizer", "no update"]),
    (["gradients.sequences=0"], ["gradients.sequences", "0"]),
    (["task._target_=os.nope"], ["task._target_", "os.nope"]),
    (["tracking=nope"], ["tracking", "nope", "mlflow, none"]),
    (["tracking.experiment=null"], ["tracking.experiment", "null"]),
    (["tracking.uri=./somewhere"], ["tracking.uri", "somewhere", "sqlite:///"]),
    (["hydra.run.dir=/proc/rnnexp"], ["hydra.run.dir", "/proc/rnnexp", "writable"]),
    (["--nope"], ["--nope", "key=value"]),
    (["--config-dir=nowhere"], ["nowhere", "not found"]),
]


@pytest.mark.quick(30)
@pytest.mark.parametrize(("arguments", "named"), MISTAKES, ids=lambda value: " ".join(value))
def test_a_mistake_is_refused_in_two_lines_and_leaves_nothing(tmp_path, command, arguments, named):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    done = command(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("rnnexp: "), done.stderr
    for word in named:
        assert word in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_help_and_configuration_answer_without_mlflow(tmp_path, command):
    (tmp_path / "mlflow.py").write_text("raise SystemExit('mlflow was imported')")
    for arguments in (["--help"], ["--cfg", "job"], ["hidden_size=0"]):
        assert "mlflow was imported" not in command(tmp_path, *arguments).stderr


def test_help_shows_groups_keys_and_examples(tmp_path, command):
    done = command(tmp_path, "--help")
    assert done.returncode == 0
    for text in (
        f"task: {TASKS}",
        "optimizer: adagrad, adam, adamw, rmsprop, sgd",
        "init: gaussian, glorot, identity, lecun, normal, orthogonal, sparse, uniform",
        "cell: gru, leaky, lstm, rnn",
        "gradients: full, light, off",
        "hidden_size: 10",
        "learning_rate: 0.005",
        "python -m rnnexp hidden_size=10",
    ):
        assert text in done.stdout


def test_configuration_is_shown_in_plain_numbers(tmp_path, command):
    done = command(tmp_path, "--cfg", "job")
    assert done.returncode == 0
    for line in ("hidden_size: 10", "embedding_dim: 5", "output_size: 4", "bptt_length: 20", "seed: 0"):
        assert line in done.stdout.splitlines()
    assert "${" not in done.stdout
    assert list(tmp_path.iterdir()) == []
