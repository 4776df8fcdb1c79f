"""How much of an experiment is run."""

from dataclasses import dataclass


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
    num_components
        Principal components that are their inputs; None: the pixels.
    first_seed
        Seeds are this one and those that follow it: experiments with other seeds are independent.
    measured
        Epochs after which all but spectra is measured; None: every one.
    spectrum_epochs
        Epochs after which spectra are measured; parts of an epoch too.
    spectrum_examples, probes, products
        For a spectrum: examples of the loss, probes for the moments, products for `lanczos_density`.
    exact_runs
        The first so many runs of a kind have exact spectra too.
    chosen
        Best and worst runs that are compared, in figures 4, S2 and S7.
    values
        Of what a figure varies: distinct skip vectors (7), tau (8).
    data
        Data sets, of an experiment that may have several.
    """

    runs: int
    epochs: int
    num_train: int | None = None
    depth: int = 30
    width: int = 128
    num_components: int | None = None
    first_seed: int = 0
    measured: tuple[float, ...] | None = None
    spectrum_epochs: tuple[float, ...] = ()
    spectrum_examples: int = 2_000
    probes: int = 8
    products: int = 0
    exact_runs: int = 0
    chosen: int = 0
    values: tuple[float, ...] = ()
    data: tuple[str, ...] = ("cifar100",)

    @property
    def name(self) -> str:
        """The networks in short."""
        return f"{self.depth}x{self.width}"

    @property
    def measured_epochs(self) -> tuple[float, ...]:
        """Epochs after which all but spectra is measured."""
        return tuple(range(self.epochs + 1)) if self.measured is None else self.measured


@dataclass(frozen=True)
class Design:
    """One experiment at one size, under some conditions; a figure may have several."""

    figure: str
    size: Size
    conditions: tuple[str, ...] = ("literal", "calibrated")


@dataclass(frozen=True)
class Preset:
    """One named size of the whole reproduction: designs in the order in which they run."""

    name: str
    designs: tuple[Design, ...]
    note: str = ""
