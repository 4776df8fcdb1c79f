"""How many products an estimate may spend, and on what: steps, probes, and a pilot where an accuracy is asked for."""

import math
from dataclasses import dataclass

import numpy as np

from hessdens._calls import warn_caller
from hessdens._checks import LEVEL, at_least, half_window
from hessdens._types import FloatArray, Window
from hessdens.densities.lanczos import LanczosDensity
from hessdens.estimators.krylov import Forecast
from hessdens.linalg.walk import products_per_probe
from hessdens.results.moments import Moments
from hessdens.results.summaries import text

PROBES_OF_MOMENTS = 32
# Two probes are the fewest that have a standard error. Deflation first takes two steps of a block of two: four.
FEWEST_PROBES = {"skilling": 2, "deflated": 4}
# The limit where an accuracy is asked for, unless another one is given.
MOST_PRODUCTS = 10_000
# Probes that say how many are needed for an accuracy. They vary more where outliers are not deflated.
PILOT_PROBES = {"skilling": 20, "deflated": 6}
# Standard errors of a round are planned to be so many times smaller than they need be, since the variance of the round
# before is itself an estimate, and what a Krylov space foresees is another.
ROUND_MARGIN, FORECAST_MARGIN = 1.15, 1.25
# Standard errors that the half of an interval has.
ERRORS_IN_HALF = 2.0
# A standard error above so many times the accuracy asked for is warned of.
SHORT_OF_ACCURACY = 1.5
# Numbers of probes that a forecast is asked about, from the fewest to the most.
TRIED_PROBES = 60
# Products of a density by Lanczos where neither steps nor probes are given.
DENSITY_PRODUCTS = 100
# Its probes in units of the square root of the budget: 4 or 5 at 100 products, 6 at 200.
DENSITY_WIDTH = 0.45
# Its steps where only probes are given.
DENSITY_STEPS = 30
# Its probes where only steps are given.
DENSITY_PROBES = 6
# Its products at most and its probes where an accuracy is asked for. Its interval is looked at whenever it has so many
# times as many products.
ACCURATE_PRODUCTS, ACCURATE_PROBES, LOOK_EVERY = 300, 4, 1.1


def check_products(
    num_moments: int, num_probes: int | None, max_products: int | None, fewest: int, purpose: str
) -> None:
    """Raise ValueError if products are limited in two ways, or to fewer than the ``fewest`` that serve the purpose."""
    if max_products is not None and num_probes is not None:
        raise ValueError(
            f"num_probes or max_products may be given, not both; got {num_probes} and {max_products}. A probe takes "
            f"{products_per_probe(num_moments)} products."
        )
    if max_products is not None and max_products < fewest:
        raise ValueError(
            f"max_products must be at least {fewest} for {num_moments} moments {purpose}; got {max_products}."
        )


@dataclass(frozen=True)
class Budget:
    """What K moments may cost: so many products in all, or fewer if they reach the accuracy ``rtol``.

    With an accuracy, ``pilot`` probes say how many are needed, unless a Krylov space does; they do not enter the
    result. It is reached where intervals, two standard errors to each side, are within it.
    """

    max_products: int
    num_moments: int
    rtol: float | None = None
    pilot: int = 0

    @classmethod
    def of_moments(
        cls, method: str, num_moments: int, max_products: int | None, num_probes: int | None, rtol: float | None
    ) -> "Budget":
        """Return the budget that arguments of `spectral_moments` describe; ValueError if it is none."""
        if rtol is not None and not 0 < rtol < 1:
            raise ValueError(f"rtol must lie between 0 and 1; got {rtol}.")
        if rtol is not None and num_probes is not None:
            raise ValueError(f"num_probes or rtol may be given, not both; got {num_probes} and {rtol}.")
        if method not in FEWEST_PROBES:
            raise ValueError(f"method must be one of {', '.join(FEWEST_PROBES)}; got {method!r}.")
        per_probe = products_per_probe(num_moments)
        pilot = 0 if rtol is None else PILOT_PROBES[method]
        fewest = FEWEST_PROBES[method] + pilot
        if rtol is not None and max_products is None:
            max_products = MOST_PRODUCTS
        purpose = f"by method={method!r}{'' if rtol is None else ' with rtol'}"
        check_products(num_moments, num_probes, max_products, fewest * per_probe, purpose)
        if max_products is None:
            num_probes = PROBES_OF_MOMENTS if num_probes is None else num_probes
            if num_probes < fewest:
                raise ValueError(f"num_probes must be at least {fewest} for method={method!r}; got {num_probes}.")
            max_products = num_probes * per_probe
        return cls(max_products, num_moments, rtol, pilot)

    @property
    def per_probe(self) -> int:
        """Products that each probe takes."""
        return products_per_probe(self.num_moments)

    def num_probes(self, spent: int) -> int:
        """Return the probes that what is left pays."""
        return (self.max_products - spent) // self.per_probe

    @property
    def standard_error(self) -> float:
        """That which is asked for, relative to the moments of the absolute eigenvalues."""
        return math.inf if self.rtol is None else self.rtol / ERRORS_IN_HALF

    def first_probes(self, forecast: Forecast, most: int) -> int:
        """Return the probes after which standard errors should be those asked for, by what a Krylov space shows."""
        allowed = self.standard_error * moment_scales(forecast.moments())
        for count in np.unique(np.geomspace(self.pilot, max(most, self.pilot), TRIED_PROBES).astype(int)).tolist():
            if (FORECAST_MARGIN * forecast.standard_errors(count) <= allowed).all():
                return min(count, most)
        return most

    def enough_probes(self, round_: FloatArray, most: int, exponents: FloatArray | None = None) -> int:
        """Return the same by samples of another round, shape (P, K), if errors fall as P to the power of -exponents."""
        if self.rtol is None:
            return most
        short = np.nan_to_num(self._shortness(round_), posinf=float(most))
        falls = np.full(len(short), 0.5) if exponents is None else exponents
        needed = np.ceil(len(round_) * np.max((ROUND_MARGIN * short) ** (1 / falls), initial=0.0))
        return int(min(max(len(round_), needed), most))

    def is_reached(self, samples: FloatArray) -> bool:
        """Return whether the means of samples, shape (P, K), have the accuracy asked for."""
        return self.rtol is None or bool((self._shortness(samples) <= 1).all())

    def _shortness(self, samples: FloatArray) -> FloatArray:
        """Return standard errors over those asked for, shape (K,); NaN where a moment of 0 has none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.sqrt(samples.var(axis=0, ddof=1) / len(samples))
            short: FloatArray = errors / (self.standard_error * moment_scales(samples.mean(axis=0)))
        return np.where(np.isnan(short), 0.0, short)

    def warn_if_short(self, moments: Moments) -> None:
        """Warn the caller of the estimator where standard errors are well above those asked for."""
        if self.rtol is None:
            return
        reached = moments.standard_errors / np.maximum(moment_scales(moments.values), np.finfo(np.float64).tiny)
        if reached.max() > SHORT_OF_ACCURACY * self.standard_error:
            worst = int(reached.argmax()) + 1
            warn_caller(
                f"rtol={self.rtol:g} was not reached: m_{worst} has a relative standard error of {reached.max():.1e}, "
                f"where {self.standard_error:.1e} is asked for, after {moments.num_products:,} products of "
                f"max_products={self.max_products:,}.",
            )


def moment_scales(values: FloatArray) -> FloatArray:
    """Return lower bounds of the moments of the absolute eigenvalues, from those of the eigenvalues, shape (K,)."""
    scales = np.abs(values)
    for k in range(1, len(values), 2):  # values[k] is m_{k+1}, of even order
        if k + 1 < len(values):
            scales[k + 1] = max(scales[k + 1], scales[k] ** ((k + 2) / (k + 1)))  # Jensen
    if len(values) >= 4 and scales[3] > 0:
        scales[0] = max(scales[0], scales[1] ** 1.5 / scales[3] ** 0.5)  # Hölder
    return scales


def steps_and_probes(
    num_steps: int | None,
    num_probes: int | None,
    max_products: int | None,
    kept: int | None = None,
    *,
    to_accuracy: bool = False,
) -> tuple[int, int]:
    """Return the steps and probes that arguments of `lanczos_density` describe; ValueError if there are none.

    Where no number of probes is given, it is that of the work in a checkpoint, ``kept``, if there is any. Steps that
    end at an accuracy (``to_accuracy``) have probes that do not depend on the largest budget.
    """
    if to_accuracy:
        max_products = ACCURATE_PRODUCTS if max_products is None else max_products
        num_probes = num_probes or kept or (ACCURATE_PROBES if max_products >= 2 * ACCURATE_PROBES else None)
    at_least("num_steps", 2 if num_steps is None else num_steps, 2)
    at_least("num_probes", 2 if num_probes is None else num_probes, 2)
    if max_products is None and (num_steps is not None or num_probes is not None):
        return num_steps or DENSITY_STEPS, num_probes or kept or DENSITY_PROBES
    max_products = DENSITY_PRODUCTS if max_products is None else max_products
    if num_probes is None:
        widest = max(round(DENSITY_WIDTH * max(max_products, 0) ** 0.5), min(4, max_products // 4))
        num_probes = kept or max(2, widest if num_steps is None else max_products // num_steps)
    if num_steps is None:
        num_steps = max(2, max_products // num_probes)
    if num_steps * num_probes > max_products:
        raise ValueError(
            f"max_products must be at least {num_steps * num_probes} for {num_steps} steps of {num_probes} probes; got "
            f"{max_products}."
        )
    return num_steps, num_probes


class Accuracy:
    """The accuracy that is asked of the fraction outside of a window, and when the interval of a density has it.

    Parameters
    ----------
    rtol, atol
        How far either end of the interval may be from the estimate: relative to it, or absolute. The larger one counts.
    window
        Size of the window around 0.

    Raises
    ------
    ValueError
        If one of them is none.
    """

    def __init__(self, rtol: float | None, atol: float | None, window: Window) -> None:
        half_window(window, largest=1.0)
        self._asked = {name: amount for name, amount in (("rtol", rtol), ("atol", atol)) if amount is not None}
        for name, amount in self._asked.items():
            if not 0 < amount < 1:
                raise ValueError(f"{name} must lie between 0 and 1; got {amount}.")
        self._next_look = 0.0

    @property
    def is_asked(self) -> bool:
        """Whether any accuracy is asked for."""
        return bool(self._asked)

    def check_steps(self, num_steps: int | None) -> None:
        """Raise ValueError if steps are given besides an accuracy."""
        for name, amount in self._asked.items():
            if num_steps is not None:
                raise ValueError(f"num_steps or {name} may be given, not both; got {num_steps} and {amount}.")

    def is_due(self, num_products: int) -> bool:
        """Return whether there are enough new products to look at the interval again."""
        if not self.is_asked or num_products < self._next_look:
            return False
        self._next_look = LOOK_EVERY * num_products
        return True

    def is_reached(self, density: LanczosDensity) -> bool:
        """Return whether the interval of the fraction outside of the window is narrow enough."""
        value, error, *_ = self._outside(density)
        return error <= self._allowed(value)

    def warn_if_short(self, density: LanczosDensity, max_products: int) -> None:
        """Warn the caller of the estimator where the interval is wider than asked for."""
        if not self.is_asked:
            return
        value, error, least, most = self._outside(density)
        if error <= self._allowed(value):
            return
        asked = " and ".join(f"{name}={amount:g}" for name, amount in self._asked.items())
        spent = density.num_products
        number, low, high = (text.percent(each, most - least) for each in (value, least, most))
        words = (
            f"{asked} was not reached: the fraction outside of the window is {number}, 95% interval {low} to {high}, "
            f"after {spent:,} products of max_products={max_products:,}."
        )
        needed = density.narrowing(None, ["degenerate"]).budget_for(self._allowed(value) / error, LEVEL)
        if least <= 0:
            words += " It may be 0; ask for an absolute accuracy, such as atol=0.001, or take a smaller window."
        elif needed is None:
            words += " They do not show how many would do; ask for less, or for another window."
        else:
            words += f" {text.enough(*needed).capitalize()}."
        warn_caller(words)

    def _allowed(self, value: float) -> float:
        return max(self._asked.get("rtol", 0.0) * value, self._asked.get("atol", 0.0))

    @staticmethod
    def _outside(density: LanczosDensity) -> tuple[float, float, float, float]:
        """Return the fraction outside, how far the ends of its interval are from it at most, and both of them."""
        inside, (low, high) = density.fraction_degenerate(), density.degenerate_interval()
        return 1 - inside, float(max(inside - low, high - inside)), 1 - float(high), 1 - float(low)
