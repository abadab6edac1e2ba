"""The network: one file per layer, each with a hand-written forward and backward pass."""

from rnnexp.layers.activations import ACTIVATIONS, activation, diff_relu, diff_sigmoid, diff_tanh, relu, sigmoid
from rnnexp.layers.checking import check_cell
from rnnexp.layers.gru import GRU, TimeGRU
from rnnexp.layers.init import (
    Bands,
    Gaussian,
    Glorot,
    Identity,
    LeCun,
    Normal,
    Orthogonal,
    Sparse,
    Uniform,
    Values,
)
from rnnexp.layers.inputs import TimeEmbedding, TimeOneHot
from rnnexp.layers.linear import TimeLinear
from rnnexp.layers.losses import LOSSES, MeanSquaredError, SoftmaxCrossEntropy
from rnnexp.layers.lstm import LSTM, TimeLSTM
from rnnexp.layers.network import Design, Initializers, Network, build_network
from rnnexp.layers.parameters import Parameters
from rnnexp.layers.recurrent import Recurrent
from rnnexp.layers.rnn import RNN, TimeRNN
from rnnexp.layers.stack import Stack
from rnnexp.layers.torch_weights import from_state_dict, load_weights, save_weights, to_state_dict

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "LOSSES",
    "LSTM",
    "RNN",
    "Bands",
    "Design",
    "Gaussian",
    "Glorot",
    "Identity",
    "Initializers",
    "LeCun",
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
    "to_state_dict",
]
