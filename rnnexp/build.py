"""From a configuration to plain Python objects, each value checked by its constructor."""

import importlib
import inspect
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from rnnexp.checks import InvalidValue
from rnnexp.counting import nearest_size, parameter_count
from rnnexp.memory import check_sizes
from rnnexp.process import say
from rnnexp.settings import OF_EVERY_TASK, ROOT_KEYS, Config, options, unknown_key

#: Methods that a class of each group must have.
NEEDED = {
    "task": ("baseline", "evaluation"),
    "cell": ("parameter_shapes", "step", "step_back"),
    "algorithm": ("segment", "gradient"),
    "init": ("__call__",),
    "optimizer": ("update",),
    "schedule": ("factor",),
    "clipping": ("__call__",),
    "regularizer": ("check", "__call__"),
    "stopping": ("__call__",),
    "gradients": ("select", "__call__"),
}
#: Where the package's own classes of each group are.
HOMES = {
    "task": "rnnexp.tasks",
    "cell": "rnnexp.layers",
    "algorithm": "rnnexp.algorithms",
    "init": "rnnexp.layers.init",
    "optimizer": "rnnexp.training.optimizers",
    "schedule": "rnnexp.training.schedules",
    "clipping": "rnnexp.training.clipping",
    "regularizer": "rnnexp.training.regularizers",
    "stopping": "rnnexp.training.stopping",
    "gradients": "rnnexp.gradients.study",
}
#: Task settings (or endings of their names) that count what is drawn at the start; larger values would never finish.
COUNTS = ("alphabet", "distractors", "horizon", "lag", "length", "sequences", "steps", "streams", "substeps")
MOST = 10**8
WEIGHTS = ("embedding", "input", "recurrent", "output", "state")


def build_experiment(settings: Mapping[str, Any], copies: int = 1) -> Any:
    """The experiment that settings describe, as `rnnexp.settings.check_root` gives them.

    `copies` is how many of its kind run on this machine at a time.

    Returns
    -------
    Experiment

    Raises
    ------
    UserError
        Naming the first key whose value can't be used.
    MemoryError
        If the sizes can't fit into memory; `rnnexp.checks.out_of_memory` makes a message of it.
    """
    # NumPy is imported late, so that --help and most errors appear at once.
    from rnnexp.experiment import Experiment
    from rnnexp.tasks import StreamTask
    from rnnexp.training import Streams
    from rnnexp.training.regularizers import check_way_back

    root = dict(settings)
    cell, _ = component("cell", root["cell"])
    check_sizes(root, cell, copies=copies)
    task = build_the_task(root)
    if root["parameters"] is not None:
        root["hidden_size"] = hidden_size_for(root, cell, task)
    check_sizes(root, cell, task, a_few_sequences(task), copies)
    if root["bptt_length"] is not None and root["bptt_length"] > MOST:
        allowed = f"a whole number <= {MOST}, or null"
        raise InvalidValue("bptt_length", root["bptt_length"], allowed, "null is the whole sequence")
    algorithm = construct("algorithm", root["algorithm"], length=root["bptt_length"], stride=root["bptt_stride"])
    if algorithm.windowed and algorithm.length is None and isinstance(task, StreamTask):
        allowed = f"a whole number >= 1 for task {type(task).__name__}"
        raise InvalidValue("bptt_length", None, allowed, "the task is an endless stream: try bptt_length=20")
    streams = Streams(root["seed"])
    network = build_the_network(root, task, streams.init)
    regularizer = construct("regularizer", root["regularizer"])
    regularizer.check(network)
    check_way_back(regularizer, algorithm)
    algorithm.check(network)
    if isinstance(task, StreamTask):
        task.begin(root["batch_size"], rng=Streams(root["seed"]).data)
    study = construct("gradients", root["gradients"]) if root["gradients"].get("_target_") else None
    if study is not None:
        try:
            study.exponents(root["hidden_size"])
        except InvalidValue as error:
            raise under("gradients", error) from None
    whole = task.evaluation(rng=streams.evaluation)
    limit = limit_of(root, network, task, whole)
    return Experiment(
        network=network,
        task=task,
        held_out=limit.of(whole),
        limit=limit,
        whole=whole.mask.shape,
        studied=None if study is None else study.select(task, whole),
        algorithm=algorithm,
        **{group: construct(group, root[group]) for group in ("optimizer", "schedule", "clipping")},
        regularizer=regularizer,
        stopping=construct("stopping", root["stopping"], task=task),
        study=study,
        **{key: root[key] for key in ("batch_size", "steps", "eval_every")},
        data=streams.data,
        sampling=streams.sampling,
        test=streams.test,
        batches=streams.batches,
    )


def ignored_window(jobs: Sequence[Mapping[str, Any]], typed: Collection[str]) -> str:
    """The line that says which algorithms have no use for a `bptt_length` that was given; empty if all have."""
    idle: dict[str, None] = {}
    for root in jobs:
        length, (algorithm, _) = root["bptt_length"], component("algorithm", root["algorithm"])
        given = length is not None and ("bptt_length" in typed or length != Config.bptt_length)
        if given and "length" not in parameters_of(algorithm):
            idle[algorithm.__name__] = None
    return f"bptt_length is ignored with {', '.join(idle)}: there is no window" if idle else ""


def limit_of(root: Mapping[str, Any], network: Any, task: Any, whole: Any, *, given: bool = True) -> Any:
    """What is read of the evaluation set `whole`: by ``task.eval_limit``, or from the work of training.

    Returns
    -------
    EvalLimit

    Raises
    ------
    InvalidValue
        If the limit is `given` for this very task, and the set is smaller.
    """
    from rnnexp.training.eval_limit import AUTO, EvalLimit, automatic, check_within

    steps = root["task"].get("eval_limit")
    if steps == AUTO:
        algorithm = construct("algorithm", root["algorithm"], length=root["bptt_length"], stride=root["bptt_stride"])
        steps = automatic(network, task, whole, algorithm, batch_size=root["batch_size"], updates=root["steps"])
    try:
        if given:
            check_within(steps, whole)
    except InvalidValue as error:
        raise under("task", error) from None
    return EvalLimit(steps, root["seed"], getattr(task, "divisible", False))


def hidden_size_for(root: Mapping[str, Any], cell: Any, task: Any) -> int:
    """The hidden size whose network comes nearest to the number of `parameters`."""
    wanted = root["parameters"]
    if root["tie"]:
        units = root["hidden_size"]
        hint = f"both sizes are one with tie=true: parameters=null hidden_size={units} embedding_dim={units}"
        raise InvalidValue("parameters", wanted, "null with tie=true", hint)
    sizes = {"inputs": task.input_size, "outputs": task.output_size, "embedding": root["embedding_dim"]}
    more = {"layers": root["num_layers"], **{key: root[key] for key in ("learn_initial_state", "shortcut")}}

    def count(hidden: int) -> int:
        return parameter_count(cell, hidden, **sizes, **more)

    if wanted < (least := count(1)):
        allowed = f"a whole number >= {least}, which this network has with hidden_size=1"
        raise InvalidValue("parameters", wanted, allowed, f"the nearest that is possible: parameters={least}")
    return nearest_size(count, wanted)


def a_few_sequences(task: Any) -> Any:
    """Sequences of one of the package's own tasks, to see how long they are; None of others, which may count them."""
    import numpy as np

    own = type(task).__module__.startswith("rnnexp.") and hasattr(task, "sample")
    return task.sample(4, rng=np.random.default_rng(0)) if own else None


def build_the_task(root: dict[str, Any]) -> Any:
    """The task that the group `task` describes, with the requested output size."""
    for key, value in root["task"].items():
        if key.rpartition("_")[2] in COUNTS and isinstance(value, int) and value > MOST:
            raise InvalidValue(f"task.{key}", value, f"a whole number <= {MOST}")
    from rnnexp.training.eval_limit import check_limit

    given = {key: value for key, value in root["task"].items() if key not in OF_EVERY_TASK}
    try:
        check_limit(root["task"].get("eval_limit"))
    except InvalidValue as error:
        raise under("task", error) from None
    task = construct("task", given, output_size=root["output_size"])
    fixed = "output_size" not in parameters_of(task.__class__)
    if fixed and root["output_size"] not in (None, task.output_size):
        allowed = f"{task.output_size} for task {type(task).__name__}"
        raise InvalidValue("output_size", root["output_size"], allowed, "leave it out")
    return task


def build_the_network(root: dict[str, Any], task: Any, rng: Any) -> Any:
    """The network that the root keys and the groups `cell` and `init` describe, for a task."""
    from rnnexp.layers import Initializers, build_network
    from rnnexp.layers.building import cell_settings

    weights = root["init"]
    check_given("init", weights, WEIGHTS)
    dtype = root["dtype"]
    init = Initializers(**{name: named(f"init.{name}", weights[name], dtype) for name in WEIGHTS if name in weights})
    cell: Any
    cell, cell_options = component("cell", root["cell"])
    check_given("cell", cell_options, cell_settings(cell))
    chosen: dict[str, Any] = {key: () if root[key] is None else root[key] for key in ("freeze", "keep_zeros")}
    for key, value in chosen.items():
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise InvalidValue(key, value, "a name or a list of names, or null")
    sizes = ("hidden_size", "embedding_dim", "num_layers", "learn_initial_state", "tie", "shortcut")
    try:
        return build_network(
            task,
            **{key: root[key] for key in sizes},
            cell=cell,
            cell_options=cell_options,
            **chosen,
            init=init,
            dtype=dtype,
            rng=rng,
        )
    except InvalidValue as error:
        raise error if error.key.startswith("init.") else under("cell", error) from None


def named(prefix: str, settings: Any, dtype: str) -> Any:
    """An initialiser whose errors name its key in the configuration, also for numbers too large for `dtype`."""
    import numpy as np

    initializer = construct(prefix, settings)

    def draw(shape: tuple[int, int], *, rng: Any) -> Any:
        try:
            drawn = initializer(shape, rng=rng)
        except InvalidValue as error:
            raise error.under(prefix) from None
        if np.max(np.abs(drawn), initial=0.0) > np.finfo(dtype).max:
            given = {key: value for key, value in settings.items() if key != "_target_"}
            raise InvalidValue(prefix, given, f"an initialiser of numbers that {dtype} can hold", "try smaller ones")
        return drawn

    return draw


def tell_of_data(task: Any) -> None:
    """Print what was made of a task's file, and what speaks against it."""
    if reading := getattr(task, "reading", ""):
        say(reading)
    if caution := getattr(task, "caution", ""):
        say(f"rnnexp: {caution}", error=True)


def component(prefix: str, settings: Any) -> tuple[type, dict[str, Any]]:
    """The class that a group's `_target_` names, and the group's other settings."""
    if not isinstance(settings, dict):  # as in init.recurrent=sparse
        choices = options("initializer")
        chosen = f"initializer@{prefix}={settings if settings in choices else 'glorot'}"
        raise InvalidValue(prefix, settings, f"an initialiser, one of {', '.join(choices)}", f"choose it with {chosen}")
    target = settings.get("_target_")
    key, importable = f"{prefix}._target_", "the import path of a class, such as package.module.Class"
    if not isinstance(target, str):
        raise InvalidValue(key, target, importable)
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except Exception as error:
        hint = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise InvalidValue(key, target, importable, hint) from None
    group = prefix.partition(".")[0]
    if problem := misfit(group, cls):
        raise InvalidValue(key, target, f"a class for the group {group}", problem)
    return cls, {key: value for key, value in settings.items() if key != "_target_"}


def misfit(group: str, cls: Any) -> str:
    """Why something can't stand in a group; empty if it may."""
    if not inspect.isclass(cls):
        return f"{getattr(cls, '__name__', 'it')} is not a class but a {type(cls).__name__}"
    known: Any = cls
    return _lack(group, known)


@cache
def _lack(group: str, cls: Any) -> str:
    missing = [name for name in NEEDED[group] if not any(name in vars(base) for base in cls.__mro__)]
    if missing:
        return f"{cls.__name__} has no {missing[0]}"
    if cls.__module__.startswith("rnnexp.") and not f"{cls.__module__}.".startswith(f"{HOMES[group]}."):
        return f"{cls.__name__} is for something else"
    try:
        inspect.signature(cls)
        if group == "cell":
            getattr(cls, "parameter_shapes")(1, 1)  # noqa: B009  of any class
    except ValueError:
        return f"{cls.__name__} does not say what it is made from"
    except NotImplementedError:
        return f"{cls.__name__} is abstract: give a class derived from it"
    if not inspect.isabstract(cls):
        return ""
    if cls.__module__.startswith("rnnexp."):
        return f"{cls.__name__} is abstract: give a class derived from it"
    lacking = ", ".join(sorted(cls.__abstractmethods__))
    return f"{cls.__name__} lacks {lacking}: define it in the class, not in __init__ (@property if it needs the object)"


def construct(prefix: str, settings: Any, **context: Any) -> Any:
    """An object of the class that `settings` names, from its settings and whatever it takes of `context`."""
    cls, given = component(prefix, settings)
    accepted = parameters_of(cls)
    known = [key for key in accepted if key not in context]
    check_given(prefix, given, known)
    for key, parameter in accepted.items():
        if parameter.default is parameter.empty and key not in given and key not in context:
            raise InvalidValue(f"{prefix}.{key}", None, f"given: {cls.__name__} needs it")
    try:
        return cls(**given, **{key: value for key, value in context.items() if key in accepted})
    except InvalidValue as error:
        raise under(prefix, error) from None


def check_given(prefix: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse a group's first unknown key."""
    for key in given:
        if key not in known:
            raise unknown_key(f"{prefix}.{key}", given[key], {f"{prefix}.{name}": None for name in known})


@cache
def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """The constructor's named parameters."""
    parameters = inspect.signature(cls).parameters
    return {key: value for key, value in parameters.items() if value.kind is not value.VAR_KEYWORD}


def under(prefix: str, error: InvalidValue) -> InvalidValue:
    """The error with its full key, as on the command line; root keys have no prefix."""
    return error if error.key in ROOT_KEYS else error.under(prefix)
