"""A run of a network, specified completely."""

import hashlib
import json
from dataclasses import asdict, dataclass

from skip_paper.data.images import Scaling
from skip_paper.measures.spectra import SpectrumSpec
from skip_paper.networks.specification import NetworkSpec

FORMAT = 3


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides the numbers of one run.

    Parameters
    ----------
    data, num_train, num_components, scaling
        Fingerprint of the images, how many are used before mirroring (None: all), principal components (None: the
        pixels themselves), and scaling of pixels.
    network, seed
        The network, and what its start, skips, bias targets and order of examples are drawn from.
    measure_at
        Training steps after which all but the spectrum is measured; the last is where training ends.
    spectrum
        How and when the spectrum is measured, at some of ``measure_at``.
    """

    data: str
    num_train: int | None
    num_components: int | None
    scaling: Scaling
    network: NetworkSpec
    seed: int
    measure_at: tuple[int, ...]
    spectrum: SpectrumSpec | None = None

    def key(self) -> str:
        """Return the name of the run's file: a hash of the specification and of this program's format."""
        text = json.dumps({**asdict(self), "format": FORMAT}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]
