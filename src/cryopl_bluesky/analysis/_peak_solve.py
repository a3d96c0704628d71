"""Fit of a sum of lines: weighted least squares with the weights of the fitted line.

The equations solved are sum((n - m)/V(m) dm/dtheta) = 0 with V(m) = m + noise. For pure counts that is the maximum of
the Poisson likelihood, with read noise that of a Poisson number with as much more variance (quasi-likelihood,
Wedderburn 1974). Weights from the counts themselves (Neyman) would bias areas and backgrounds downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from ._checks import AnalysisError, FitError, Floats
from ._line_shapes import HAS_GAUSS, HAS_OTHER
from ._peak_model import PeakModel
from ._pixel_data import PixelData

_ROUNDS = 40
"""Rounds in which the weights must settle: 3 to 5 where the model is right, some 20 for one line laid over two."""
_NO_LINE = (
    "No line found: the fit ran to its bounds (half a pixel wide, as a cosmic ray is, or wider than the spectrum); "
    "expose longer, remove cosmic rays, or choose a wavelength range that holds the line."
)
_ONE_WIDTH = (
    "One of the two widths of the {} shape ran to zero or away: the counts do not determine both. Use a simpler shape."
)


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimum of one model.

    Attributes:
        model: The model.
        theta: Its parameters, (p,).
        covariance: Their covariance for the variances assumed, (p, p).
        expected: Counts per pixel, all pixels, (W,).
        deviance: -2 ln likelihood but for a constant of the data.
        chi2: Sum of squared residuals over the variance of the fitted line.
        pixels: Number of pixels fitted.
    """

    model: PeakModel
    theta: Floats
    covariance: Floats
    expected: Floats
    deviance: float
    chi2: float
    pixels: int

    @property
    def dof(self) -> int:
        """Degrees of freedom."""
        return self.pixels - self.model.size

    @property
    def bic(self) -> float:
        """Bayesian information criterion: deviance + p ln(pixels)."""
        return self.deviance + self.model.size * float(np.log(self.pixels))


def deviance_of(data: PixelData, expected: Floats) -> float:
    """-2 ln likelihood of the kept pixels, but for a constant of the data."""
    n, m = data.counts[data.keep], expected[data.keep]
    if data.noise is None:
        return float(n.size * np.log(max(float(np.mean((n - m) ** 2)), 1e-300)))
    M = data.likelihood_variance(expected)[data.keep]
    N = n + data.noise[data.keep]
    return float(2.0 * np.sum(M - N + N * np.log(np.maximum(N, 1e-12) / M)))


def rough(data: PixelData, model: PeakModel, start: Floats) -> tuple[Floats, float]:
    """A few steps from a start, to compare starts: parameters and deviance (infinite if it ran away)."""
    variance = data.rough_variance
    # nearly even weights: the wings must not decide where the lines are
    weights = 1.0 / np.sqrt(np.maximum(variance, 0.1 * variance.max()))
    theta = _step(data, model, start, weights, 40, 1e-4)
    if theta is None or not _inside(data, model, theta):
        return start, np.inf
    return theta, deviance_of(data, model.evaluate(theta, data.edges)[0])


def solve(data: PixelData, model: PeakModel, start: Floats) -> Solution:
    """Fit from a start.

    Raises:
        AnalysisError: Fewer pixels than parameters.
        FitError: No convergence, a parameter at its bound, no curvature.
    """
    pixels = int(data.keep.sum())
    if pixels <= model.size:
        raise AnalysisError(
            f"{pixels} pixels cannot determine {model.size} parameters; widen the window or use fewer peaks."
        )
    theta, moved = start, np.inf
    for _ in range(_ROUNDS):
        weights = 1.0 / np.sqrt(data.variance_of(model.evaluate(theta, data.edges)[0]))
        fitted = _step(data, model, theta, weights, 100, 1e-9)
        if fitted is None or not _inside(data, model, fitted):
            two_widths = HAS_GAUSS[model.shape] and HAS_OTHER[model.shape]
            raise FitError(_ONE_WIDTH.format(model.shape) if two_widths else _NO_LINE)
        expected, jacobian = model.evaluate(fitted, data.edges)
        variance = data.variance_of(expected)
        residuals = ((data.counts - expected) ** 2 / variance)[data.keep]
        covariance = _covariance((jacobian / np.sqrt(variance)[:, None])[data.keep])
        # a misfit has errors larger than the covariance says, and need not settle any better than to those
        scale = np.sqrt(np.diag(covariance) * max(1.0, float(residuals.sum()) / (pixels - model.size)))
        moved = float(np.max(np.abs(fitted - theta) / scale))
        theta = fitted
        if data.noise is None or moved < 0.003:
            break
    else:
        raise FitError(f"The weights of the fit did not settle (last step {moved:.2g} sigma); use fewer peaks.")
    return Solution(
        model, theta, covariance, expected, deviance_of(data, expected), float(residuals.sum()), pixels
    )


def _step(
    data: PixelData, model: PeakModel, theta: Floats, weights: Floats, evaluations: int, tolerance: float
) -> Floats | None:
    """Least squares with fixed weights; None without convergence."""
    keep, limits = data.keep, _limits(data, model)

    latest: dict[bytes, tuple[Floats, Floats]] = {}

    def evaluate(q: Floats) -> tuple[Floats, Floats]:
        """The model within the limits of the widths; values and derivatives are asked for one after the other."""
        if q.tobytes() not in latest:
            p = q.copy()
            p[model.widths] = np.clip(p[model.widths], *limits)
            latest.clear()
            latest[q.tobytes()] = model.evaluate(p, data.edges)
        return latest[q.tobytes()]

    try:
        with np.errstate(all="ignore"):  # trial steps may leave the range of numbers; the result is checked below
            result = least_squares(
                lambda q: ((evaluate(q)[0] - data.counts) * weights)[keep],
                theta,
                # the type stubs of scipy know only the names of numerical methods here, the function takes both
                jac=lambda q: (evaluate(q)[1] * weights[:, None])[keep],  # pyright: ignore[reportArgumentType]
                method="lm",
                x_scale="jac",
                ftol=tolerance,
                xtol=tolerance,
                gtol=tolerance,
                max_nfev=evaluations,
            )
    except ValueError:  # the parameters left the range of floating point numbers
        return None
    settled = result.success or tolerance > 1e-6
    widths = result.x[model.widths]
    within = np.isfinite(result.x).all() and (widths > limits[0]).all() and (widths < limits[1]).all()
    return result.x if settled and within else None


def _limits(data: PixelData, model: PeakModel) -> tuple[float, float]:
    """Logarithms of the smallest and largest width: half a pixel (a tenth for a part of a width), 20 spectra."""
    part = (HAS_GAUSS[model.shape] and HAS_OTHER[model.shape]) or model.instrument_fwhm_nm > 0
    smallest = (0.1 if part else 0.5) * data.width.min()
    return float(np.log(smallest)), float(np.log(20.0 * (data.edges[-1] - data.edges[0])))


def _inside(data: PixelData, model: PeakModel, theta: Floats) -> bool:
    """Whether all centres are within one more spectrum on either side."""
    span = data.edges[-1] - data.edges[0]
    centres = np.array([model.line(theta, k)[0] for k in range(model.peaks)])
    return bool((centres > data.edges[0] - span).all() and (centres < data.edges[-1] + span).all())


def _covariance(jacobian: Floats) -> Floats:
    norm = np.sqrt((jacobian**2).sum(axis=0))
    if (norm == 0).any() or np.linalg.cond(jacobian / norm) > 1e7:
        raise FitError(
            "The spectrum does not determine these lines (no curvature); is there light in it? Use fewer peaks, a "
            "simpler shape or a shared width."
        )
    scaled = jacobian / norm
    return np.linalg.inv(scaled.T @ scaled) / np.outer(norm, norm)
