"""What the gradient does on its way back through time."""

from rnnexp.gradients.norms import NormsByLag, norms_by_lag
from rnnexp.gradients.spectra import spectral_radius
from rnnexp.gradients.study import GradientStudy, Study

__all__ = ["GradientStudy", "NormsByLag", "Study", "norms_by_lag", "spectral_radius"]
