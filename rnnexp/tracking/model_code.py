"""A trained network as MLflow loads it, in a process that needs NumPy and MLflow, but not rnnexp.

Inputs and outputs are batch first:

- Tokens, int64 (N, T), or values (N, T, D), give the outputs of every step (N, T, O): the logits of classes, or values.
  Those of a table are in the file's units, inputs and outputs.
- A text model takes prompts, one string each, and returns their continuations. With ``length=0`` it returns the logits
  of the next character after each character of the prompts (N, T, O), which must then have the same length.

Every sequence begins at the network's initial state: zero, or learned.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Relative: a model ships this file and the layers under another package name, so no installed rnnexp can shadow them.
from ..layers.gru import TimeGRU
from ..layers.leaky import TimeLeaky
from ..layers.lstm import TimeLSTM
from ..layers.network import Design, Network
from ..layers.parameters import Parameters
from ..layers.recurrent import Recurrent
from ..layers.rnn import TimeRNN

Array = NDArray[Any]
CELLS: dict[str, type[Recurrent]] = {"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM, "leaky": TimeLeaky}
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
#: Parameters of a text model's `predict`.
DEFAULTS = {"length": 200, "temperature": 1.0, "seed": 0}


def _load_pyfunc(folder: str) -> "Model":
    """The model in a folder, as MLflow asks for it; nothing is unpickled."""
    design = json.loads(Path(folder, "design.json").read_text(encoding="utf-8"))
    with np.load(Path(folder, "weights.npz"), allow_pickle=False) as weights:
        return Model(design, dict(weights))


class Model:
    """A network behind MLflow's `predict`.

    Parameters
    ----------
    design : mapping
        The contents of ``design.json``.
    weights : mapping of str to array
        By the names that `build_network` gives them, in its order.
    """

    def __init__(self, design: Mapping[str, Any], weights: Mapping[str, Array]) -> None:
        parameters = Parameters({name: array.shape for name, array in weights.items()}, dtype=design["dtype"])
        for name, array in weights.items():
            parameters.values[name][...] = array
        cell, options = CELLS[design["cell"]], design["cell_options"]
        self.network = Network(
            parameters, Design(design["input_kind"], design["input_size"], cell, options, design["num_layers"])
        )
        self.characters: list[str] = design.get("characters", [])
        self.start: int = design.get("start", 0)
        self.scales: list[tuple[Array, Array]] = []  # mean and standard deviation of inputs and outputs of a table
        if "means" in design:
            names = (design["input_names"], design["output_names"])
            means, stds = (
                [np.array([design[of][name] for name in some]) for some in names] for of in ("means", "stds")
            )
            self.scales = list(zip(means, stds, strict=True))

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Outputs of every step, or the continuations of prompts; see the top of this file.

        Parameters
        ----------
        model_input : array; for a text model, strings in an array, a list or a data frame
        params : mapping, optional
            For a text model: `length` in characters, `temperature`, `seed`.

        Raises
        ------
        IndexError
            If a token is outside the vocabulary.
        ValueError
            If the inputs do not fit the network, or a parameter is out of range.
        """
        if not self.characters:
            return self.in_units(np.asarray(model_input))
        params = {**DEFAULTS, **(params or {})}
        prompts = [str(prompt) for prompt in np.ravel(np.asarray(model_input, dtype=object))]
        length, seed, temperature = int(params["length"]), int(params["seed"]), float(params["temperature"])
        if length < 0 or seed < 0:
            raise ValueError(f"length and seed must be whole numbers >= 0, got {length} and {seed}")
        if length:
            return [self.generate(prompt, length, temperature=temperature, seed=seed) for prompt in prompts]
        tokens = [self.encode(prompt) for prompt in prompts]
        if len({len(row) for row in tokens}) != 1 or not tokens[0]:
            raise ValueError("with length=0, prompts must have the same length, and not be empty")
        return self.outputs(np.array(tokens, np.int64))

    def in_units(self, inputs: Array) -> Array:
        """Outputs, for a table from inputs in its units, and in its units."""
        if not self.scales:
            return self.outputs(inputs)
        (mean, std), (output_mean, output_std) = self.scales
        dtype = self.network.dtype
        outputs = self.outputs(((inputs - mean) / std).astype(dtype))
        return (outputs * output_std + output_mean).astype(dtype)

    def outputs(self, inputs: Array) -> Array:
        """Tokens (N, T) or values (N, T, D), batch first, to outputs (N, T, O)."""
        network = self.network.replica()  # with its own state and buffers, so that calls from several threads can't mix
        return np.ascontiguousarray(network.forward(np.ascontiguousarray(inputs.swapaxes(0, 1))).swapaxes(0, 1))

    def generate(self, prompt: str, length: int, *, temperature: float = 1.0, seed: int = 0) -> str:
        """The `length` characters that follow a prompt, each drawn and fed back.

        Parameters
        ----------
        prompt : str
            An empty one stands for the start of the text.
        length : int
        temperature : float
            The divisor of the logits; 0 always takes the likeliest character.
        seed : int
            Of the draws: the same text every time.

        Raises
        ------
        ValueError
            If the temperature is not a finite number >= 0.
        """
        if not 0.0 <= temperature < np.inf:
            raise ValueError(f"temperature must be a finite number >= 0, got {temperature}")
        rng, network = np.random.default_rng(seed), self.network.replica()
        window, drawn = np.array(self.encode(prompt) or [self.start], np.int64)[:, np.newaxis], ""
        for _ in range(length):
            logits = network.forward(window)[-1, 0].astype(np.float64)
            if temperature == 0.0:
                token = int(logits.argmax())
            else:
                probabilities = np.exp((logits - logits.max()) / temperature)
                probabilities /= probabilities.sum()
                token = int(rng.choice(len(probabilities), p=probabilities))
            drawn += self.characters[token]
            window = np.array([[token]], np.int64)
        return drawn

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; characters outside the vocabulary become the unknown symbol, or are left out."""
        index = {character: token for token, character in enumerate(self.characters)}
        unknown = index.get(UNKNOWN)
        tokens = (index.get(character, unknown) for character in text)
        return [token for token in tokens if token is not None]
