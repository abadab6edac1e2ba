"""Fixed points of maps whose points are known, solved by hand."""

from math import atanh, cos, pi, sin, sqrt, tanh

import numpy as np
import pytest
from small_networks import CELLS, network_of, vanilla

import rnnexp
from rnnexp.analysis.step_map import StepMap
from rnnexp.checks import InvalidValue
from rnnexp.layers import TimeGRU, TimeLSTM

CUBE = np.random.default_rng(7).uniform(-1.2, 1.2, (400, 2))  # states around the origin


def found(network, visited=CUBE, **options):
    return rnnexp.fixed_points(network, visited, rng=np.random.default_rng(0), **{"starts": 100, "noise": 0, **options})


def positive_root(w):
    """a > 0 with a = tanh(w a), by iterating the map, which converges to it."""
    a = 1.0
    for _ in range(10_000):
        a = tanh(w * a)
    return a


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("embedding_dim", [None, 2])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_the_jacobian_is_that_of_the_complex_step(cell, embedding_dim, layers):
    step = StepMap(network_of(cell, num_layers=layers, embedding_dim=embedding_dim), [0.3, -1.1])
    state = np.random.default_rng(2).standard_normal(step.size)
    expected = np.stack([step(state + 1e-20j * unit).imag / 1e-20 for unit in np.eye(step.size)])
    assert np.abs(expected).max() > 0.1
    assert np.abs(step.jacobian(state) - expected).max() < 1e-13


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_the_map_is_the_networks_own_step_and_output(cell):
    network = network_of(cell, num_layers=2, shortcut=True)
    step = StepMap(network, [0.3, -1.1])
    state = np.random.default_rng(2).standard_normal(step.size)
    network.recurrent.set_state(*np.split(state[np.newaxis], step.size // 3, axis=-1))
    output = network.forward(np.array([[[0.3, -1.1]]]))[0, 0]
    after = np.concatenate(network.recurrent.state, axis=-1)[0]
    assert np.abs(step(state) - after).max() < 1e-15
    assert np.abs(step.output(after) - output).max() < 1e-15


def test_a_linear_map_has_the_one_point_that_its_equation_has():
    rng = np.random.default_rng(1)
    Wh, Wx, b, x = 0.4 * rng.standard_normal((2, 2)), rng.standard_normal((2, 2)), rng.standard_normal(2), [0.5, -2.0]
    (point,) = found(vanilla(Wh, Wx=Wx, b=b, activation="identity"), x=x, reach=100)
    assert np.abs(point.state - np.linalg.solve(np.eye(2) - Wh.T, x @ Wx + b)).max() < 1e-12
    assert np.array_equal(point.jacobian, Wh)
    assert np.allclose(sorted(point.eigenvalues, key=abs), sorted(np.linalg.eigvals(Wh), key=abs))
    assert point.fixed
    assert point.converged
    assert point.starts == 100


@pytest.mark.parametrize(
    ("Wh", "kind", "unstable"),
    [
        (np.diag([0.9, -0.5]), "stable node", 0),
        (np.diag([1.1, -0.5]), "saddle, 1 unstable direction", 1),
        (np.diag([1.1, -1.5]), "unstable node", 2),
        (0.9 * np.array([[cos(1), sin(1)], [-sin(1), cos(1)]]), "stable spiral", 0),
        (1.1 * np.array([[cos(1), sin(1)], [-sin(1), cos(1)]]), "unstable spiral", 2),
        ([[0.5, 3.0], [0.0, 0.2]], "stable node", 0),  # not normal: it grows before it decays
        ([[0.0, 1.0], [-1.0, 0.0]], "marginal", 0),
    ],
)
def test_kinds_are_those_of_the_eigenvalues(Wh, kind, unstable):
    (point,) = found(vanilla(Wh, activation="identity"))
    assert (point.kind, point.unstable, point.spiral) == (kind, unstable, "spiral" in kind or kind == "marginal")
    assert point.unstable_directions.shape == (unstable, 2)


def test_a_saddle_of_three_units_that_leaves_in_a_spiral():
    Wh = np.zeros((3, 3))
    Wh[:2, :2], Wh[2, 2] = 1.2 * np.array([[cos(pi / 3), sin(pi / 3)], [-sin(pi / 3), cos(pi / 3)]]), 0.5
    (point,) = found(vanilla(Wh, activation="identity"), np.ones((5, 3)))
    assert point.kind == "saddle, 2 unstable directions, spiral"
    assert np.allclose(point.unstable_directions[:, 2], 0.0)
    assert np.linalg.matrix_rank(point.unstable_directions) == 2  # the plane of the first two units
    assert "leading eigenvalue 0.6+1.039j" in repr(point) or "leading eigenvalue 0.6-1.039j" in repr(point)


def test_two_coupled_tanh_units_solved_by_hand():
    """Wh = [[a, b], [b, a]]: with u = h1 = h2, u = tanh((a + b) u); with h1 = -h2, u = tanh((a - b) u).

    For a + b = 2 and a - b = 0.5 the points are 0, a saddle that is left along (1, 1), and +-(u, u) with u = tanh 2u,
    stable: there the Jacobian is (1 - u^2) Wh, with the eigenvalues 2 and 0.5 times that.
    """
    Wh = np.array([[1.25, 0.75], [0.75, 1.25]])
    points = found(vanilla(Wh))
    u = positive_root(2.0)
    assert u == pytest.approx(0.957504, abs=1e-6)
    assert points.kinds == {"stable node": 2, "saddle, 1 unstable direction": 1}
    by_place = sorted(points, key=lambda point: point.state[0])
    for point, place in zip(by_place, (-u, 0.0, u), strict=True):
        assert np.abs(point.state - place).max() < 1e-10
        slope = 1 - place**2
        assert np.allclose(point.eigenvalues, [2 * slope, 0.5 * slope], atol=1e-10)
        assert np.abs(point.output - place).max() < 1e-10
        assert point.q < 1e-20
    assert np.allclose(np.abs(by_place[1].unstable_directions), sqrt(0.5))
    assert np.ptp(by_place[1].unstable_directions) < 1e-12


def test_two_separate_tanh_units_have_nine_points():
    """Each unit has 0 and +-u: corners stable, the middle of each edge a saddle, the centre unstable."""
    points = found(vanilla(np.diag([2.0, 2.0])), starts=300)
    assert points.kinds == {"stable node": 4, "saddle, 1 unstable direction": 4, "unstable node": 1}
    u = positive_root(2.0)
    grid = np.array([(one, other) for one in (-u, 0, u) for other in (-u, 0, u)])
    gaps = np.linalg.norm(points.states[:, np.newaxis] - grid, axis=-1)
    assert sorted(gaps.argmin(axis=1)) == list(range(9))
    assert gaps.min(axis=1).max() < 1e-10
    assert [point.unstable for point in points] == [0] * 4 + [1] * 4 + [2]
    assert sum(point.starts for point in points) == 300
    assert points.left_out == 0


def test_the_constant_input_decides_where_the_points_are():
    """h = tanh(w h + x) has the point h that x = atanh(h) - w h puts there; far enough from 0 it is the only one."""
    h = 0.99
    x = atanh(h) - 2.0 * h
    points = found(vanilla([[2.0]]), CUBE[:, :1], x=x)
    assert [point.kind for point in points] == ["stable node"]
    assert points[0].state[0] == pytest.approx(h, abs=1e-10)
    assert "x = [0.6" in repr(points)


def test_an_lstm_has_fixed_points_of_h_and_c_together():
    """Without weights, c = f c + i g and h = o tanh(c): c = i g / (1 - f), and the Jacobian has one eigenvalue, f."""
    network = network_of(TimeLSTM, hidden_size=1, input_size=1, output_size=1)
    network.parameters.vector[...] = 0.0
    o, i, f, g = 0.6, 0.7, 0.8, 0.5
    logits = [np.log(gate / (1 - gate)) for gate in (o, i, f)]
    network.parameters.values["recurrent.b"][:, 0] = [*logits, atanh(g)]
    (point,) = found(network)
    c = i * g / (1 - f)
    assert np.allclose(point.state, [o * tanh(c), c], rtol=1e-12)
    assert np.allclose(point.eigenvalues, [f, 0.0], atol=1e-12)


def test_the_layers_of_a_stack_have_one_fixed_point_together():
    """Without recurrent weights a GRU's point is n = tanh(its input), its eigenvalue z; layer 2 sees layer 1."""
    network = network_of(TimeGRU, hidden_size=1, input_size=1, output_size=1, num_layers=2)
    network.parameters.vector[...] = 0.0
    values = network.parameters.values
    for layer, z in ((1, 0.9), (2, 0.3)):
        values[f"recurrent.{layer}.b"][1] = np.log(z / (1 - z))
        values[f"recurrent.{layer}.Wx"][2] = 1.5
    (point,) = found(network, x=[0.4])
    lower = tanh(1.5 * 0.4)
    assert np.allclose(point.state, [lower, tanh(1.5 * lower)], rtol=1e-12)
    assert np.allclose(point.eigenvalues, [0.9, 0.3], atol=1e-12)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_cells_points_stay_where_they_are(cell):
    network = network_of(cell, hidden_size=5, scale=0.9)
    points = found(
        network, np.random.default_rng(3).standard_normal((50, StepMap(network).size)), x=[0.2, -0.4], starts=30
    )
    step = StepMap(network, [0.2, -0.4])
    assert points.fixed
    for point in points.fixed:
        assert np.abs(step(point.state) - point.state).max() < 1e-9
        assert point.q == pytest.approx(0.5 * np.sum((step(point.state) - point.state) ** 2), abs=1e-28)


def test_a_token_is_a_constant_input():
    network = rnnexp.build_network(hidden_size=2, output_size=3, input_size=4, rng=np.random.default_rng(0))
    network.parameters.values["recurrent.Wh"][...] = 0.0
    (point,) = found(network, x=2)
    assert np.allclose(point.state, np.tanh(network.parameters.values["recurrent.Wx"][2]), atol=1e-7)
    assert "x = 2:" in repr(found(network, x=2, starts=1))


def ghost(w, beyond):
    """The bias of h' = tanh(w h + b) just beyond the fold, and the slow point that is left there with its q."""
    slope_one = sqrt(1 - 1 / w)  # tanh where its slope times w is 1
    b = atanh(-slope_one) - w * -slope_one + beyond
    h = (atanh(-slope_one) - b) / w
    return b, h, 0.5 * (-slope_one - h) ** 2


def test_a_slow_point_is_a_minimum_of_q_without_a_fixed_point():
    """Beyond the fold of a pair of points q has a minimum, where the displacement's slope is 0: an eigenvalue of 1."""
    b, h, q = ghost(2.0, 1.1e-3)
    points = found(vanilla([[2.0]], b=b), CUBE[:, :1])
    assert len(points.fixed) == 1
    assert points.fixed[0].state[0] > 0.9
    (slow,) = [point for point in points if not point.fixed]
    assert slow.state[0] == pytest.approx(h, abs=1e-5)
    assert slow.q == pytest.approx(q, rel=1e-6)
    assert slow.speed == pytest.approx(abs(sqrt(2 * q)), rel=1e-6)
    assert slow.converged
    assert abs(slow.eigenvalues[0]) == pytest.approx(1.0, abs=1e-4)
    assert points[-1] is slow
    assert "1 fixed, 1 slow" in repr(points)
    assert f"1  slow, q from {q:.2g}" in repr(points)
    # By a stricter measure it is none, and the starts that end there are left out, and counted.
    strict = found(vanilla([[2.0]], b=b), CUBE[:, :1], slow=1e-9)
    assert len(strict) == 1
    assert strict.left_out == slow.starts
    assert f"{slow.starts} starts ended at a larger q" in repr(strict)


def test_an_optimiser_that_ran_out_is_told():
    points = found(vanilla(np.diag([2.0, 2.0])), slow=10.0, max_evaluations=2)
    assert not any(point.converged for point in points if not point.fixed)
    assert any(not point.converged for point in points)
    assert "not converged" in repr(points[-1])
    assert not points.table()["converged"].all()


def test_a_q_that_never_comes_near_zero_is_refused_with_what_to_try():
    """h' = h + 1 has q = 1/2 everywhere."""
    network = vanilla([[1.0]], b=1.0, activation="identity")
    with pytest.raises(InvalidValue) as refusal:
        found(network, CUBE[:, :1])
    problem, hint = str(refusal.value).splitlines()
    assert problem == "q must be <= 0.0001 (slow) at the end of at least one of 100 starts, got 0.5"
    assert hint == (
        "try another x, more starts or noise=0: 0 starts ran out of max_evaluations=100, 0 ended beyond reach=10"
    )
    # The hint, obeyed, works: under x = -1 every state is a fixed point.
    assert len(found(network, CUBE[:, :1], x=[-1.0]).fixed) > 50


def test_a_gate_that_closes_far_away_makes_no_point():
    """h' = z h with z = sigmoid(3 h) of a GRU whose candidate is 0: q vanishes at 0, and ever more as h grows."""
    network = network_of(TimeGRU, hidden_size=1, input_size=1, output_size=1)
    network.parameters.vector[...] = 0.0
    network.parameters.values["recurrent.Wh"][1] = 3.0
    visited = np.linspace(-1.5, 1.5, 31)[:, np.newaxis]
    points = found(network, visited, reach=3)
    (point,) = points
    assert abs(point.state[0]) < 1e-10
    assert point.eigenvalues[0] == pytest.approx(0.5)
    assert points.left_out > 10
    assert len(found(network, visited, reach=1e9)) > 1
    with pytest.raises(InvalidValue, match=r"got inf\n.*, 100 ended beyond reach=1$"):
        found(network, visited[-5:], reach=1)


def test_points_nearer_than_the_distance_are_one():
    w = 1.001  # 0 and +-u with u about 0.055
    u = positive_root(w)
    assert 0.05 < u < 0.06
    near = np.linspace(-0.1, 0.1, 21)[:, np.newaxis]
    assert len(found(vanilla([[w]]), near, starts=21)) == 3
    assert len(found(vanilla([[w]]), near, starts=21, distance=1.1 * u)) < 3
    (only,) = found(vanilla([[w]]), near, starts=21, distance=3 * u)
    assert only.starts == 21


def test_noise_finds_points_between_the_visited_states():
    network = vanilla(np.diag([2.0, 2.0]))
    u = positive_root(2.0)
    corners = u * np.array([(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)])
    assert len(found(network, corners)) == 4
    assert len(found(network, corners, noise=0.5, starts=300)) == 9


def test_points_of_float32_weights_are_those_of_float64_and_the_search_is_reproducible():
    network = vanilla(np.diag([2.0, 1.5]), dtype=np.float32)
    one, other = (found(network, noise=0.5) for _ in range(2))
    assert all(point.q < 1e-28 for point in one)
    assert np.array_equal(one.states, other.states)
    assert one.table().equals(other.table())
    wide = vanilla(np.diag([2.0, 1.5]))
    assert np.array_equal(found(wide, noise=0.5).states, one.states)


def test_the_table_has_a_row_a_point():
    points = found(vanilla(np.diag([2.0, 0.5])))
    table = points.table()
    assert table["kind"].tolist() == ["stable node", "stable node", "saddle, 1 unstable direction"]
    assert table["starts"].sum() == 100
    assert np.allclose(table[["output_0", "output_1"]], points.states)
    assert table.index.name == "point"
    lines = repr(points).splitlines()
    assert lines[0] == "FixedPoints at x = [0. 0.]: 3 fixed, 0 slow, from 100 starts"
    assert lines[1:3] == ["    2  stable node", "    1  saddle, 1 unstable direction"]
    assert "distinct: 0.001 apart" in lines[3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": [1.0]}, "x must be 2 finite numbers, got"),
        ({"x": [1.0, np.nan]}, "x must be 2 finite numbers, got"),
        ({"x": "ab"}, "x must be 2 finite numbers, got ab"),
        ({"x": [[1.0], [1.0, 2.0]]}, "x must be 2 finite numbers, got"),
        ({"starts": 0}, "starts must be a whole number >= 1, got 0"),
        ({"noise": -1}, "noise must be a number >= 0, got -1"),
        ({"tolerance": 0}, "tolerance must be a number > 0, got 0"),
        ({"slow": 1e-30}, "slow must be a number >= 1e-20, got 1e-30"),
        ({"distance": 0}, "distance must be a number > 0, got 0"),
        ({"max_evaluations": 1.5}, "max_evaluations must be a whole number >= 1, got 1.5"),
        ({"rng": 0}, "rng must be a numpy Generator, got 0"),
        ({"visited": np.zeros((4, 3))}, "visited must be states of the network's 2 units, got states of 3 units"),
        ({"visited": np.full((4, 2), np.nan)}, "states must be finite, got NaN or infinity"),
    ],
)
def test_bad_arguments_are_refused_by_name(options, message):
    with pytest.raises(InvalidValue, match=f"^{message}"):
        rnnexp.fixed_points(vanilla(np.eye(2)), **{"visited": CUBE, "rng": np.random.default_rng(0), **options})


@pytest.mark.parametrize("x", [None, 4, -1, 1.0, [1], True])
def test_a_token_outside_the_alphabet_is_refused(x):
    network = rnnexp.build_network(hidden_size=2, output_size=3, input_size=4, rng=np.random.default_rng(0))
    with pytest.raises(InvalidValue, match=r"^x must be a token from 0 to 3, got"):
        found(network, x=x)
