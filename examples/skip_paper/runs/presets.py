"""How much of each experiment is run. Presets differ in numbers only."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Size:
    """How much of one experiment is run.

    Parameters
    ----------
    runs
        Runs of each kind.
    epochs
        Of training.
    num_train
        Images before mirroring; None: all.
    depth, width
        Of the networks.
    spectrum_epochs
        Epochs after which spectra are measured; parts of an epoch too.
    spectrum_examples, probes, products
        For a spectrum: examples of the loss, probes for the moments, products for `lanczos_density`.
    chosen
        Best and worst runs that are compared, in figures 4, S2 and S7.
    values
        Of what a figure varies: distinct skip vectors (7), tau (8).
    """

    runs: int
    epochs: int
    num_train: int | None = None
    depth: int = 30
    width: int = 128
    spectrum_epochs: tuple[float, ...] = ()
    spectrum_examples: int = 2_000
    probes: int = 8
    products: int = 0
    chosen: int = 0
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Preset:
    """One named size of the whole reproduction, and which experiments run under both conditions."""

    name: str
    sizes: dict[str, Size]
    both: frozenset[str]


VECTORS = (128, 64, 32, 16, 8, 4, 2, 1)
TAUS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025)
SOME, FEW = 15_000, 5_000


def _smoke() -> Preset:
    base = Size(3, 2, 500, depth=6, width=16, spectrum_epochs=(1, 2), spectrum_examples=100, probes=4, products=20)
    tiny = replace(base, width=4, products=0)
    pair = replace(base, runs=6, chosen=2, products=0)
    sizes = {
        "fig3": base,
        "fig5": replace(base, products=0),
        "fig4": pair,
        "fig6": replace(base, spectrum_epochs=()),
        "figS1": tiny,
        "fig7": replace(base, runs=2, spectrum_epochs=(), values=(16, 4, 1)),
        "fig8": replace(base, runs=2, spectrum_epochs=(), values=(0.0, 0.1)),
        "figS2": replace(tiny, runs=6, chosen=2),
        "figS3": replace(tiny, spectrum_epochs=(0, 1), probes=16),
        "figS6": replace(base, depth=2, products=0),
        "figS7": pair,
        "conditions": replace(base, runs=2, products=0),
    }
    return Preset("smoke", sizes, frozenset({"fig3", "fig5"}))


def _laptop() -> Preset:
    deep = Size(3, 3, SOME, spectrum_epochs=(1, 2, 3), spectrum_examples=1_000, probes=4)
    small = Size(4, 10, None, depth=10, width=16, spectrum_epochs=(1, 10), spectrum_examples=1_000, probes=0)
    sizes = {
        "fig3": replace(deep, num_train=None, depth=20, probes=8, products=60),
        "fig5": deep,
        "fig4": replace(deep, runs=12, chosen=3),
        "fig6": replace(deep, spectrum_epochs=()),
        "figS1": replace(small, runs=3, spectrum_examples=500),
        "fig7": replace(deep, spectrum_epochs=(), values=(128, 16, 4, 1)),
        "fig8": replace(deep, spectrum_epochs=(), values=(0.0, 0.01, 0.025)),
        "figS2": replace(small, runs=12, epochs=5, spectrum_epochs=(1, 5), spectrum_examples=500, chosen=3),
        "figS3": replace(
            small, runs=4, epochs=0, width=20, spectrum_epochs=(0, 0.025), spectrum_examples=500, probes=32
        ),
        "figS6": replace(small, epochs=5, depth=2, spectrum_epochs=(1, 3, 5), probes=16),
        "figS7": replace(deep, runs=6, chosen=2),
        "conditions": replace(deep, runs=2, num_train=FEW, epochs=3, spectrum_epochs=(3,)),
    }
    return Preset("laptop", sizes, frozenset({"fig3", "fig5"}))


def _paper() -> Preset:
    early_and_late = (1, 2, 3, 5, 10, 20, 40, 70, 100)
    deep = Size(50, 100, spectrum_epochs=early_and_late, spectrum_examples=10_000, probes=16)
    small = Size(
        4, 300, depth=10, width=16, spectrum_epochs=(1, 5, 20, 50, 150, 300), spectrum_examples=10_000, probes=0
    )
    sizes = {
        "fig3": replace(deep, depth=20, products=100),
        "fig5": deep,
        "fig4": replace(deep, runs=100, chosen=10),
        "fig6": replace(deep, spectrum_epochs=()),
        "figS1": small,
        "fig7": replace(deep, runs=10, spectrum_epochs=(), values=VECTORS),
        "fig8": replace(deep, runs=10, spectrum_epochs=(), values=TAUS),
        "figS2": replace(small, runs=400, epochs=150, spectrum_epochs=(1, 20, 150), chosen=40),
        "figS3": replace(small, runs=50, epochs=3, width=32, spectrum_epochs=(0, 0.025, 0.1, 0.3, 1, 3), probes=64),
        "figS6": replace(small, runs=16, epochs=50, depth=2, spectrum_epochs=(1, 5, 10, 20, 50), probes=64),
        "figS7": replace(deep, runs=100, epochs=50, spectrum_epochs=(1, 2, 3, 5, 10, 20, 50), chosen=10),
        "conditions": replace(deep, runs=10, epochs=20, spectrum_epochs=(1, 2, 3, 5, 10, 20)),
    }
    return Preset("paper", sizes, frozenset(sizes) - {"conditions"})


PRESETS = {preset.name: preset for preset in (_smoke(), _laptop(), _paper())}
