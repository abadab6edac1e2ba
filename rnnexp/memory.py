"""The memory that an experiment will take, counted from its sizes before anything of it is made."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnexp.counting import influence_bytes, nearest_size, parameter_count
from rnnexp.machine import available

#: Bytes of a token, a target and a mask of one step, as tasks draw them.
TOKEN, TARGET, MASK = 8, 8, 1
#: Steps that an evaluation computes at once, at most, and sequences, at least and at most.
EVALUATED, FEWEST, MOST = 100, 32, 512
#: Numbers of an evaluation's widest array, of one step and of a window, that stay in the cache.
OF_STEP, OF_WINDOW = 2**13, 2**17
#: Arrays as large as the parameters beside vector and gradient: an optimizer's slots and what one step computes.
SLOTS = {"SGD": 2, "Adagrad": 3, "RMSProp": 3, "Adam": 5, "AdamW": 5}
#: Float64 arrays as large as a matrix while it is drawn.
DRAWN = {"Orthogonal": 5, "Sparse": 2}
#: Arrays (T, N, H) that a layer keeps of a window: forward, and backward in addition.
FORWARD = {"TimeRNN": 2, "TimeLeaky": 3, "TimeGRU": 5, "TimeLSTM": 7}
BACKWARD = {"TimeRNN": 3, "TimeLeaky": 4, "TimeGRU": 6, "TimeLSTM": 8}
#: Steps that a study of the gradient computes at once (`rnnexp.gradients.passes`).
STUDIED = 200
#: Arrays (B, H, H) that the Jacobians of B steps take; a study has so many numbers at once, or one step's.
JACOBIANS = {"TimeRNN": 3, "TimeLeaky": 4, "TimeGRU": 20, "TimeLSTM": 36}
JACOBIAN_NUMBERS = 2**18
#: Arrays (N, H) of the state of a layer.
STATES = {"TimeLSTM": 2}
#: Arrays (S, N, O) of outputs: forward and loss (one less where it is computed in place), and backward in addition.
OUTPUTS, SLOPES = 2.7, 0.8


@dataclass(frozen=True)
class Sizes:
    """The numbers that memory depends on.

    Attributes
    ----------
    hidden, layers, embedding, inputs, outputs : int
        H, L, D (0 without one), V or D_in, O.
    tokens, classes : bool
        Whether inputs are tokens, and targets classes.
    batch, window, episode : int
        Sequences of an update, steps of a window, and steps of a whole sequence that is drawn at once.
    scored, eval_scored : int
        Scored steps of a window, and of the part of the evaluation set that is computed at once.
    sequences, steps : int
        Of the evaluation set.
    studied, study_steps : int
        Sequences of a study of the gradient, and steps that it computes at once; 0 without one.
    recomputed : int
        Steps of a stream from which the carried state is recomputed.
    matrices : int
        Floats of a study's Jacobians and gradients, and of the states before its windows.
    norms : int
        Norms by lag of all studies, in float64.
    itemsize : int
        Bytes of a float.
    parameters, largest : int
        All parameters, and those of the largest matrix.
    cell, optimizer, initializer : str
        Names of the classes.
    copies : int
        Networks at a time on this machine.
    kept, influence : int
        Bytes that the task has of a file already, and of an influence that is carried forward.
    """

    hidden: int
    layers: int
    embedding: int
    inputs: int
    outputs: int
    tokens: bool
    classes: bool
    batch: int
    window: int
    episode: int
    scored: int
    eval_scored: int
    sequences: int
    steps: int
    studied: int
    study_steps: int
    recomputed: int
    matrices: int
    norms: int
    itemsize: int
    parameters: int
    largest: int
    cell: str
    optimizer: str
    initializer: str
    copies: int = 1
    kept: int = 0
    influence: int = 0


def evaluated_at_once(steps: int, sequences: int, widest: int) -> tuple[int, int]:
    """Steps and sequences of an evaluation that are computed at once, where a step has arrays `widest` wide."""
    each = min(sequences, max(FEWEST, min(MOST, OF_STEP // widest)))
    return max(1, min(steps, EVALUATED, OF_WINDOW // (each * widest))), each


def count(sizes: Sizes) -> dict[str, float]:
    """Bytes at the peak of a training run, by what takes them."""
    s, forward, backward = sizes, FORWARD.get(sizes.cell, 4), BACKWARD.get(sizes.cell, 6)
    weights = s.parameters * s.itemsize
    step = (TOKEN if s.tokens else 8 * s.inputs) + (TARGET if s.classes else 8 * s.outputs) + MASK
    cast = 0 if s.tokens else s.inputs * s.itemsize
    # What one step of one sequence keeps in the network: features, states, and what goes back through them.
    features = s.embedding or (s.inputs if s.tokens else 0)
    ahead = (features + forward * s.hidden * s.layers) * s.itemsize
    back = (features + backward * s.hidden * s.layers) * s.itemsize
    if s.tokens and s.embedding and s.inputs <= 64:
        back += s.inputs * s.itemsize  # the gradient of a small table is a product with ones and zeros
    in_place = 1 if s.classes else 0
    evaluation = 2 * s.sequences * s.steps * step  # and as much for the test
    if s.kept:  # views of the data of the file, but for what is read of them in another type
        evaluation = s.sequences * s.steps * (MASK + (0 if s.tokens else (s.inputs + s.outputs) * s.itemsize))
    window, evaluated = evaluated_at_once(s.steps, s.sequences, max(s.hidden, s.embedding, s.outputs))
    scored = min(window, s.eval_scored)
    return {
        "data of the file": s.kept,
        "weights": weights * (3 + SLOTS.get(s.optimizer, 4)),  # vector, gradient, and the best vector so far
        "initialisation": 8 * s.largest * DRAWN.get(s.initializer, 3),
        "training data": s.batch * s.episode * (step + cast),
        "window": s.batch
        * (s.window * (ahead + back) + s.scored * s.outputs * s.itemsize * (OUTPUTS + SLOPES - in_place)),
        "evaluation data": evaluation,
        "evaluation": evaluated * (window * (ahead + cast) + scored * s.outputs * s.itemsize * OUTPUTS),
        "statistics": s.studied * s.study_steps * (ahead + back) + s.matrices * s.itemsize + 8 * s.norms,
        "the influence matrix": s.influence,
        "carried state": s.batch * s.recomputed * (ahead + 2 * (TOKEN if s.tokens else s.inputs * s.itemsize)),
    }


def total(sizes: Sizes) -> float:
    """Bytes of all networks that run at a time; weights are drawn before there is anything else to keep."""
    parts = count(sizes)
    first = parts.pop("initialisation") + 2 * sizes.parameters * sizes.itemsize
    return sizes.copies * max(sizes.kept + first, sum(parts.values()))


def fitting(value: int, need: Callable[[int], float], have: float) -> int | None:
    """The largest value with one digit and zeros whose need is at most half of what there is; None if none is."""
    best = None
    for exponent in range(len(str(value)) + 1):
        for digit in range(1, 10):
            tried = digit * 10**exponent
            if tried < value and need(tried) <= have / 2:
                best = tried
    return best


def check(values: Mapping[str, int], sizes_with: Callable[[Mapping[str, int]], Sizes]) -> None:
    """`MemoryError` if what is needed is more than there is, with the keys that make it large and a value that fits.

    Parameters
    ----------
    values : mapping of str to int
        The keys that can be made smaller.
    sizes_with : callable
        The sizes with other values of these.
    """
    sizes = sizes_with({})
    need = total(sizes)
    if need <= ALWAYS or need <= (have := available() + sizes.kept):
        return
    effects = {key: total(sizes_with({key: max(1, value // 2)})) / need for key, value in values.items() if value > 1}
    large = sorted(effects, key=lambda key: (effects[key] > 0.95, -values[key] / USUAL.get(key, 50)))
    offers = ((key, fitting(values[key], lambda v, key=key: total(sizes_with({key: v})), have)) for key in large)  # type: ignore[misc]
    hint = next((f"{key}={value} would fit" for key, value in offers if value is not None), "")
    if not hint:
        hint = "make them smaller: " + ", ".join(large[:3])
    named = [key for key in large[:2] if effects[key] <= 0.95] or large[:2]
    most = max(parts := count(sizes), key=lambda name: parts[name])
    each = f" for each of {sizes.copies} at a time" if sizes.copies > 1 else ""
    given = ", ".join(f"{key}={values[key]}" for key in named)
    raise TooLarge(
        f"{given}: about {size(need / sizes.copies)}{each}, most of it for {most}; {size(have)} are left", hint
    )


#: Bytes that there always are: to ask what is left takes longer than to build a small network.
ALWAYS = 16 * 2**20
#: Values that are usual here, against which a large one stands out.
USUAL = {"hidden_size": 100, "embedding_dim": 50, "output_size": 50, "batch_size": 50, "bptt_length": 50}
USUAL |= {"num_layers": 3, "parameters": 10_000}
USUAL |= {"task.eval_sequences": 500, "task.eval_streams": 50, "task.eval_steps": 1000}


class TooLarge(MemoryError):
    """What does not fit, and what would."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def size(number: float) -> str:
    """Bytes in a unit that makes them readable."""
    unit = min(4, int(math.log(max(number, 1.0), 1024)))
    return f"{number / 1024**unit:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


#: Task settings (or endings of their names) that count steps of a sequence.
LENGTHS = ("lag", "length", "horizon", "longest", "shortest")
#: Larger sizes are counted as this one: none of them fits anywhere.
LARGEST = 10**15
#: Root keys that can be made smaller.
KEYS = ("hidden_size", "parameters", "embedding_dim", "num_layers", "output_size", "batch_size", "bptt_length")


def check_sizes(root: Mapping[str, Any], cell: Any, task: Any = None, drawn: Any = None, copies: int = 1) -> None:
    """`MemoryError` if the run that settings describe will not fit into memory.

    Parameters
    ----------
    root : mapping
        The settings, nested.
    cell : class
        A `Recurrent`.
    task, drawn : Task, and a few of its sequences (a `Batch`)
        Once they are made; without them only the least that their settings imply is counted.
    copies : int
        Networks at a time on this machine.
    """
    values = {key: root[key] for key in KEYS if isinstance(root.get(key), int)}
    if "parameters" in values:
        del values["hidden_size"]  # which follows from it
    values |= {f"task.{key}": value for key, value in root["task"].items() if type(value) is int and counted(key)}

    def sizes_with(changes: Mapping[str, int]) -> Sizes:
        return sizes_of(root, changes, cell, task, drawn, copies)

    check(values, sizes_with)


def whole(value: Any) -> int:
    """A number of steps or sequences as a whole one that can be computed with; 0 for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return int(min(value, LARGEST)) if usable else 0


def counted(key: str) -> bool:
    """Whether a task's setting is a number of steps or sequences."""
    return key in ("eval_sequences", "eval_streams", "eval_steps") or key.rpartition("_")[2] in LENGTHS


def sizes_of(
    root: Mapping[str, Any], changes: Mapping[str, int], cell: Any, task: Any = None, drawn: Any = None, copies: int = 1
) -> Sizes:
    """The sizes of the run that settings, some of them changed, describe."""
    now = {key: min(v, LARGEST) if type(v) is int else v for key, v in {**root, **changes}.items()}
    inside = {**root["task"], **{key.partition(".")[2]: value for key, value in changes.items()}}

    def longest(settings: Mapping[str, Any]) -> int:
        """The steps that a sequence has at least."""
        return 1 + max([0, *(whole(value) for key, value in settings.items() if key.rpartition("_")[2] in LENGTHS)])

    outputs = now["output_size"] or 1
    tokens, classes, inputs, episode, scored = True, True, outputs, longest(inside), 1
    stream = "eval_streams" in inside
    if task is not None:
        tokens, classes = task.input_kind == "tokens", task.target_kind == "classes"
        grown = outputs / (root["output_size"] or outputs) if root["output_size"] else 1.0
        inputs = max(1, round(task.input_size * (grown if tokens else 1.0)))
        outputs = max(1, round(task.output_size * grown))
        stream = hasattr(task, "begin")
    if drawn is not None:
        grown = longest(inside) / longest(root["task"])
        episode = max(1, round(len(drawn.inputs) * grown))
        scored = max(1, round(int(drawn.mask.any(axis=1).sum()) * grown))
    window = now["bptt_length"] or episode
    if stream:
        past, episode = episode, window
        window_scored = window
        steps = whole(inside.get("eval_steps")) or getattr(task, "eval_steps", 1)
        sequences = whole(inside.get("eval_streams")) or getattr(task, "eval_streams", 1)
        eval_scored = min(steps, EVALUATED)
        episode = window + (past if task is not None and past > 1 else 0)
    else:
        window = min(window, episode)
        window_scored = min(scored, window)
        steps = episode
        sequences = whole(inside.get("eval_sequences")) or getattr(task, "eval_sequences", 1)
        if task is not None and "task.eval_sequences" not in changes:  # a file may have fewer
            sequences = getattr(task, "eval_sequences", sequences)
        eval_scored = min(scored, EVALUATED)
    layers, embedding = now["num_layers"], now["embedding_dim"] or 0

    def counted_with(size: int) -> int:
        flags = {key: bool(root.get(key)) for key in ("learn_initial_state", "tie")}
        return parameter_count(cell, size, inputs=inputs, outputs=outputs, embedding=embedding, layers=layers, **flags)

    hidden = nearest_size(counted_with, now["parameters"]) if "parameters" in changes else now["hidden_size"]
    features = embedding or inputs
    drawn_shapes = [inputs * embedding, features * hidden, hidden * hidden, hidden * outputs]
    study = root["gradients"] if root["gradients"].get("_target_") else {}
    studied = min(sequences, whole(study.get("sequences")) or 20) if study else 0
    if whole(study.get("snr_batches")):
        studied = max(studied, now["batch_size"])
    study_steps = min(steps, whole(study.get("max_length")) or 200) if stream else steps
    updates = whole(root["steps"])
    studies = 2 + updates // (whole(study.get("every")) or max(100, updates // 10))
    parameters, states = counted_with(hidden), hidden * layers * STATES.get(cell.__name__, 1)
    ends = outputs * (1 if root.get("tie") else hidden + 1)
    matrices = 0 if embedding or not tokens else inputs * inputs  # one-hot vectors are rows of this
    if study:
        matrices += 3 * hidden * hidden + 8 * parameters + studied * states * (study_steps // STUDIED)
    if bool(study.get("jacobians")) or study.get("lyapunov_exponents", 0) != 0:
        together = min(study_steps, STUDIED, max(1, JACOBIAN_NUMBERS // states**2))
        matrices += JACOBIANS.get(cell.__name__, 20) * together * (hidden * layers) ** 2
    return Sizes(
        **{"hidden": hidden, "layers": layers, "embedding": embedding, "inputs": inputs, "outputs": outputs},
        tokens=tokens,
        classes=classes,
        batch=now["batch_size"],
        window=window,
        episode=episode,
        scored=window_scored,
        eval_scored=eval_scored,
        sequences=sequences,
        steps=steps,
        studied=studied,
        study_steps=max(min(study_steps, STUDIED), window if window < study_steps else 0) if study else 0,
        recomputed=whole(study.get("staleness_steps")) if stream else 0,
        matrices=matrices,
        norms=studied * study_steps * (3 + layers) * studies if study else 0,
        itemsize=8 if now["dtype"] == "float64" else 4,
        parameters=parameters,
        largest=max(drawn_shapes),
        cell=cell.__name__,
        optimizer=str(root["optimizer"].get("_target_")).rpartition(".")[2],
        initializer=str((root["init"].get("recurrent") or {}).get("_target_")).rpartition(".")[2],
        copies=copies,
        kept=getattr(task, "kept", 0),
        influence=influence_bytes(
            root,
            batch=max(now["batch_size"], studied),
            units=states,
            parameters=parameters - ends,
            embedding=inputs * embedding,
            layers=layers,
            itemsize=8 if now["dtype"] == "float64" else 4,
        ),
    )
