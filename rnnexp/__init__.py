"""A laboratory bench for recurrent networks in NumPy: what they learn, and what the gradient did on its way back.

.. include:: README.md
"""

import importlib
from typing import TYPE_CHECKING, Any

from rnnexp.version import __version__ as __version__

if TYPE_CHECKING:
    from rnnexp import checks, gradients, layers, plot, report, tasks, training  # noqa: F401
    from rnnexp.algorithms import *  # noqa: F403
    from rnnexp.gradients import *  # noqa: F403
    from rnnexp.layers import *  # noqa: F403
    from rnnexp.training import *  # noqa: F403

_MODULES = ("checks", "gradients", "layers", "plot", "report", "tasks", "training")
#: Further public names by the package that has them.
_NAMES = {
    "algorithms": "AdaptiveBPTT RandomizedBPTT TruncatedBPTT",
    "gradients": "GradientStudy NormsByLag Study gradient_snr lyapunov lyapunov_exponents mean_field norms_by_lag "
    "parameter_bias state_staleness truncation_bias",
    "layers": "GRU LSTM RNN Initializers Network Recurrent TimeEmbedding TimeGRU TimeLSTM TimeLinear TimeRNN "
    "build_network check_cell load_weights save_weights",
    "training": "SGD Adagrad Adam AdamW Evaluation NormClipping RMSProp Report Streams ValueClipping evaluate train",
}
_PACKAGE_OF = {name: package for package, names in _NAMES.items() for name in names.split()}

__all__ = sorted([*_MODULES, *_PACKAGE_OF])


def __getattr__(name: str) -> Any:
    # Looked up when first asked for, so that the command's --help and refusals need not wait for NumPy.
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _PACKAGE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_PACKAGE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
