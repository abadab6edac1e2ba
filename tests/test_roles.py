"""Whatever class, function or module stands in a group, it is built or refused in two lines."""

import copy
import importlib
import inspect
import pkgutil

import pytest
from hydra import compose, initialize_config_dir

import rnnexp.algorithms
import rnnexp.gradients
import rnnexp.layers
import rnnexp.tasks
import rnnexp.training
from rnnexp.build import HOMES, build_experiment
from rnnexp.checks import UserError
from rnnexp.command.check_first import register
from rnnexp.settings import check_root, conf_dir

ROOMS = (rnnexp.layers, rnnexp.tasks, rnnexp.training, rnnexp.gradients, rnnexp.algorithms)
ODD = [
    *("os", "os.path", "os.system", "os.environ", "math.pi", "typing.Any", "abc.ABC", "enum.Enum", "numpy.array"),
    *("collections.abc.Callable", "functools.partial", "types.SimpleNamespace", "numpy.ndarray", "nope.Nope"),
    *(f"builtins.{name}" for name in ("int", "object", "dict", "type", "print", "ValueError", "super")),
    *("", ".", "x", "x.y", "rnnexp.", "rnnexp..layers", "rnnexp.layers", "rnnexp.layers.nope", "größe.x", "a b.c"),
    "rnnexp.layers.TimeRNN.step",
]


def own_names():
    """Everything that the rooms offer, and every class and function in their modules."""
    for room in ROOMS:
        yield from (f"{room.__name__}.{name}" for name in dir(room) if not name.startswith("_"))
        for found in pkgutil.iter_modules(room.__path__):
            if found.name != "__main__":
                module = importlib.import_module(f"{room.__name__}.{found.name}")
                for name, value in vars(module).items():
                    if inspect.getmodule(value) is module and (inspect.isclass(value) or inspect.isfunction(value)):
                        yield f"{module.__name__}.{name}"


@pytest.fixture(scope="module")
def base():
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return check_root(compose("config", overrides=["gradients=off", "steps=1", "batch_size=2"]))


def refusal(base, group, target, *, keep):
    """The message, or None if it was built and trained; with or without the settings that the group has."""
    settings = copy.deepcopy(base)
    parent, _, key = group.rpartition(".")
    place = settings[parent] if parent else settings
    place[key] = {**(place[key] if keep else {}), "_target_": target}
    try:
        list(build_experiment(settings).reports())
    except UserError as error:
        return error.message()
    return None


class Unfinished(rnnexp.tasks.EpisodeTask):
    """Its baseline is set in __init__ only, as an attribute."""

    def sample(self, batch_size, *, rng):
        """Nothing."""


@pytest.mark.parametrize("group", [group for group in HOMES if group != "init"] + ["init.recurrent"])
def test_every_name_is_built_or_refused_in_two_lines(base, group):
    for target in dict.fromkeys([*ODD, *own_names()]):
        for keep in (True, False):
            told = refusal(base, group, target, keep=keep)
            assert told is None or (len(told.splitlines()) == 2 and told.startswith("rnnexp: ")), target


@pytest.mark.parametrize(
    ("group", "target", "words"),
    [
        ("cell", "rnnexp.layers.Recurrent", "Recurrent is abstract"),
        ("task", "rnnexp.tasks.Task", "Task is abstract"),
        ("algorithm", "rnnexp.algorithms.Truncation", "Truncation is abstract"),
        ("task", f"{__name__}.Unfinished", "Unfinished lacks baseline: define it in the class, not in __init__"),
        ("clipping", "rnnexp.training.WeightDecay", "WeightDecay is for something else"),
        ("init.recurrent", "rnnexp.training.NoClipping", "NoClipping is for something else"),
        ("optimizer", "os.system", "system is not a class but a builtin_function_or_method"),
        ("optimizer", "os.path", "is not a class but a module"),
        ("optimizer", "builtins.dict", "dict does not say what it is made from"),
        ("optimizer", "rnnexp.training.NormClipping", "NormClipping has no update"),
    ],
)
def test_the_refusal_says_what_is_wrong_with_it(base, group, target, words):
    told = refusal(base, group, target, keep=False)
    assert told.startswith(f"rnnexp: {group}._target_ must be a class for the group {group.partition('.')[0]}")
    assert words in told
