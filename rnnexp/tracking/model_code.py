"""A trained network of rnnexp, run by NumPy alone: MLflow loads this file with the weights beside it.

It needs numpy and mlflow and nothing else. What goes in and comes out is batch first:

- Tokens, int64 (N, T), or values (N, T, D), give the outputs of every step (N, T, O): the logits of classes, or values.
- A text model takes prompts, one string each, and gives their continuations. With ``length=0`` it gives the logits of
  the next character after each character of the prompts (N, T, O), which must then be of one length.

Every sequence begins at the network's initial state: zero, or learned.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: The form of the description that this file can read.
FORM = 1
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
#: What a text model is asked for when nothing else is said.
DEFAULTS = {"length": 200, "temperature": 1.0, "seed": 0}


def relu(x: Array, out: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0.0, out=out)


def sigmoid(x: Array, out: Array) -> Array:
    """1 / (1 + exp(-x)), written as (1 + tanh(x / 2)) / 2, which cannot overflow."""
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    np.add(out, 1.0, out=out)
    return np.multiply(out, 0.5, out=out)


def identity(x: Array, out: Array) -> Array:
    """X itself."""
    return np.positive(x, out=out)


ACTIVATIONS: dict[str, Callable[..., Any]] = {"tanh": np.tanh, "relu": relu, "identity": identity, "sigmoid": sigmoid}


def all_steps(xs: Array, W: Array, b: Array | None = None) -> Array:
    """x_t W + b for all steps in one product: (T, N, D) -> (T, N, H)."""
    steps, batch, features = xs.shape
    ys: Array = np.dot(xs.reshape(steps * batch, features), W).reshape(steps, batch, W.shape[-1])
    if b is not None:
        np.add(ys, b, out=ys)
    return ys


def rnn(xs: Array, states: list[Array], p: Mapping[str, Array], activation: str) -> Array:
    """One step: h_t = phi(x_t Wx + h_{t-1} Wh + b): inputs (T, N, D) -> states (T, N, H); `states` moves on."""
    phi, hs = ACTIVATIONS[activation], all_steps(xs, p["Wx"], p["b"])
    h = states[0]
    for pre in hs:
        np.add(np.dot(h, p["Wh"]), pre, out=pre)
        h = phi(pre, out=pre)
    states[0] = h.copy()
    return hs


def gates(xs: Array, p: Mapping[str, Array], sigmoids: int) -> tuple[Array, Array]:
    """x_t Wx_g + b_g for all steps (T, N, D) -> (G, T, N, H), and Wh; halved for the gates that are sigmoids."""
    pre = np.stack([all_steps(xs, W, b) for W, b in zip(p["Wx"], p["b"], strict=True)])
    weights = p["Wh"].copy()
    pre[:sigmoids] *= 0.5  # sigmoid(x) = (1 + tanh(x / 2)) / 2, and halving is exact
    weights[:sigmoids] *= 0.5
    return pre, weights


def gru(xs: Array, states: list[Array], p: Mapping[str, Array], activation: str) -> Array:
    """H = (1 - z) n + z h_prev with n = tanh(x Wx_n + b_n + r (h_prev Wh_n + bn)), as `rnn`."""
    pre, weights = gates(xs, p, 2)
    hs = np.empty(pre.shape[1:], pre.dtype)
    h = states[0]
    for t, new in enumerate(hs):
        work = np.matmul(h, weights)
        rz = np.tanh(work[:2] + pre[:2, t]) * 0.5 + 0.5
        n = np.tanh(rz[0] * (work[2] + p["bn"]) + pre[2, t])
        new[...] = (h - n) * rz[1] + n
        h = new
    states[0] = h.copy()
    return hs


def lstm(xs: Array, states: list[Array], p: Mapping[str, Array], activation: str) -> Array:
    """C = f c_prev + i g, h = o tanh(c), with the gates in the order o, i, f, g, as `rnn`."""
    pre, weights = gates(xs, p, 3)
    hs = np.empty(pre.shape[1:], pre.dtype)
    h, c = states
    for t, new in enumerate(hs):
        gate = np.tanh(np.matmul(h, weights) + pre[:, t])
        o, i, f = gate[:3] * 0.5 + 0.5
        c = f * c + i * gate[3]
        np.multiply(o, np.tanh(c), out=new)
        h = new
    states[:] = [h.copy(), c]
    return hs


#: The layer over a window, and the names of its states.
CELLS: dict[str, tuple[Callable[..., Array], tuple[str, ...]]] = {
    "rnn": (rnn, ("h",)),
    "gru": (gru, ("h",)),
    "lstm": (lstm, ("h", "c")),
}


class Network:
    """Input map, recurrent layers, output map.

    Parameters
    ----------
    design : mapping
        What it is made of, as ``design.json`` has it.
    weights : mapping of str to array
        By the names that rnnexp gives them.
    """

    def __init__(self, design: Mapping[str, Any], weights: Mapping[str, Array]) -> None:
        if design.get("form") != FORM:
            raise ValueError(
                f"design.json must be of form {FORM}, got {design.get('form')}: take the code that is with it"
            )
        self.design, self.dtype = design, np.dtype(design["dtype"])
        self.layer, self.state_names = CELLS[design["cell"]]
        count = int(design["num_layers"])
        names = ["recurrent"] if count == 1 else [f"recurrent.{layer}" for layer in range(1, count + 1)]
        self.layers = [
            {key.rpartition(".")[2]: array for key, array in weights.items() if key.rpartition(".")[0] == name}
            for name in names
        ]
        self.tokens = design["input_kind"] == "tokens"
        self.embedding = weights.get("embedding.W")
        if self.embedding is None and self.tokens:
            self.embedding = np.eye(design["input_size"], dtype=self.dtype)  # one-hot vectors
        self.W = weights["output.W"] if "output.W" in weights else weights["embedding.W"].swapaxes(-1, -2)
        self.b = weights["output.b"]

    def start(self, sequences: int) -> list[list[Array]]:
        """The state before the first step: a list for each layer, of arrays (N, H)."""
        shape = (sequences, int(self.design["hidden_size"]))
        return [
            [np.broadcast_to(p.get(f"{name}0", self.dtype.type(0)), shape).copy() for name in self.state_names]
            for p in self.layers
        ]

    def forward(self, inputs: Any, state: list[list[Array]] | None = None) -> Array:
        """Tokens (T, N) or values (T, N, D) -> outputs (T, N, O), time first; `state` moves on, if it is given.

        Raises
        ------
        ValueError
            If the inputs have another shape, or a token is not among those that the network knows.
        """
        size = int(self.design["input_size"])
        xs = np.asarray(inputs) if self.tokens else np.ascontiguousarray(inputs, self.dtype)
        if self.tokens:
            if xs.ndim != 2 or xs.dtype.kind not in "iu":
                raise ValueError(f"tokens must be whole numbers in two axes, got {xs.dtype} in shape {xs.shape}")
            if xs.size and not 0 <= xs.min() <= xs.max() < size:
                raise ValueError(f"tokens must be from 0 to {size - 1}, got {xs.min()} to {xs.max()}")
        elif xs.ndim != 3 or xs.shape[-1] != size:
            raise ValueError(f"values must have three axes, the last of size {size}, got shape {xs.shape}")
        if self.embedding is not None:
            xs = self.embedding[xs] if self.tokens else all_steps(xs, self.embedding)
        state = self.start(xs.shape[1]) if state is None else state
        for parameters, states in zip(self.layers, state, strict=True):
            xs = self.layer(xs, states, parameters, self.design["activation"])
        return all_steps(xs, self.W, self.b)


class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """What MLflow calls."""

    def load_context(self, context: Any) -> None:
        """Read the description and the weights; nothing is unpickled."""
        design = json.loads(Path(context.artifacts["design"]).read_text(encoding="utf-8"))
        with np.load(context.artifacts["weights"], allow_pickle=False) as file:
            weights = {name: file[name] for name in file.files}
        self.network = Network(design, weights)
        self.characters: list[str] = list(design.get("characters") or [])

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,  # MLflow reads this, and warns of most other annotations
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Outputs of every step, or the continuations of prompts; see the top of this file.

        Parameters
        ----------
        context : PythonModelContext
            Not used.
        model_input : array; of a text model, strings in an array, a list or a data frame
        params : dict, optional
            Of a text model: `length` in characters, `temperature`, `seed`.
        """
        if self.characters:
            return self._text(model_input, {**DEFAULTS, **(params or {})})
        inputs = model_input.to_numpy() if hasattr(model_input, "to_numpy") else np.asarray(model_input)
        return self.outputs(inputs)

    def outputs(self, inputs: Any) -> Array:
        """Tokens (N, T) or values (N, T, D), batch first, to outputs (N, T, O)."""
        time_first = np.ascontiguousarray(np.asarray(inputs).swapaxes(0, 1))
        return np.ascontiguousarray(self.network.forward(time_first).swapaxes(0, 1))

    def _text(self, given: Any, params: Mapping[str, Any]) -> Any:
        values = given.to_numpy() if hasattr(given, "to_numpy") else np.asarray(given, dtype=object)
        prompts = [str(prompt) for prompt in np.ravel(values)]
        length, seed, temperature = int(params["length"]), int(params["seed"]), float(params["temperature"])
        if length < 0 or seed < 0:
            raise ValueError(f"length and seed must be whole numbers >= 0, got {length} and {seed}")
        if length:
            return [self.generate(prompt, length, temperature=temperature, seed=seed) for prompt in prompts]
        tokens = [self.encode(prompt) for prompt in prompts]
        if len({len(row) for row in tokens}) != 1 or not tokens[0]:
            raise ValueError("with length=0, prompts must be of one length, and not empty")
        return self.outputs(np.array(tokens, np.int64))

    def generate(self, prompt: str, length: int, *, temperature: float = 1.0, seed: int = 0) -> str:
        """The `length` characters that follow a prompt, each drawn and fed back.

        Parameters
        ----------
        prompt : str
            An empty one stands for the start of the text.
        length : int
        temperature : float
            What the logits are divided by; 0 always takes the likeliest character.
        seed : int
            Of the draws: the same text every time.

        Raises
        ------
        ValueError
            If the temperature is no finite number >= 0.
        """
        if not 0.0 <= temperature < np.inf:
            raise ValueError(f"temperature must be a finite number >= 0, got {temperature}")
        rng, state = np.random.default_rng(seed), self.network.start(1)
        window = np.array(self.encode(prompt) or [self.network.design["start"]], np.int64)[:, np.newaxis]
        drawn = []
        for _ in range(length):
            logits = self.network.forward(window, state)[-1, 0].astype(np.float64)
            if temperature == 0.0:
                token = int(logits.argmax())
            else:
                probabilities = np.exp((logits - logits.max()) / temperature)
                probabilities /= probabilities.sum()
                token = int(rng.choice(len(probabilities), p=probabilities))
            drawn.append(token)
            window = np.array([[token]], np.int64)
        return self.decode(drawn)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; characters outside the vocabulary become the unknown symbol, or are left out."""
        index = {character: token for token, character in enumerate(self.characters)}
        unknown = index.get(UNKNOWN)
        tokens = (index.get(character, unknown) for character in text)
        return [token for token in tokens if token is not None]

    def decode(self, tokens: Sequence[int]) -> str:
        """The characters of some tokens."""
        return "".join(self.characters[token] for token in tokens)


mlflow.models.set_model(Model())
