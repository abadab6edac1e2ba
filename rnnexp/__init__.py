"""A laboratory bench for recurrent networks in NumPy: what they learn, and what the gradient did on its way back.

.. include:: README.md
"""

import importlib
from typing import TYPE_CHECKING, Any

from rnnexp.version import __version__ as __version__

if TYPE_CHECKING:
    from rnnexp import checks, gradients, layers, plot, report, tasks, training
    from rnnexp.algorithms import AdaptiveBPTT, RandomizedBPTT, TruncatedBPTT
    from rnnexp.gradients import (
        GradientStudy,
        NormsByLag,
        Study,
        mean_field,
        norms_by_lag,
        truncation_bias,
    )
    from rnnexp.gradients.stability import lyapunov, lyapunov_exponents
    from rnnexp.layers import (
        GRU,
        LSTM,
        RNN,
        Initializers,
        Network,
        Recurrent,
        TimeEmbedding,
        TimeGRU,
        TimeLinear,
        TimeLSTM,
        TimeRNN,
        build_network,
        check_cell,
        load_weights,
        save_weights,
    )
    from rnnexp.training import (
        SGD,
        Adagrad,
        Adam,
        AdamW,
        Evaluation,
        NormClipping,
        Report,
        RMSProp,
        Streams,
        ValueClipping,
        evaluate,
        train,
    )


__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdaptiveBPTT",
    "Evaluation",
    "GradientStudy",
    "Initializers",
    "Network",
    "NormClipping",
    "NormsByLag",
    "RMSProp",
    "RandomizedBPTT",
    "Recurrent",
    "Report",
    "Streams",
    "Study",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeLinear",
    "TimeRNN",
    "TruncatedBPTT",
    "ValueClipping",
    "build_network",
    "check_cell",
    "checks",
    "evaluate",
    "gradients",
    "layers",
    "load_weights",
    "lyapunov",
    "lyapunov_exponents",
    "mean_field",
    "norms_by_lag",
    "plot",
    "report",
    "save_weights",
    "tasks",
    "train",
    "training",
    "truncation_bias",
]

_MODULES = ("checks", "gradients", "layers", "plot", "report", "tasks", "training")


def __getattr__(name: str) -> Any:
    # Looked up when first asked for, so that the command's --help and refusals need not wait for NumPy.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    rooms = (
        importlib.import_module(f"{__name__}.{room}") for room in ("layers", "algorithms", "training", "gradients")
    )
    value = next(getattr(room, name) for room in rooms if name in room.__all__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
