"""How much of each experiment is run. Presets differ in numbers only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure3Size:
    """Figure 3: runs an architecture and condition, epochs, images before mirroring, and the spectrum's cost."""

    runs: int
    epochs: int
    num_train: int | None
    depth: int
    width: int
    spectrum_examples: int
    num_probes: int


@dataclass(frozen=True)
class FigureS3Size:
    """Figure S3: networks, images before mirroring, width, and training steps after which a spectrum is computed."""

    networks: int
    num_train: int | None
    width: int
    measure_at: tuple[int, ...]
    spectrum_examples: int
    num_probes: int


@dataclass(frozen=True)
class Preset:
    """One named size of the whole reproduction."""

    name: str
    fig3: Figure3Size
    figS3: FigureS3Size  # noqa: N815 (the figure's name)


PRESETS = {
    "smoke": Preset(
        "smoke",
        Figure3Size(2, 3, 1_000, depth=6, width=16, spectrum_examples=200, num_probes=8),
        FigureS3Size(3, 1_000, 4, (0, 5, 10), spectrum_examples=200, num_probes=16),
    ),
    "laptop": Preset(
        "laptop",
        Figure3Size(3, 4, None, depth=20, width=128, spectrum_examples=2_000, num_probes=8),
        FigureS3Size(6, None, 24, (0, 20), spectrum_examples=500, num_probes=32),
    ),
    "paper": Preset(
        "paper",
        Figure3Size(50, 100, None, depth=20, width=128, spectrum_examples=10_000, num_probes=16),
        FigureS3Size(50, None, 32, (0, 5, 20, 60, 200, 600), spectrum_examples=2_000, num_probes=64),
    ),
}
