"""A law with its data, weights and limits, in the form an optimiser wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ._checks import Floats
from ._laws import Law, Parameter

SENSOR_OFFSET = "sensor_offset_K"
"""Name of the nuisance parameter for a constant offset between sensor and sample."""
_STEP = 1e-5  # of the numerical derivatives: relative, or of a logarithm


@dataclass(frozen=True, eq=False)
class Problem:
    """Data, errors and what is known about the parameters.

    Attributes:
        law: The law to be fitted.
        x: Abscissa, (n,).
        y: Data, (n,).
        y_err: Errors of the data with the floor in quadrature, (n,).
        method: For the result.
        x_err: Independent error of each abscissa, (n,), or None.
        fixed: Parameters that are held.
        known: Parameters known from elsewhere: value and standard error. They are fitted with that constraint.
        slope: |dy/dx| of the last fit, through which `x_err` enters, (n,); None before there is one.
    """

    law: Law
    x: Floats
    y: Floats
    y_err: Floats
    method: str
    x_err: Floats | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    known: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    slope: Floats | None = None

    @property
    def sigma(self) -> Floats:
        """Standard error of each point: data and, through the slope, abscissa."""
        if self.x_err is None or self.slope is None:
            return self.y_err
        return np.hypot(self.y_err, self.slope * self.x_err)

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the fitted parameters."""
        names = (*self.law.names, SENSOR_OFFSET) if SENSOR_OFFSET in self.known else self.law.names
        return tuple(name for name in names if name not in self.fixed)

    @property
    def defaults(self) -> dict[str, float]:
        """Values of the parameters that are not searched: known and fixed."""
        return {**{name: value for name, (value, _) in self.known.items()}, **self.fixed}

    def with_slope(self, values: Mapping[str, float]) -> Problem:
        """This problem with the slope of the law at `values` (centred difference over 0.02 x units)."""
        step = 1e-2
        low, high = np.maximum(self.x - step, 0.0), self.x + step
        return replace(self, slope=np.abs(self.law(high, values) - self.law(low, values)) / (high - low))

    def residuals(self, values: Mapping[str, float]) -> Floats:
        """Weighted residuals, and one more for each constraint."""
        x = self.x
        if SENSOR_OFFSET in values:
            x = np.maximum(x + values[SENSOR_OFFSET], 0.0)
        constraints = [(values[name] - value) / error for name, (value, error) in self.known.items()]
        return np.concatenate([(self.law(x, values) - self.y) / self.sigma, constraints])

    def limits(self, name: str) -> tuple[float, float]:
        """Lowest and highest value of a parameter."""
        if name == SENSOR_OFFSET:
            reach = 8.0 * self.known[name][1]
            return -reach, reach
        parameter = self._parameter(name)
        return parameter.lower, parameter.upper

    def internal(self, values: Mapping[str, float]) -> Floats:
        """Fitted parameters as the optimiser sees them."""
        return np.array([np.log(values[n]) if self._logarithmic(n) else values[n] for n in self.free])

    def external(self, theta: Floats) -> dict[str, float]:
        """All parameters by name, in the order of the law."""
        values = dict(self.fixed) | {
            name: float(np.exp(value) if self._logarithmic(name) else value)
            for name, value in zip(self.free, theta, strict=True)
        }
        return {name: values[name] for name in (*self.law.names, SENSOR_OFFSET) if name in values}

    def internal_limits(self) -> tuple[Floats, Floats]:
        """Limits of the fitted parameters as the optimiser sees them."""
        limits = np.array([self.limits(name) for name in self.free])
        logarithmic = np.array([self._logarithmic(name) for name in self.free])
        limits[logarithmic] = np.log(limits[logarithmic])
        return limits[:, 0], limits[:, 1]

    def inside(self, theta: Floats) -> Floats:
        """`theta` moved off the limits, where the optimiser may not start."""
        lower, upper = self.internal_limits()
        margin = 1e-6 * np.where(np.isfinite(upper - lower), upper - lower, np.maximum(np.abs(theta), 1e-6))
        return np.clip(theta, lower + margin, upper - margin)

    def jacobian(self, theta: Floats) -> Floats:
        """Derivatives of the residuals by the fitted parameters (centred differences), (n + constraints, f)."""
        columns = []
        for i, name in enumerate(self.free):
            step = np.zeros(theta.size)
            step[i] = self._step(name, theta[i])
            forward, backward = self.residuals(self.external(theta + step)), self.residuals(self.external(theta - step))
            columns.append((forward - backward) / (2.0 * step[i]))
        return np.stack(columns, axis=1)

    def slope_of_internal(self, values: Mapping[str, float]) -> Floats:
        """D parameter / d internal value: the parameter itself where its logarithm is fitted, else 1."""
        return np.array([values[name] if self._logarithmic(name) else 1.0 for name in self.free])

    def _step(self, name: str, value: float) -> float:
        """Step of a numerical derivative: small against what matters, large against rounding."""
        if name in self.known:
            return _STEP * max(abs(value), self.known[name][1])
        return _STEP if self._logarithmic(name) else _STEP * max(abs(value), 1e-4)

    def _logarithmic(self, name: str) -> bool:
        return name != SENSOR_OFFSET and self._parameter(name).logarithmic

    def _parameter(self, name: str) -> Parameter:
        return next(p for p in self.law.parameters if p.name == name)
