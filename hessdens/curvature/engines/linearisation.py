"""What all probes share in the products of a feedforward network: the gradient at each value, and which values move."""

from collections.abc import Container

from torch import Tensor

from hessdens.curvature.engines.steps import Step


class Linearisation:
    """Steps with the gradient at each value that depends on the selected parameters.

    Without a ``gradient`` at the outputs there are none at the values either.
    """

    def __init__(self, steps: list[Step], selected: Container[str | None], gradient: Tensor | None) -> None:
        self.steps = steps
        self.num_uses = [0] * len(steps)
        self.moves: list[bool] = []
        for step in steps:
            for source in step.sources:
                self.num_uses[source] += 1
            self.moves.append(step.depends_on(selected) or any(self.moves[source] for source in step.sources))
        self.gradients: list[Tensor | None] = [None] * len(steps)
        if gradient is not None:
            self.gradients[-1] = gradient
            self._fill_in()

    def tensors(self) -> list[Tensor]:
        """Return all values and gradients."""
        return [step.value for step in self.steps] + [g for g in self.gradients if g is not None]

    def _fill_in(self) -> None:
        """Carry the gradient back from the outputs."""
        for i in reversed(range(len(self.steps))):
            here = self.gradients[i]
            if here is not None and self.moves[i]:
                for place, source in enumerate(self.steps[i].sources):
                    if self.moves[source]:
                        part, present = self.steps[i].pull_back(here, place), self.gradients[source]
                        self.gradients[source] = part if present is None else present + part
