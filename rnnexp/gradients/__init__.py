"""What the gradient does on its way back through time: each statistic a function of a network and a batch."""

from rnnexp.gradients.algorithm_pairs import AlignmentMatrix, alignment_matrix
from rnnexp.gradients.lag_split import LagSplit, gradient_by_lag, gradients_by_lag
from rnnexp.gradients.noise import SignalToNoise, gradient_snr, signal_to_noise
from rnnexp.gradients.norms import NormsByLag, norms_by_lag, total_norms_by_time
from rnnexp.gradients.saturated import Saturation, saturation
from rnnexp.gradients.spectra import (
    StepJacobians,
    eigenvalues,
    pascanu_bound,
    singular_values,
    spectral_radius,
    step_jacobians,
)
from rnnexp.gradients.stability import lyapunov, lyapunov_exponents
from rnnexp.gradients.staleness import state_staleness
from rnnexp.gradients.study import GradientStudy, Study
from rnnexp.gradients.theory import MeanField, mean_field
from rnnexp.gradients.truncation import (
    AdaptiveWindow,
    TruncationBias,
    Window,
    adaptive_window,
    fixed_windows,
    full_gradient,
    parameter_bias,
    truncated_gradient,
    truncation_bias,
    windowed_gradient,
)

__all__ = [
    "AdaptiveWindow",
    "AlignmentMatrix",
    "GradientStudy",
    "LagSplit",
    "MeanField",
    "NormsByLag",
    "Saturation",
    "SignalToNoise",
    "StepJacobians",
    "Study",
    "TruncationBias",
    "Window",
    "adaptive_window",
    "alignment_matrix",
    "eigenvalues",
    "fixed_windows",
    "full_gradient",
    "gradient_by_lag",
    "gradient_snr",
    "gradients_by_lag",
    "lyapunov",
    "lyapunov_exponents",
    "mean_field",
    "norms_by_lag",
    "parameter_bias",
    "pascanu_bound",
    "saturation",
    "signal_to_noise",
    "singular_values",
    "spectral_radius",
    "state_staleness",
    "step_jacobians",
    "total_norms_by_time",
    "truncated_gradient",
    "truncation_bias",
    "windowed_gradient",
]
