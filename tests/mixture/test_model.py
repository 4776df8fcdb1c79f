"""`SkewNormalMixture` against scipy.stats and numerical integration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hessdens.mixture.model import SkewNormalMixture, skew_normal_moments

mixtures = st.builds(
    SkewNormalMixture,
    weight=st.floats(0, 1) | st.floats(1e-9, 1e-3),
    location=st.floats(-10, 10),
    scale=st.floats(0.1, 1000),
    shape=st.floats(-50, 50),
)
EXAMPLE = SkewNormalMixture(0.3, -0.4, 0.7, 5.0)


def components(mixture):
    """The same density as (weight, frozen scipy distribution) pairs."""
    tail = stats.skewnorm(mixture.shape, mixture.location, mixture.scale)
    return [(mixture.weight, tail), (1 - mixture.weight, stats.norm(0, mixture.narrow_scale))]


def integrate(function, nodes):
    """8-point Gauss-Legendre between nodes."""
    points, weights = np.polynomial.legendre.leggauss(8)
    widths = np.diff(nodes)
    return float(widths @ (function(nodes[:-1, None] + widths[:, None] * (points + 1) / 2) @ weights) / 2)


@given(mixtures)
def test_moments_are_integrals_of_the_density(mixture):
    moments = mixture.moments(7)
    nodes = mixture.nodes()
    for k, moment in enumerate(moments, start=1):
        size = integrate(lambda x, k=k: mixture.pdf(x) * np.abs(x) ** k, nodes)
        expected = integrate(lambda x, k=k: mixture.pdf(x) * x**k, nodes)
        assert moment == pytest.approx(expected, rel=1e-9, abs=1e-9 * size)


def test_moments_of_the_paper_in_closed_form():
    """Mean, variance, skewness and kurtosis of the skew normal as Azzalini (1985) states them."""
    location, scale, shape = 1.5, 2.0, -3.0
    raw = skew_normal_moments(location, scale, shape, 4)
    mean, variance, skewness, kurtosis = stats.skewnorm.stats(shape, location, scale, moments="mvsk")
    assert raw[0] == pytest.approx(mean)
    assert raw[1] == pytest.approx(variance + mean**2)
    assert raw[2] == pytest.approx(skewness * variance**1.5 + 3 * mean * variance + mean**3)
    fourth = (kurtosis + 3) * variance**2
    assert raw[3] == pytest.approx(fourth + 4 * mean * skewness * variance**1.5 + 6 * mean**2 * variance + mean**4)


def test_narrow_component_alone():
    np.testing.assert_allclose(SkewNormalMixture(0, 3, 1, 2).moments(6), [0, 1e-6, 0, 3e-12, 0, 15e-18])


def test_moments_of_one_row_and_of_a_table_agree_to_the_last_bit():
    rng = np.random.default_rng(0)
    location, scale, shape = rng.standard_normal((3, 501)) * [[10], [100], [50]]
    table = skew_normal_moments(location, np.abs(scale), shape, 4)
    rows = [skew_normal_moments(*row, 4) for row in zip(location, np.abs(scale), shape, strict=True)]
    np.testing.assert_array_equal(table.T, rows)


@given(mixtures, st.floats(1e-6, 1e6))
def test_moments_scale_with_the_eigenvalues(mixture, factor):
    scaled = SkewNormalMixture(
        mixture.weight, factor * mixture.location, factor * mixture.scale, mixture.shape, factor * mixture.narrow_scale
    )
    expected = mixture.moments(5) * factor ** np.arange(1.0, 6)
    size = (abs(mixture.location) + mixture.scale) ** np.arange(1.0, 6) * factor ** np.arange(1.0, 6)
    assert np.all(np.abs(scaled.moments(5) - expected) <= 1e-11 * size)


@given(mixtures)
def test_cdf_and_pdf_are_those_of_scipy(mixture):
    x = np.concatenate([mixture.nodes(), [-np.inf, np.inf]])
    cdf = sum(weight * component.cdf(x) for weight, component in components(mixture))
    pdf = sum(weight * component.pdf(x) for weight, component in components(mixture))
    np.testing.assert_allclose(mixture.cdf(x), cdf, atol=1e-9)
    np.testing.assert_allclose(mixture.pdf(x), pdf, rtol=1e-6, atol=1e-12 / mixture.narrow_scale)
    assert mixture.cdf(-np.inf) == 0
    assert mixture.cdf(np.inf) == pytest.approx(1, abs=1e-15)


@given(mixtures)
def test_nodes_resolve_the_cdf(mixture):
    """E[X] = ∫_{x>0} (1 - F) - ∫_{x<0} F; also where the flank of a skew normal is 50 times steeper than its scale."""
    nodes = mixture.nodes()
    assert np.all(np.diff(nodes) > 0)
    positive, negative = nodes[nodes >= 0], nodes[nodes <= 0]
    mean = integrate(lambda x: 1 - mixture.cdf(x), positive) - integrate(mixture.cdf, negative)
    assert mean == pytest.approx(mixture.moments(1)[0], abs=1e-8 * (abs(mixture.location) + mixture.scale))


@given(mixtures, st.floats(1e-3, 10))
def test_fractions_add_up(mixture, window):
    parts = [
        mixture.fraction_negative(window),
        mixture.fraction_degenerate(window),
        mixture.mass(window / 2, np.inf),
    ]
    assert all(0 <= part <= 1 for part in parts)
    assert sum(parts) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("shape", [-20.0, -1.0, 0.0, 2.0])
def test_small_weights_are_not_lost_in_rounding(shape):
    """1e-9 times a tail beside a bulk of mass 1: seven digits would be gone if the bulk were subtracted from 1."""
    mixture = SkewNormalMixture(1e-9, 0.3, 0.8, shape)
    tail = stats.skewnorm(shape, 0.3, 0.8)
    assert mixture.fraction_negative() == pytest.approx(1e-9 * tail.cdf(-0.1), rel=1e-9, abs=0)
    mirrored = SkewNormalMixture(1e-9, -0.3, 0.8, -shape)
    assert mirrored.mass(0.1, np.inf) == pytest.approx(1e-9 * tail.cdf(-0.1), rel=1e-9, abs=0)
    assert mixture.mass(0.1, 0.2) == pytest.approx(1e-9 * (tail.cdf(0.2) - tail.cdf(0.1)), rel=1e-9, abs=0)


def test_far_tails_keep_their_digits():
    """Mass beyond 20 standard deviations is 1e-89, not a difference of two ones."""
    mixture = SkewNormalMixture(1.0, 0.0, 1.0, 0.0)
    assert mixture.mass(20, np.inf) == pytest.approx(stats.norm.sf(20), rel=1e-10, abs=0)
    assert mixture.mass(20, 21) == pytest.approx(stats.norm.sf(20) - stats.norm.sf(21), rel=1e-10, abs=0)
    narrow = SkewNormalMixture(0.0, 0.0, 1.0, 0.0, 0.01)
    assert narrow.mass(0.2, np.inf) == pytest.approx(stats.norm.sf(20), rel=1e-10, abs=0)
    assert mixture.fraction_negative(40.0) == pytest.approx(stats.norm.cdf(-20), rel=1e-10, abs=0)
    assert mixture.pdf([-np.inf, np.inf, 1e300]).tolist() == [0, 0, 0]


def test_default_window_is_the_papers():
    assert EXAMPLE.fraction_degenerate() == EXAMPLE.mass(-0.1, 0.1)
    assert EXAMPLE.fraction_negative() == EXAMPLE.cdf(-0.1)


def test_values_keep_their_shape():
    x = np.zeros((2, 3))
    assert EXAMPLE.cdf(x).shape == EXAMPLE.pdf(x).shape == (2, 3)
    assert skew_normal_moments(np.zeros((3, 1)), 1.0, np.zeros(2), 4).shape == (4, 3, 2)


def test_files(tmp_path):
    EXAMPLE.save(tmp_path / "mixture.npz")
    assert SkewNormalMixture.load(tmp_path / "mixture.npz") == EXAMPLE


def test_immutable_plain_numbers():
    mixture = SkewNormalMixture(np.float32(0.5), np.int64(1), 2, np.array(3.0))
    assert (mixture.weight, mixture.location, mixture.scale, mixture.shape) == (0.5, 1.0, 2.0, 3.0)
    assert all(type(getattr(mixture, name)) is float for name in mixture.layout)
    with pytest.raises(AttributeError):
        mixture.weight = 1.0


def test_summary():
    assert str(SkewNormalMixture(1e-9, 0.5, 2, -3)) == (
        "1e-09 SkewNormal(location 0.5, scale 2, shape -3) + 0.999999999 Normal(0, 0.001²): "
        "99.9999999060% degenerate, 0.0000000740% negative (window 0.2)"
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((1.5, 0, 1, 0), r"weight must be in \[0, 1\]; got 1.5"),
        ((-1e-9, 0, 1, 0), r"weight must be in \[0, 1\]; got -1e-09"),
        ((0.5, np.inf, 1, 0), "location must be finite; got inf"),
        ((0.5, 0, 1, np.nan), "shape must be finite; got nan"),
        ((0.5, 0, 0, 0), "scale must be positive; got 0.0"),
        ((0.5, 0, 1, 0, -1), "narrow_scale must be positive; got -1.0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        SkewNormalMixture(*parameters)


def test_bad_questions():
    with pytest.raises(ValueError, match="order must be at least 1; got 0"):
        EXAMPLE.moments(0)
    with pytest.raises(ValueError, match=r"window must be finite and at least 0; got -0\.2"):
        EXAMPLE.fraction_negative(-0.2)
    with pytest.raises(ValueError, match=r"low must not exceed high; got 1.0 and 0.0"):
        EXAMPLE.mass(1.0, 0.0)


def test_numbers():
    numbers = EXAMPLE.numbers(0.3)
    assert numbers["mixture"] == {"weight": 0.3, "location": -0.4, "scale": 0.7, "shape": 5.0, "narrow_scale": 1e-3}
    assert [row["value"] for row in numbers["moments"]] == EXAMPLE.moments(4).tolist()
    assert (numbers["lowest"], numbers["highest"]) == (EXAMPLE.nodes()[0], EXAMPLE.nodes()[-1])
    assert numbers["fractions"]["degenerate"]["value"] == EXAMPLE.fraction_degenerate(0.3)
