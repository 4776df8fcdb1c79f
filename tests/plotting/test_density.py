"""Density plots: what is drawn, not how it looks."""

import matplotlib as mpl
import numpy as np
import pytest
from naive import Normal

from hessdens import Spectrum, lanczos_density
from hessdens.plotting.density import plot_density

mpl.use("Agg")
import matplotlib.pyplot as plt

EIGENVALUES = Spectrum(np.concatenate([np.random.default_rng(0).normal(0, 0.01, 500), [3.0, 40.0, -1.0]]))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_histogram_has_unit_area_and_shows_single_outliers():
    ax = plot_density(EIGENVALUES, label="spectrum")
    values, edges, _ = ax.patches[-1].get_data()
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)
    assert values[np.searchsorted(edges, 40.0) - 1] > ax.get_ylim()[0] > 0
    assert values.max() < ax.get_ylim()[1] < 100 * values.max()
    assert edges[0] < -1
    assert edges[-1] > 40


def test_line_and_rug_on_given_axes():
    _, ax = plt.subplots()
    assert plot_density(Normal(1.0), exact=EIGENVALUES, ax=ax, label="estimate", color="C3") is ax
    rug, line = ax.lines
    np.testing.assert_array_equal(rug.get_xdata(), EIGENVALUES.eigenvalues)
    np.testing.assert_allclose(line.get_ydata(), Normal(1.0).pdf(line.get_xdata()))
    assert line.get_color() == "C3"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["exact (503 eigenvalues)", "estimate"]
    assert (ax.get_yscale(), ax.get_xscale()) == ("log", "asinh")
    ax.figure.canvas.draw()


def test_density_with_eigenvalues_found_is_a_histogram_in_the_bins_of_the_exact_one():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=60)
    ax = plot_density(density, exact=EIGENVALUES, label="estimate")
    (exact, edges, _), (values, same, _) = (patch.get_data() for patch in ax.patches[1:3])
    np.testing.assert_array_equal(same, edges)
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)
    outlier = np.searchsorted(edges, 40.0) - 1
    assert values[outlier] == pytest.approx(exact[outlier])
    alone = plot_density(density).patches[1].get_data()
    assert np.sum(alone[0] * np.diff(alone[1])) == pytest.approx(1)


def test_band_and_ticks_are_those_of_the_estimate():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=60)
    ax = plot_density(density, label="estimate", level=0.9)
    values, edges, _ = ax.patches[1].get_data()
    high, same, low = ax.patches[2].get_data()
    np.testing.assert_array_equal(same, edges)
    expected = density.mass_interval(edges, 0.9) / np.diff(edges)
    np.testing.assert_allclose([low, high], expected, atol=1e-200)
    assert (low <= values + 1e-12).all()
    assert (values <= high + 1e-12).all()
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), density.eigenvalues_found)
    assert ax.get_ylabel() == "spectral density (band: 90%)"
    ax.figure.canvas.draw()
    without = plot_density(density, level=None)
    assert len(without.patches) == 2
    assert without.get_ylabel() == "spectral density"


def test_several_on_the_same_axes_have_colors_of_their_own():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=60)
    ax = plot_density(density)
    plot_density(density, ax=ax)
    plot_density(EIGENVALUES, ax=ax)
    outlines = [ax.patches[i].get_edgecolor() for i in (1, 4, 7)]
    assert outlines == [mpl.colors.to_rgba(name) for name in ("C0", "C1", "C2")]
    assert [ax.patches[i].get_facecolor()[:3] for i in (2, 5)] == [color[:3] for color in outlines[:2]]
    assert ax.get_ylabel() == "spectral density (band: 95%)", "the last one has none, but those before do"


def test_mixture_of_a_fit():
    fit = type("Fit", (), {"mixture": Normal(0.0)})()
    with pytest.raises(
        TypeError, match=r"estimate must be a density .*; got Fit\. Pass its mixture, as in fit.mixture"
    ):
        plot_density(fit)
    ax = plot_density(fit.mixture)
    assert ax.lines[0].get_xdata().max() > 5
    assert ax.get_legend() is None


def test_window_is_shaded():
    ax = plot_density(Normal(0.0), window=0.5)
    assert ax.patches[0].get_extents().transformed(ax.transData.inverted()).intervalx == pytest.approx([-0.25, 0.25])


def test_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plot_density called show"))
    plot_density(EIGENVALUES)


def test_bad_input():
    with pytest.raises(TypeError, match=r"estimate must be a density .* got int"):
        plot_density(3)
    with pytest.raises(TypeError, match=r"exact must be a Spectrum; got ndarray. Pass Spectrum\(eigenvalues"):
        plot_density(EIGENVALUES, exact=np.ones(3))
    density = lanczos_density(np.eye(5), num_probes=2, num_steps=3)
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 95"):
        plot_density(density, level=95)
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 0"):
        plot_density(EIGENVALUES, level=0)
    for window in (0, -1, np.nan):
        with pytest.raises(ValueError, match=r"window must be (positive|finite)"):
            plot_density(EIGENVALUES, window=window)
