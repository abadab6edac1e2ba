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
#: Bytes that there always are: to ask what is left takes longer than to build a small network.
ALWAYS = 16 * 2**20
#: Values that are usual here, against which a large one stands out.
USUAL = {"hidden_size": 100, "embedding_dim": 50, "output_size": 50, "batch_size": 50, "bptt_length": 50}
USUAL |= {"num_layers": 3, "parameters": 10_000}
USUAL |= {"task.eval_sequences": 500, "task.eval_streams": 50, "task.eval_steps": 1000}
#: Task settings (or endings of their names) that count steps of a sequence.
LENGTHS = ("lag", "length", "horizon", "longest", "shortest")
#: Larger sizes are counted as this one: none of them fits anywhere.
LARGEST = 10**15
#: Root keys that can be made smaller.
KEYS = ("hidden_size", "parameters", "embedding_dim", "num_layers", "output_size", "batch_size", "bptt_length")


@dataclass(frozen=True)
class Need:
    """Bytes at the peak of a training run.

    Attributes
    ----------
    parts : dict of str to float
        By what takes them, once training begins.
    drawing, vectors : float
        Before that: those with which the largest matrix is drawn, and of vector and gradient.
    """

    parts: dict[str, float]
    drawing: float
    vectors: float

    @property
    def kept(self) -> float:
        """What the task has of a file already."""
        return self.parts["data of the file"]

    @property
    def total(self) -> float:
        """At the peak; weights are drawn before there is anything else to keep."""
        return max(self.kept + self.drawing + self.vectors, sum(self.parts.values()))

    @property
    def most(self) -> str:
        """What takes most of it."""
        parts = {**self.parts, "initialisation": self.drawing}
        return max(parts, key=lambda name: parts[name])


def check_sizes(root: Mapping[str, Any], cell: Any, task: Any = None, drawn: Any = None, copies: int = 1) -> None:
    """`MemoryError` if a run will not fit into memory, with the keys that make it large and a value that fits.

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

    def total(changes: Mapping[str, int]) -> float:
        return copies * need_of(root, changes, cell, task, drawn).total

    found = need_of(root, {}, cell, task, drawn)
    need = copies * found.total
    if need <= ALWAYS or need <= (have := available() + found.kept):
        return
    values = {key: root[key] for key in KEYS if isinstance(root.get(key), int)}
    if "parameters" in values:
        del values["hidden_size"]  # which follows from it
    values |= {f"task.{key}": value for key, value in root["task"].items() if type(value) is int and counted(key)}
    effects = {key: total({key: max(1, value // 2)}) / need for key, value in values.items() if value > 1}
    large = sorted(effects, key=lambda key: (effects[key] > 0.95, -values[key] / USUAL.get(key, 50)))
    offers = ((key, fitting(values[key], lambda v, key=key: total({key: v}), have)) for key in large)  # type: ignore[misc]
    hint = next((f"{key}={value} would fit" for key, value in offers if value is not None), "")
    if not hint:
        hint = "make them smaller: " + ", ".join(large[:3])
    named = [key for key in large[:2] if effects[key] <= 0.95] or large[:2]
    each = f" for each of {copies} at a time" if copies > 1 else ""
    given = ", ".join(f"{key}={values[key]}" for key in named)
    raise TooLarge(
        f"{given}: about {size(found.total)}{each}, most of it for {found.most}; {size(have)} are left", hint
    )


class TooLarge(MemoryError):
    """What does not fit, and what would."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def size(number: float) -> str:
    """Bytes in a unit that makes them readable."""
    unit = min(4, int(math.log(max(number, 1.0), 1024)))
    return f"{number / 1024**unit:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def fitting(value: int, need: Callable[[int], float], have: float) -> int | None:
    """The largest value with one digit and zeros whose need is at most half of what there is; None if none is."""
    best = None
    for exponent in range(len(str(value)) + 1):
        for digit in range(1, 10):
            tried = digit * 10**exponent
            if tried < value and need(tried) <= have / 2:
                best = tried
    return best


def evaluated_at_once(steps: int, sequences: int, widest: int) -> tuple[int, int]:
    """Steps and sequences of an evaluation that are computed at once, where a step has arrays `widest` wide."""
    each = min(sequences, max(FEWEST, min(MOST, OF_STEP // widest)))
    return max(1, min(steps, EVALUATED, OF_WINDOW // (each * widest))), each


def whole(value: Any) -> int:
    """A number of steps or sequences as a whole one that can be computed with; 0 for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return int(min(value, LARGEST)) if usable else 0


def counted(key: str) -> bool:
    """Whether a task's setting is a number of steps or sequences."""
    return key in ("eval_sequences", "eval_streams", "eval_steps") or key.rpartition("_")[2] in LENGTHS


def need_of(
    root: Mapping[str, Any], changes: Mapping[str, int], cell: Any, task: Any = None, drawn: Any = None
) -> Need:
    """What the run takes that settings, some of them changed, describe."""
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
    layers, embedding, batch = now["num_layers"], now["embedding_dim"] or 0, now["batch_size"]

    def counted_with(size: int) -> int:
        flags = {key: bool(root.get(key)) for key in ("learn_initial_state", "tie", "shortcut")}
        return parameter_count(cell, size, inputs=inputs, outputs=outputs, embedding=embedding, layers=layers, **flags)

    hidden = nearest_size(counted_with, now["parameters"]) if "parameters" in changes else now["hidden_size"]
    features = embedding or inputs
    shortcut = inputs * outputs if root.get("shortcut") else 0
    drawn_shapes = [inputs * embedding, features * hidden, hidden * hidden, hidden * outputs, shortcut]
    study = root["gradients"] if root["gradients"].get("_target_") else {}
    studied = min(sequences, whole(study.get("sequences")) or 20) if study else 0
    if whole(study.get("snr_batches")):
        studied = max(studied, batch)
    study_steps = min(steps, whole(study.get("max_length")) or 200) if stream else steps
    updates = whole(root["steps"])
    studies = 2 + updates // (whole(study.get("every")) or max(100, updates // 10))
    parameters, states = counted_with(hidden), hidden * layers * STATES.get(cell.__name__, 1)
    ends = outputs * (1 if root.get("tie") else hidden + 1) + shortcut
    matrices = 0 if embedding or not tokens else inputs * inputs  # one-hot vectors are rows of this
    if study:
        matrices += 3 * hidden * hidden + 8 * parameters + studied * states * (study_steps // STUDIED)
    if bool(study.get("jacobians")) or study.get("lyapunov_exponents", 0) != 0:
        together = min(study_steps, STUDIED, max(1, JACOBIAN_NUMBERS // states**2))
        matrices += JACOBIANS.get(cell.__name__, 20) * together * (hidden * layers) ** 2

    # From sizes to bytes.
    name, itemsize = cell.__name__, 8 if now["dtype"] == "float64" else 4
    weights, forward, backward = parameters * itemsize, FORWARD.get(name, 4), BACKWARD.get(name, 6)
    step = (TOKEN if tokens else 8 * inputs) + (TARGET if classes else 8 * outputs) + MASK
    cast = 0 if tokens else inputs * itemsize
    # What one step of one sequence keeps in the network: features, states, and what goes back through them.
    inside_network = embedding or (inputs if tokens else 0)
    ahead = (inside_network + forward * hidden * layers) * itemsize
    back = (inside_network + backward * hidden * layers) * itemsize
    if tokens and embedding and inputs <= 64:
        back += inputs * itemsize  # the gradient of a small table is a product with ones and zeros
    in_place = 1 if classes else 0
    evaluation = 2 * sequences * steps * step  # and as much for the test
    if kept := getattr(task, "kept", 0):  # views of the data of the file, but for what is read of them in another type
        evaluation = sequences * steps * (MASK + (0 if tokens else (inputs + outputs) * itemsize))
    at_once, evaluated = evaluated_at_once(steps, sequences, max(hidden, embedding, outputs))
    recomputed = whole(study.get("staleness_steps")) if stream else 0
    kept_steps = max(min(study_steps, STUDIED), window if window < study_steps else 0) if study else 0
    norms = studied * study_steps * (3 + layers) * studies if study else 0
    influence = {"batch": max(batch, studied), "units": states, "parameters": parameters - ends}
    optimizer, initializer = (
        str(group.get("_target_")).rpartition(".")[2] if isinstance(group, Mapping) else ""
        for group in (root["optimizer"], root["init"].get("recurrent"))
    )
    parts = {
        "data of the file": kept,
        "weights": weights * (3 + SLOTS.get(optimizer, 4)),  # vector, gradient, and the best vector so far
        "training data": batch * episode * (step + cast),
        "window": batch
        * (window * (ahead + back) + window_scored * outputs * itemsize * (OUTPUTS + SLOPES - in_place)),
        "evaluation data": evaluation,
        "evaluation": evaluated * (at_once * (ahead + cast) + min(at_once, eval_scored) * outputs * itemsize * OUTPUTS),
        "statistics": studied * kept_steps * (ahead + back) + matrices * itemsize + 8 * norms,
        "the influence matrix": influence_bytes(
            root, **influence, embedding=inputs * embedding, layers=layers, itemsize=itemsize
        ),
        "carried state": batch * recomputed * (ahead + 2 * (TOKEN if tokens else inputs * itemsize)),
    }
    return Need(parts, 8 * max(drawn_shapes) * DRAWN.get(initializer, 3), 2 * weights)
