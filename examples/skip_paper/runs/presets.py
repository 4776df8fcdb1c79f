"""How much of each experiment is run, by name. Presets differ in numbers only."""

from dataclasses import replace
from typing import Any

from skip_paper.runs.designs import Design, Preset, Size

COMPONENTS = 128
VECTORS = (128, 64, 32, 16, 8, 4, 2, 1)
TAUS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025)
BOTH = ("cifar100", "cifar10")
OTHERS = ("svhn", "stl10", "cifar10")
# Of long runs: every epoch while much changes, then fewer.
TIMES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 125, 150, 200, 250, 300)
# Spectra of figure S1, over the epochs of the paper.
LATE = (1, 5, 20, 100, 300)
LITERAL = ("literal",)
# Networks small enough for many runs, and the paper's. Of a residual 10x16 network, 60 products leave open whether 19%
# or 96% of eigenvalues are degenerate, 400 do to 3 percentage points: its eigenvalues reach some thousand windows.
TINY = Size(12, 30, depth=10, width=16, num_components=COMPONENTS, spectrum_examples=1_000, products=400)
SMALL = Size(12, 3, depth=20, width=32, num_components=COMPONENTS, spectrum_examples=1_000, products=400)
PAIR = Size(
    16, 50, depth=2, width=16, num_components=COMPONENTS, first_seed=200, spectrum_examples=1_000, probes=16,
    products=100,
)  # fmt: skip
LARGE = Size(4, 3, spectrum_examples=1_000, products=200)
# Without a step: what the start alone decides.
START = Size(1, 0, spectrum_epochs=(0,), spectrum_examples=500, products=60)
# Plain networks at the start and after 2, 5 and 10 steps, where about 99.8% of eigenvalues are degenerate.
YOUNG = Size(
    16, 0, depth=10, width=16, num_components=COMPONENTS, first_seed=400, spectrum_epochs=(0, 0.01, 0.025, 0.05),
    spectrum_examples=500, probes=64, exact_runs=16,
)  # fmt: skip


def _smoke() -> Preset:
    base = Size(3, 2, 500, depth=6, width=16, spectrum_epochs=(1, 2), spectrum_examples=100, probes=4, products=20)
    tiny = replace(base, width=4, num_components=COMPONENTS, exact_runs=3)
    pair = replace(base, runs=6, chosen=2)
    no_spectra = replace(base, runs=2, spectrum_epochs=())
    designs = (
        Design("calibration", replace(base, runs=1), LITERAL),
        Design("fig3", base),
        Design("fig7", replace(no_spectra, values=(16, 4, 1), data=BOTH)),
        Design("fig8", replace(no_spectra, values=(0.0, 0.1), data=BOTH)),
        Design("figS6", replace(tiny, depth=2)),
        Design("figS1", tiny, LITERAL),
        Design("figS3", replace(tiny, spectrum_epochs=(0, 1), probes=16), LITERAL),
        Design("fig5", replace(base, data=BOTH)),
        Design("fig6", replace(base, data=BOTH)),
        Design("bias_targets", replace(no_spectra, epochs=1), LITERAL),
        Design("figS2", replace(tiny, runs=6, chosen=2), LITERAL),
        Design("fig4", pair, LITERAL),
        Design("figS7", replace(pair, data=OTHERS), LITERAL),
    )
    return Preset("smoke", designs, "a test of the program: its runs are no evidence")


def _laptop() -> Preset:
    few = replace(SMALL, runs=6)
    bias = _long(SMALL, 12, (1, 12), runs=4, products=200)
    dozens = _long(SMALL, 4, (1, 4), runs=48, chosen=6, products=60)
    designs = (
        Design("calibration", START, LITERAL),
        Design("fig3", _long(TINY, 10, (1, 10), runs=8)),
        Design("fig7", replace(few, values=(32, 8, 4, 1))),
        Design("fig8", replace(few, values=_of_figure_8(32)[::2])),
        Design("figS6", _long(PAIR, 10, (1, 10), runs=12, exact_runs=4)),
        Design("figS1", _long(TINY, 20, LATE[:3], runs=4, first_seed=100)),
        Design("fig5", bias),
        Design("fig6", bias),
        Design("bias_targets", _long(SMALL, 6, (), runs=3, first_seed=500), LITERAL),
        Design("figS2", _long(TINY, 5, (1, 5), runs=100, first_seed=1000, chosen=10, products=60), LITERAL),
        Design("figS3", replace(YOUNG, runs=8, spectrum_epochs=(0, 0.05)), LITERAL),
        Design("fig4", replace(dozens, first_seed=2000), LITERAL),
        Design("figS7", replace(dozens, first_seed=3000, data=("cifar10",)), LITERAL),
    )
    return Preset("laptop", designs, "small networks and few epochs: the main ordering of each figure")


def _study() -> Preset:
    skips = replace(SMALL, data=BOTH)
    bias = _long(SMALL, 20, (1, 5, 20), data=BOTH)
    # Plain networks have smaller eigenvalues, and many runs average what is left open.
    dozens = _long(SMALL, 10, (1, 10), runs=120, chosen=12, products=200)
    hundreds = _long(TINY, 20, (1, 20), runs=400, first_seed=1000, exact_runs=10, chosen=40, products=60)
    designs = (
        Design("calibration", START, LITERAL),
        Design("fig3", _long(TINY, 30, (1, 3, 10, 30), values=(16,)), ("calibrated", "literal")),
        Design("fig7", replace(skips, values=(32, 16, 8, 4, 2, 1)), ("calibrated", "literal")),
        Design("fig8", replace(skips, values=_of_figure_8(32)), ("calibrated", "literal")),
        Design("figS6", _long(PAIR, 50, (1, 5, 10, 20, 50), exact_runs=16)),
        Design("figS3", YOUNG, LITERAL),
        Design("figS2", hundreds, LITERAL),
        Design("fig5", bias),
        Design("fig6", bias),
        Design("figS1", _long(TINY, 300, LATE, runs=4, first_seed=100, exact_runs=4)),
        Design("fig4", replace(dozens, first_seed=2000)),
        Design("figS7", replace(dozens, first_seed=3000, data=("cifar10",))),
        Design("bias_targets", _long(SMALL, 12, (), runs=3, first_seed=500), LITERAL),
        Design("figS3", YOUNG, ("calibrated",)),
        Design("figS2", hundreds, ("calibrated",)),
        # The paper's size: that signs agree.
        Design("fig7", replace(LARGE, epochs=2, values=VECTORS)),
        Design("fig8", replace(LARGE, epochs=2, values=TAUS)),
        Design("fig5", _long(LARGE, 20, (1, 20))),
        Design("fig6", _long(LARGE, 20, (1, 20))),
        Design("fig3", _long(LARGE, 100, (1, 10, 100), depth=20)),
    )
    return Preset("study", designs, "the committed results")


def _paper() -> Preset:
    times = (1, 2, 3, 5, 10, 20, 40, 70, 100)
    deep = Size(50, 100, spectrum_epochs=times, spectrum_examples=10_000, probes=16, products=100)
    no_spectra = replace(deep, runs=10, spectrum_epochs=())
    many = replace(deep, runs=100, chosen=10)
    small = replace(TINY, spectrum_examples=10_000)
    hundreds = replace(small, epochs=150, runs=400, first_seed=1000, spectrum_epochs=(1, 20, 150), chosen=40)
    designs = (
        Design("calibration", replace(START, runs=4), LITERAL),
        Design("figS1", replace(small, runs=4, epochs=300, spectrum_epochs=LATE, first_seed=100, exact_runs=4)),
        Design("figS6", replace(PAIR, spectrum_epochs=(1, 5, 10, 20, 50), exact_runs=16)),
        Design("figS3", replace(YOUNG, runs=50, width=32, spectrum_epochs=(0, 0.025, 0.1, 0.3, 1, 3), exact_runs=50)),
        Design("figS2", replace(hundreds, exact_runs=400)),
        Design("fig3", replace(deep, depth=20, values=(128,))),
        Design("fig7", replace(no_spectra, values=VECTORS, data=BOTH)),
        Design("fig8", replace(no_spectra, values=TAUS, data=BOTH)),
        Design("fig5", replace(deep, data=BOTH)),
        Design("fig6", replace(deep, data=BOTH)),
        Design("bias_targets", no_spectra),
        Design("fig4", replace(many, first_seed=2000)),
        Design("figS7", replace(many, epochs=50, first_seed=3000, spectrum_epochs=times[:6], data=OTHERS)),
    )
    return Preset("paper", designs, "the paper's size, for a GPU")


def _long(base: Size, epochs: int, spectrum_epochs: tuple[float, ...], **changes: Any) -> Size:
    """Return a size that is measured at `TIMES`."""
    measured = tuple(time for time in TIMES if time <= epochs)
    return replace(base, epochs=epochs, measured=measured, spectrum_epochs=spectrum_epochs, **changes)


def _of_figure_8(width: int) -> tuple[float, ...]:
    """Return the values of tau that give matrices of this width the range of covariance eigenvalues of the paper's."""
    return tuple(round(tau * 128 / width, 6) for tau in TAUS)


PRESETS = {preset.name: preset for preset in (_smoke(), _laptop(), _study(), _paper())}
