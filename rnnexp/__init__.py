"""A laboratory bench for recurrent networks in NumPy: what they learn, and what the gradient did on its way back."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    told = f"rnnexp needs Python 3.11 to 3.14, and {sys.executable} is {sys.version.split()[0]}"
    raise (SystemExit if sys.argv[0] == "-m" else ImportError)(f"{told}\nin a checkout: make run")

import importlib
from typing import TYPE_CHECKING

from rnnexp.version import __version__ as __version__

if TYPE_CHECKING:
    from rnnexp import analysis, checks, gradients, layers, plot, report, tasks, training
    from rnnexp.algorithms import *
    from rnnexp.analysis import *
    from rnnexp.gradients import *
    from rnnexp.layers import *
    from rnnexp.loading import *
    from rnnexp.trained import *
    from rnnexp.training import *

_MODULES = ("analysis", "checks", "gradients", "layers", "plot", "report", "tasks", "training")
#: Packages that the other names are from, the lowest first.
_ROOMS = ("layers", "gradients", "algorithms", "training", "analysis", "trained", "loading")

# Written out, since a type checker takes only these for public.
__all__ = [
    "GRU",
    "LSTM",
    "RFLO",
    "RNN",
    "RTRL",
    "SGD",
    "UORO",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdaptiveBPTT",
    "Continuation",
    "Evaluation",
    "FixedPoint",
    "FixedPoints",
    "GradientStudy",
    "Initializers",
    "Network",
    "NormClipping",
    "NormsByLag",
    "PrincipalComponents",
    "RMSProp",
    "RandomizedBPTT",
    "Recurrent",
    "Report",
    "SnAp",
    "StateTrajectories",
    "Streams",
    "Study",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeLinear",
    "TimeRNN",
    "Trained",
    "TruncatedBPTT",
    "ValueClipping",
    "alignment_matrix",
    "analysis",
    "build_network",
    "check_cell",
    "checks",
    "evaluate",
    "fixed_points",
    "gradient_snr",
    "gradients",
    "layers",
    "load",
    "load_weights",
    "lyapunov",
    "lyapunov_exponents",
    "mean_field",
    "norms_by_lag",
    "parameter_bias",
    "plot",
    "principal_components",
    "report",
    "save_weights",
    "sensitivity",
    "state_staleness",
    "state_trajectories",
    "tasks",
    "train",
    "training",
    "truncation_bias",
]

if not TYPE_CHECKING:  # which would take every other name for Any

    def __getattr__(name: str) -> object:
        # Looked up when first asked for, so that the command's --help and refusals need not wait for NumPy.
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name in __all__:
            for room in _ROOMS:
                module = importlib.import_module(f"{__name__}.{room}")
                if name in module.__all__:
                    value = globals()[name] = getattr(module, name)
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
