"""What a law is: a formula with named parameters, their limits, and how to find start values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from ._checks import Floats


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law.

    Attributes:
        name: Name with its unit; also the argument name of the closed form.
        lower: Lowest value a fit may take; reaching it fails the fit.
        upper: Highest value.
        linear: Whether the formula is linear in it (with all others held).
        logarithmic: Whether it is fitted as its logarithm (scale parameters, above zero).
        searched: Whether start values are looked for on a grid between the limits; else `Law.solve` gives it.
    """

    name: str
    lower: float = -np.inf
    upper: float = np.inf
    linear: bool = False
    logarithmic: bool = False
    searched: bool = False

    def grid(self, points: int) -> Floats:
        """Start values to try, inside of the limits."""
        share = (np.arange(points) + 0.5) / points
        if self.logarithmic:
            return self.lower * (self.upper / self.lower) ** share
        return self.lower + (self.upper - self.lower) * share


@dataclass(frozen=True)
class Law:
    """A formula y(x) and its parameters.

    Attributes:
        name: Name by which a fit is asked for.
        formula: As text, for results and figures.
        function: Closed form, called with x and all parameters in order.
        parameters: In the order of the closed form.
        ordered: Names of two searched parameters that are exchangeable: the first is the smaller one.
        solve: Start values of the parameters that are not searched, for laws that are not linear in them: called
            with x, y, sigma and the searched values, returns values by name (or None: no solution).
        remark: What every result of this law must say.
    """

    name: str
    formula: str
    function: Callable[..., Floats]
    parameters: tuple[Parameter, ...]
    ordered: tuple[str, str] | None = None
    solve: Callable[[Floats, Floats, Floats, Mapping[str, float]], dict[str, float] | None] | None = None
    remark: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters in order."""
        return tuple(parameter.name for parameter in self.parameters)

    def __call__(self, x: Floats, values: Mapping[str, float]) -> Floats:
        """The formula at x."""
        return self.function(x, *(values[name] for name in self.names))


def start_values(
    law: Law, x: Floats, y: Floats, sigma: Floats, given: Mapping[str, float], keep: int
) -> list[dict[str, float]]:
    """The best start values, best first, at most `keep`.

    Searched parameters are tried on a grid; for each node the others follow by linear least squares.

    Args:
        law: The law.
        x: Abscissa, (n,).
        y: Data, (n,).
        sigma: Standard errors, (n,).
        given: Values that are known or fixed.
        keep: How many to return.
    """
    found: list[tuple[float, dict[str, float]]] = []
    for node in _nodes(law, given):
        if law.solve is None:
            values = _linear_rest(law, x, y, sigma, node | dict(given))
        else:
            solved = law.solve(x, y, sigma, node)
            if solved is None:
                continue
            values = solved | node | dict(given)
        chi2 = float((((law(x, values) - y) / sigma) ** 2).sum())
        if np.isfinite(chi2):
            found.append((chi2, values))
    found.sort(key=lambda item: item[0])
    return [values for _, values in found[:keep]]


def _nodes(law: Law, given: Mapping[str, float]) -> Iterator[dict[str, float]]:
    searched = [p for p in law.parameters if p.searched and p.name not in given]
    if law.ordered is not None and len(searched) == 2:
        low, high = law.ordered
        for first, second in combinations(searched[0].grid(10), 2):
            yield {low: float(first), high: float(second)}
        return
    points = 14 if len(searched) < 2 else 8
    for values in product(*(p.grid(points) for p in searched)):
        yield {p.name: float(value) for p, value in zip(searched, values, strict=True)}


def _linear_rest(law: Law, x: Floats, y: Floats, sigma: Floats, known: dict[str, float]) -> dict[str, float]:
    """Least squares for the linear parameters that are not known; their limits are kept."""
    unknown = [p for p in law.parameters if p.name not in known]
    zero = known | {p.name: 0.0 for p in unknown}
    base = law(x, zero)
    if not unknown:
        return zero
    columns = np.stack([law(x, zero | {p.name: 1.0}) - base for p in unknown], axis=1) / sigma[:, None]
    norm = np.maximum(np.sqrt((columns**2).sum(axis=0)), 1e-300)
    solution = np.linalg.lstsq(columns / norm, (y - base) / sigma, rcond=None)[0] / norm
    return known | {p.name: float(np.clip(value, p.lower, p.upper)) for p, value in zip(unknown, solution, strict=True)}
