"""The network: one file per layer, each with a hand-written forward and backward pass.

Begin with `textbook`: backpropagation through time on one page, in plain NumPy. The other files are the same made fast.

Imports in this package are relative, since a recorded model ships it under another name.
"""

from . import textbook
from .activations import ACTIVATIONS, activation, diff_relu, diff_sigmoid, diff_tanh, relu, sigmoid
from .building import CELLS, Initializers, build_network
from .checking import check_cell
from .criteria import CRITERIA, MeanSquaredError, SoftmaxCrossEntropy
from .gru import GRU, TimeGRU
from .init import Bands, Gaussian, Glorot, Identity, LeCun, Normal, Orthogonal, Sparse, Uniform, Values
from .inputs import TimeEmbedding, TimeOneHot
from .leaky import Leaky, TimeLeaky
from .linear import TimeLinear
from .lstm import LSTM, TimeLSTM
from .network import Design, Network
from .parameters import Parameters
from .recurrent import Recurrent
from .rnn import RNN, TimeRNN
from .stack import Stack
from .torch_weights import from_state_dict, load_weights, save_weights, to_state_dict

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "CRITERIA",
    "GRU",
    "LSTM",
    "RNN",
    "Bands",
    "Design",
    "Gaussian",
    "Glorot",
    "Identity",
    "Initializers",
    "LeCun",
    "Leaky",
    "MeanSquaredError",
    "Network",
    "Normal",
    "Orthogonal",
    "Parameters",
    "Recurrent",
    "SoftmaxCrossEntropy",
    "Sparse",
    "Stack",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeLeaky",
    "TimeLinear",
    "TimeOneHot",
    "TimeRNN",
    "Uniform",
    "Values",
    "activation",
    "build_network",
    "check_cell",
    "diff_relu",
    "diff_sigmoid",
    "diff_tanh",
    "from_state_dict",
    "load_weights",
    "relu",
    "save_weights",
    "sigmoid",
    "textbook",
    "to_state_dict",
]
