"""What the paper leaves open and its results depend on: how pixels are scaled, and how large weights start."""

from dataclasses import dataclass

from skip_paper.data.images import Scaling


@dataclass(frozen=True)
class Condition:
    """Pixel scaling, the start of the hidden weights as a factor on Glorot's, and whether all are truncated normal."""

    name: str
    scaling: Scaling
    hidden_start: float
    truncated: bool = False

    @property
    def words(self) -> str:
        """The condition in words."""
        return f"{self.name} (pixels {self.scaling}, hidden start × {self.hidden_start:g})"


# As stated; and the start at which the paper's own axes are met (figures/calibration.py).
CONDITIONS = {c.name: c for c in (Condition("literal", "centred", 1.0), Condition("calibrated", "centred", 0.5))}
