"""Density plots: what is drawn, not how it looks."""

import itertools
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import DrawingArea
from naive import Normal

from hessdens import (
    Spectrum,
    exact_spectrum,
    fisher_operator,
    ggn_operator,
    hessian_operator,
    lanczos_density,
    plot_density,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

EIGENVALUES = Spectrum(np.concatenate([np.random.default_rng(0).normal(0, 0.01, 500), [3.0, 40.0, -1.0]]))


def drawn(ax, what):
    return [line for line in ax.lines if line.get_gid() == what]


def mass_of(line, ax):
    """Return the area below a curve, whose points are the centres of bins of equal width on the axis."""
    x, y = line.get_data()
    width = ax.xaxis.get_transform().linear_width
    places = np.arcsinh(np.array(x) / width)
    return np.nansum(y * width * np.cosh(places)) * np.diff(places)[0]


def test_curve_and_marks_have_all_mass():
    ax = plot_density(EIGENVALUES, label="spectrum")
    (curve,), (marks,) = drawn(ax, "curve"), drawn(ax, "marks")
    assert mass_of(curve, ax) == pytest.approx(500 / 503, rel=2e-3)
    ends = EIGENVALUES.eigenvalues[[0, 1, 2, -3, -2, -1]]  # those that stand alone, and the first three at either end
    np.testing.assert_array_equal(np.unique(marks.get_xdata()), ends)
    assert ax.get_xlim()[0] < -1
    assert ax.get_xlim()[1] > 40
    shown = curve.get_ydata()[np.isfinite(curve.get_ydata())]
    assert ax.get_ylim()[0] < shown.min()
    assert shown.max() < ax.get_ylim()[1]


def test_known_ends_outside_of_the_window_have_marks_though_they_do_not_stand_alone():
    values = np.concatenate([np.linspace(-0.05, 0.05, 300), np.linspace(0.1, 3, 120)])
    density = lanczos_density(np.diag(values), max_products=150)
    (marks,) = drawn(plot_density(density), "marks")
    shown = np.unique(marks.get_xdata())
    known = density.eigenvalues_found
    assert 0 < len(shown) <= 13
    nodes = density.nodes()
    np.testing.assert_array_equal(shown, known[np.isin(known, [*nodes[:3], *nodes[-10:]])])
    (marks,) = drawn(plot_density(Spectrum(values)), "marks")
    np.testing.assert_array_equal(np.unique(marks.get_xdata()), [*values[:3], *values[-10:]])


def test_a_curve_whose_shape_is_open_is_faint():
    rng = np.random.default_rng(0)
    density = lanczos_density(np.diag(rng.normal(0, 1, 2000)), max_products=16)
    ax = plot_density(density, window=0.1)
    (curve,), (whole,), (band,) = drawn(ax, "curve"), drawn(ax, "open curve"), ax.collections[-1:]
    assert band.get_gid() == "band"
    drawn_part, all_of_it = np.isfinite(curve.get_ydata()), np.isfinite(whole.get_ydata())
    assert drawn_part.sum() < all_of_it.sum()
    assert (all_of_it | ~drawn_part).all()
    assert whole.get_alpha() < 0.5
    assert whole.get_color() == curve.get_color()
    without = plot_density(density, window=0.1, level=None)  # what is not resolved is not drawn as if it were
    np.testing.assert_array_equal(drawn(without, "curve")[0].get_ydata(), curve.get_ydata())
    assert not without.collections
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["estimate", "95% interval", "shape not resolved", "window |λ| < 0.05"]


def test_curve_and_band_end_where_the_known_eigenvalues_do():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=60)
    ax = plot_density(density)
    (curve,), (band,) = drawn(ax, "curve"), ax.collections
    shown = curve.get_xdata()[np.isfinite(curve.get_ydata())]
    assert density.nodes()[0] * 1.1 < shown.min() < shown.max() < 1.1 * density.nodes()[-1]
    vertices = np.concatenate([path.vertices for path in band.get_paths()])
    assert vertices[:, 0].max() < 1.5 * density.nodes()[-1]
    assert vertices[:, 1].max() < ax.get_ylim()[1]


def test_peaks_of_a_small_bandwidth_are_all_as_high():
    ax = plot_density(Spectrum([-1.0, 3.0, 40.0, 500.0]), bandwidth=0.01)
    (curve,) = drawn(ax, "curve")
    x, y = curve.get_data()
    for value in (-1.0, 3.0, 40.0, 500.0):
        near = np.abs(x - value) < 0.04
        assert np.nanmax(y[near]) == pytest.approx(1 / (4 * 0.01 * np.sqrt(2 * np.pi)), rel=1e-2)


def test_window_may_be_a_share_of_the_largest():
    ax = plot_density(EIGENVALUES, window="1%")
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "window |λ| < 0.2"
    assert [line.get_xdata()[0] for line in drawn(ax, "window")] == pytest.approx([-0.2, 0.2])


def test_marks_are_of_equal_height_in_a_row_for_each_density():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=60)
    ax = plot_density(density, exact=EIGENVALUES, label="estimate")
    below, above = (line.get_ydata().reshape(-1, 3)[:, :2] for line in drawn(ax, "marks"))
    for row in (below, above):
        assert np.ptp(row, axis=0).max() == 0
    assert below.max() < above.min() < above.max() < 0.2


def test_curve_of_an_estimate_is_that_of_the_exact_spectrum():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=200)
    ax = plot_density(density, exact=EIGENVALUES, label="estimate")
    exact, estimate = drawn(ax, "curve")
    np.testing.assert_array_equal(exact.get_xdata(), estimate.get_xdata())
    assert mass_of(estimate, ax) == pytest.approx(mass_of(exact, ax), rel=1e-2)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "exact (503 eigenvalues)", "estimate", "single eigenvalues", "95% interval", "window |λ| < 0.1"
    ]  # fmt: skip
    assert (ax.get_yscale(), ax.get_xscale()) == ("log", "asinh")
    ax.figure.canvas.draw()


def test_band_is_named_by_its_level():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=60)
    ax = plot_density(density, level=0.9)
    (band,) = (each for each in ax.collections if each.get_gid() == "band")
    assert band.get_label() == "90% interval"
    assert len(plot_density(density, level=None).collections) == 0


def test_band_closes_without_cliffs():
    """No edge of the band is steeper than a Gaussian of the curve's width, six standard deviations away: 1.05 decades.

    Upright edges are below the axis or at its frame. Edges that fell within a bin had hundreds of decades.
    """
    spectra = (EIGENVALUES.eigenvalues, np.random.default_rng(0).normal(0, 1, 2000), np.repeat([-0.3, 0.0, 1.0], 50))
    for values, window, products in itertools.product(spectra, (0.2, 0.01), (20, 60)):
        ax = plot_density(lanczos_density(np.diag(values), max_products=products), window=window)
        (band,) = (each for each in ax.collections if each.get_gid() == "band")
        (left, right), (bottom, top) = ax.bbox.intervalx, ax.bbox.intervaly
        x, y = ax.transData.transform(np.concatenate([path.vertices for path in band.get_paths()])).T
        shown = (np.minimum(y[1:], y[:-1]) > bottom) & (np.minimum(x[1:], x[:-1]) > left + 3) & (x[1:] < right - 3)
        decades = np.abs(np.diff(y)) / (top - bottom) * np.diff(np.log10(ax.get_ylim()))
        assert decades[shown].max() < 1.1
        assert (np.abs(np.diff(x))[shown] > 1).all()


def test_several_on_the_same_axes_have_colors_of_their_own():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=60)
    ax = plot_density(density)
    plot_density(density, ax=ax)
    plot_density(EIGENVALUES, ax=ax)
    assert len({line.get_color() for line in drawn(ax, "curve")}) == 3
    assert len({line.get_ydata()[0] for line in drawn(ax, "marks")}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()].count("95% interval") == 1


def test_legend_shows_each_thing_in_all_of_its_colors():
    """One entry for the marks of all densities, in the color of each; so for bands, and for what is not resolved."""
    wide = lanczos_density(np.diag(np.random.default_rng(0).normal(0, 1, 500)), max_products=16)
    ax = plot_density(wide, exact=EIGENVALUES, color="C1", label="before")
    plot_density(wide, ax=ax, color="C2", label="after")
    plot_density(EIGENVALUES, ax=ax, color="C3", label="end")
    ax.figure.canvas.draw()
    legend = ax.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    shown = [[to_hex(color_of(part)) for part in area.get_children()] for area in legend.findobj(DrawingArea)]
    assert dict(zip(names, shown, strict=True)) == {
        "exact (503 eigenvalues)": [to_hex("0.75")],
        "before": [to_hex("C1")],
        "after": [to_hex("C2")],
        "end": [to_hex("C3")],
        "single eigenvalues": [to_hex("0.55"), to_hex("C3")],
        "95% interval": [to_hex("C1"), to_hex("C2")],
        "shape not resolved": [to_hex("C1"), to_hex("C2")],
        "window |λ| < 0.1": [to_hex("0.4")],
    }


def color_of(swatch):
    return swatch.get_color() if isinstance(swatch, Line2D) else swatch.get_facecolor()


def test_the_axis_names_the_matrix():
    torch.manual_seed(0)
    data = [(torch.randn(8, 3), torch.randint(2, (8,)))]
    problem = (torch.nn.Linear(3, 2), torch.nn.CrossEntropyLoss(), data)
    hessian, gauss_newton = hessian_operator(*problem), ggn_operator(*problem)
    ax = plot_density(lanczos_density(hessian, max_products=8))
    assert ax.get_xlabel() == "eigenvalue of the Hessian"
    plot_density(exact_spectrum(gauss_newton), ax=ax)
    assert ax.get_xlabel() == "eigenvalue"
    assert plot_density(exact_spectrum(fisher_operator(*problem))).get_xlabel() == "eigenvalue of the Fisher matrix"
    assert plot_density(EIGENVALUES).get_xlabel() == "eigenvalue"


def test_bandwidth_gives_the_smoothed_density():
    ax = plot_density(EIGENVALUES, bandwidth=0.05)
    (curve,) = drawn(ax, "curve")
    x, y = curve.get_data()
    shown = np.isfinite(y)
    np.testing.assert_allclose(y[shown], EIGENVALUES.pdf(x[shown], bandwidth=0.05))
    assert drawn(ax, "marks") == []
    assert x[shown].min() < -1.1
    with pytest.raises(ValueError, match=r"bandwidth is for a Spectrum or a LanczosDensity; got Normal\."):
        plot_density(Normal(0.0), bandwidth=0.1)


def test_zoom_shows_what_is_near_zero():
    ax = plot_density(EIGENVALUES, zoom=0.05)
    assert ax.get_xlim() == (-0.05, 0.05)
    assert ax.xaxis.get_transform().linear_width == pytest.approx(0.05 / 20)
    assert not drawn(ax, "window")  # all of it is within the window
    (curve,) = drawn(ax, "curve")
    assert mass_of(curve, ax) == pytest.approx(500 / 503, rel=2e-2)


def test_files_have_fonts_that_journals_take(tmp_path):
    plot_density(EIGENVALUES).figure.savefig(tmp_path / "density.pdf")
    content = (tmp_path / "density.pdf").read_bytes()
    assert b"CIDFontType2" in content
    assert b"/Type3" not in content
    assert mpl.rcParams["pdf.fonttype"] == 3, "the setting of the user is as it was"
    assert plot_density(EIGENVALUES).figure.dpi == 150


def test_mixture_of_a_fit():
    fit = type("Fit", (), {"mixture": Normal(0.0)})()
    with pytest.raises(
        TypeError, match=r"estimate must be a density .*; got Fit\. Pass its mixture, as in fit.mixture"
    ):
        plot_density(fit)
    ax = plot_density(fit.mixture, color="C3")
    (curve,) = drawn(ax, "curve")
    np.testing.assert_allclose(curve.get_ydata(), Normal(0.0).pdf(curve.get_xdata()))
    assert curve.get_color() == "C3"
    assert curve.get_xdata().max() > 5


def test_panels_that_share_axes_show_all_of_each():
    first, second = Spectrum([-8.0, 0.0, 0.1, 6.0]), Spectrum(np.repeat([-1.0, 0.0, 90.0], [1, 2000, 1]))
    apart = [plot_density(each, ax=Figure().subplots()) for each in (first, second)]
    for order in (1, -1):
        panels = Figure().subplots(2, 1, sharex=True, sharey=True)
        for ax, spectrum in zip(panels, (first, second)[::order], strict=True):
            plot_density(spectrum, ax=ax)
        limits = np.array([ax.get_xlim() for ax in apart])
        assert panels[0].get_xlim() == panels[1].get_xlim() == pytest.approx((limits[:, 0].min(), limits[:, 1].max()))
        tops = np.array([ax.get_ylim() for ax in apart])
        assert panels[0].get_ylim()[1] >= tops[:, 1].max()
        assert panels[0].get_ylim()[0] <= tops[:, 0].min()
    alone = Figure().subplots(2, 1)
    assert plot_density(first, ax=alone[0]).get_xlim() == apart[0].get_xlim()
    assert plot_density(second, ax=alone[1]).get_xlim() == apart[1].get_xlim()


def test_two_windows_have_lines_each_but_not_that_of_a_spectrum_which_has_none_of_its_own():
    density = lanczos_density(np.diag(EIGENVALUES.eigenvalues), max_products=20)
    ax = plot_density(replace(density, window=0.02), label="start", level=None)
    plot_density(EIGENVALUES, ax=ax, label="exact")
    plot_density(replace(density, window=0.02), ax=ax, label="same", level=None)
    assert len(drawn(ax, "window")) == 2
    plot_density(replace(density, window=3.0), ax=ax, label="end", level=None)
    assert [line.get_xdata()[0] for line in drawn(ax, "window")] == [-0.01, 0.01, -1.5, 1.5]
    assert [line.get_linestyle() for line in drawn(ax, "window")] == [":", ":", "-.", "-."]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"window |λ| < 0.01", "window |λ| < 1.5"} <= set(labels)


def test_window_is_between_lines():
    ax = plot_density(Normal(0.0), window=0.5)
    assert [line.get_xdata()[0] for line in drawn(ax, "window")] == [-0.25, 0.25]


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
    for name in ("bandwidth", "zoom"):
        with pytest.raises(ValueError, match=rf"{name} must be positive and finite; got -1"):
            plot_density(EIGENVALUES, **{name: -1})
    for window in (0, -1, np.nan):
        with pytest.raises(ValueError, match=r"window must be (positive|finite)"):
            plot_density(EIGENVALUES, window=window)
