"""The teaching notebook's experiment: two sequences through one cell step by step, then through a whole layer.

Run it with ``python experiments/vanilla_rnn/run.py``; the README beside this file shows what it prints and why.
"""

import numpy as np

from rnnexp.layers import RNN, TimeLinear, TimeRNN

HIDDEN_SIZE, EMBEDDING_DIM, OUTPUT_SIZE = 10, 5, 4
FIRST, SECOND = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 4.0, 5.0, 6.0]


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal weights, as in the notebook, drawn once and shared by all steps."""
    rng = np.random.default_rng(seed)
    return {
        "Wx": rng.standard_normal((EMBEDDING_DIM, HIDDEN_SIZE)),
        "Wh": rng.standard_normal((HIDDEN_SIZE, HIDDEN_SIZE)),
        "b": np.zeros(HIDDEN_SIZE),
        "Wy": rng.standard_normal((HIDDEN_SIZE, OUTPUT_SIZE)),
        "by": np.zeros(OUTPUT_SIZE),
    }


def step_by_step(inputs: np.ndarray, w: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """States (1, T, H) and outputs (1, T, O) of inputs (1, T, D), one cell used at every step."""
    cell = RNN(w["Wx"], w["Wh"], w["b"])
    h = np.zeros((1, HIDDEN_SIZE))
    states = []
    for x in inputs.swapaxes(0, 1):
        h = cell.forward(x, h)
        states.append(h)
    hs = np.stack(states, axis=1)
    return hs, hs @ w["Wy"] + w["by"]


def whole_window(inputs: np.ndarray, w: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same through the layers that training uses."""
    hs = TimeRNN(w["Wx"], w["Wh"], w["b"], stateful=False, batch_first=True).forward(inputs)
    return hs, TimeLinear(w["Wy"], w["by"], batch_first=True).forward(hs)


def main() -> None:
    """Print both, and that they agree."""
    np.set_printoptions(precision=4, suppress=True, linewidth=100)
    w = weights()
    inputs = np.array([[FIRST, SECOND]])  # one sequence of two steps: (N, T, D) = (1, 2, 5)
    hs, ys = step_by_step(inputs, w)
    for step, x in enumerate((FIRST, SECOND)):
        print(f"step {step + 1}: input  {np.array(x)}")
        print(f"        state  {hs[0, step]}")
        print(f"        output {ys[0, step]}")
    time_hs, time_ys = whole_window(inputs, w)
    print(f"TimeRNN: largest difference of the states  {np.abs(hs - time_hs).max():.1e}")
    print(f"         largest difference of the outputs {np.abs(ys - time_ys).max():.1e}")
    if not (np.allclose(hs, time_hs, rtol=1e-12, atol=1e-12) and np.allclose(ys, time_ys, rtol=1e-12, atol=1e-12)):
        raise SystemExit("the cell and the layer disagree")
    print("equal: the layer is the cell, with the same weights at every step")


if __name__ == "__main__":
    main()
