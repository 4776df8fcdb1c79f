"""The networks of figures 5 and 6: plain, residual, and what else removes singularities or should not help."""

from skip_paper.figures.parts import panels
from skip_paper.networks.skip_network import NetworkSpec
from skip_paper.runs.experiment import Series, Setting
from skip_paper.runs.store import RunSpec

# Mean and scale of the target biases, from the paper's random search.
BIAS_TARGETS = {"cifar100": (0.91, 0.03), "cifar10": (0.51, 0.96)}
# The paper does not state lambda. The usual strength of an l2 penalty; `biasreg_search.py` looks for a better one.
BIAS_STRENGTH = 0.01
COLOURS = {
    "residual": panels.BLUE,
    "ResMalInit": panels.GREEN,
    "BiasReg": panels.CYAN,
    "BiasL2Reg": panels.MAGENTA,
    "plain": panels.BLACK,
    "BiasReg+BN": panels.YELLOW,
}


def network(label: str, setting: Setting, data: str) -> NetworkSpec:
    """Return one of the networks for a data set."""
    size, start = setting.size, setting.condition.hidden_start
    mean, scale = BIAS_TARGETS[data]
    reg = {"bias_strength": BIAS_STRENGTH, "bias_mean": mean, "bias_scale": scale}
    return {
        "residual": NetworkSpec("residual", size.depth, size.width, start),
        "ResMalInit": NetworkSpec("residual", size.depth, size.width, start, malicious=True),
        "BiasReg": NetworkSpec("plain", size.depth, size.width, start, **reg),
        "BiasL2Reg": NetworkSpec("plain", size.depth, size.width, start, bias_strength=BIAS_STRENGTH),
        "plain": NetworkSpec("plain", size.depth, size.width, start),
        "BiasReg+BN": NetworkSpec("plain", size.depth, size.width, start, batch_norm_layer=size.depth // 2, **reg),
    }[label]


def specs(label: str, setting: Setting, data: str, *, spectrum: bool = False) -> list[RunSpec]:
    """Return the runs of one of the networks."""
    return setting.specs(network(label, setting, data), data=data, spectrum=spectrum)


def series(label: str, setting: Setting, data: str, *, spectrum: bool = False) -> Series:
    """Return the finished runs of one of the networks."""
    return setting.series(label, COLOURS[label], specs(label, setting, data, spectrum=spectrum))
