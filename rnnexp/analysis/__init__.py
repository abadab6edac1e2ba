"""What a trained network does: its trajectories, fixed and slow points, and sensitivity; without a loss.

Plain functions of a network and a batch. They leave the network's state alone, since they work on a copy of it in
float64: the points of float32 weights are found to more digits than float32 has.
"""

from rnnexp.analysis.points import FixedPoint, FixedPoints
from rnnexp.analysis.search import fixed_points
from rnnexp.analysis.sensitivities import sensitivity
from rnnexp.analysis.state_space import (
    PrincipalComponents,
    StateTrajectories,
    principal_components,
    state_trajectories,
)

__all__ = [
    "FixedPoint",
    "FixedPoints",
    "PrincipalComponents",
    "StateTrajectories",
    "fixed_points",
    "principal_components",
    "sensitivity",
    "state_trajectories",
]
