"""Which network: its architecture, sizes, start, skips and penalty, as plain values."""

from dataclasses import asdict, dataclass

from skip_paper.networks.skip_network import Architecture, SkipNetwork
from skip_paper.networks.training import BiasPenalty, bias_penalty


@dataclass(frozen=True)
class NetworkSpec:
    """A network of the paper except its inputs and seed: the arguments of `SkipNetwork`, and BiasReg's penalty.

    ``bias_strength`` is lambda, and N(``bias_mean``, ``bias_scale``) the distribution of the targets.
    """

    architecture: Architecture
    depth: int
    width: int
    hidden_start: float = 1.0
    truncated: bool = False
    num_skip_vectors: int | None = None
    skip_correlation: float | None = None
    shared_skips: bool = True
    malicious: bool = False
    batch_norm_layer: int = 0
    bias_strength: float = 0.0
    bias_mean: float = 0.0
    bias_scale: float = 0.0

    def build(self, num_inputs: int, num_classes: int, seed: int) -> SkipNetwork:
        """Return the network at its start."""
        options = asdict(self)
        for name in ("architecture", "bias_strength", "bias_mean", "bias_scale"):
            options.pop(name)
        return SkipNetwork(self.architecture, num_inputs, num_classes, seed=seed, **options)

    def penalty(self, seed: int) -> BiasPenalty:
        """Return the penalty on the biases, of strength 0 for most networks."""
        return bias_penalty(
            seed,
            depth=self.depth,
            width=self.width,
            mean=self.bias_mean,
            scale=self.bias_scale,
            strength=self.bias_strength,
        )
