"""All spectra of the suite, by name."""

from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property

import numpy as np

from hessdens import Spectrum
from spectra import adversarial, closed_forms, networks

# Of more eigenvalues than this, distances are taken at so many; of those at either end, at each.
MARKS = 20_000
MARKS_AT_ENDS = 2000


@dataclass(frozen=True)
class Case:
    """A spectrum of the suite.

    Parameters
    ----------
    kind
        "network", "closed form" or "adversarial".
    make
        Returns the eigenvalues, in any order.
    place
        Among all spectra of the suite.
    """

    name: str
    kind: str
    make: closed_forms.Maker
    place: int

    @cached_property
    def exact(self) -> Spectrum:
        """The eigenvalues, in ascending order."""
        return Spectrum(self.make())

    @cached_property
    def marks(self) -> np.ndarray:
        """Distinct eigenvalues between which distances are taken."""
        eigenvalues = self.exact.eigenvalues
        if (size := len(eigenvalues)) > MARKS:
            ends = np.arange(MARKS_AT_ENDS)
            inner = np.linspace(0, size - 1, MARKS - 2 * MARKS_AT_ENDS).astype(int)
            eigenvalues = eigenvalues[np.r_[ends, inner, size - 1 - ends]]
        return np.unique(eigenvalues)

    @cached_property
    def scale(self) -> float:
        """The mean of the absolute eigenvalues."""
        return float(np.mean(np.abs(self.exact.eigenvalues)))


def catalogue(patterns: list[str] | None = None) -> list[Case]:
    """Return the spectra whose name or kind fits one of the patterns, as "10x16*" or "adversarial"."""
    kinds = {"network": networks.spectra(), "closed form": closed_forms.SPECTRA, "adversarial": adversarial.SPECTRA}
    parts = [(name, kind, make) for kind, makers in kinds.items() for name, make in makers.items()]
    cases = [Case(*part, place) for place, part in enumerate(parts)]
    chosen = [c for c in cases if patterns is None or any(fnmatch(c.name, p) or fnmatch(c.kind, p) for p in patterns)]
    if not chosen:
        raise SystemExit(f"No spectrum is called {' or '.join(map(repr, patterns or []))}; run.py --list names them.")
    return chosen
