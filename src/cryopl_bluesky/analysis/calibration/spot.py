"""Excitation spot from an image of an even fluorescent film: a rotated 2-D Gaussian and a constant.

>>> rng = np.random.default_rng(1)
>>> y, x = np.mgrid[0:60, 0:60]
>>> light = 2000 * np.exp(-2 * ((x - 30) / 8.25) ** 2 - 2 * ((y - 29) / 9.0) ** 2) + 50
>>> spot = fit_spot(rng.poisson(light), nm_per_px=1000.0, scale_rel_err=0.11)
>>> print(f"{spot.diameter_minor_um:.1f} x {spot.diameter_major_um:.1f} um, ellipticity {spot.ellipticity:.2f}")
16.5 x 18.0 um, ellipticity 0.92
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter

from .._checks import AnalysisError, FitError, Floats, finite_array, positive, same_shape
from .._weighted_fit import Model, WeightedFit, check_variance, fit_weighted
from ..optics import gaussian_fwhm_um

PIXELS_ACROSS = 40
"""Larger images are summed in blocks until the 1/e2 diameter is this many pixels: nothing is lost, much time is won."""
FEWEST_ACROSS = 4.0
NOTABLE_CHI2 = 1.5
NOTABLE_RESIDUAL = 0.05


@dataclass(frozen=True)
class SpotFit:
    """The excitation spot; widths are 1/e2 diameters.

    Attributes:
        diameter_major_um: Along the longer axis.
        diameter_major_err_um: Its standard error from the fit alone.
        diameter_minor_um: Along the shorter axis.
        diameter_minor_err_um: Its standard error from the fit alone.
        diameter_x_um: Along the columns' axis: diameter of the profile summed over rows.
        diameter_y_um: Along the rows' axis.
        scale_rel_err: Relative error of the length scale, common to all lengths; not in the errors above.
        ellipticity: Minor over major diameter.
        ellipticity_err: Its standard error; the scale's error is not in it.
        angle_deg: Of the major axis, from +column towards +row, in (-90, 90].
        angle_err_deg: Its standard error.
        centre_px: Column and row of the centre, from 0.
        amplitude: Height above the background, counts per pixel.
        background: Counts per pixel.
        residual_rms: Rms of data minus fit inside of the 1/e2 ellipse, over the amplitude.
        reduced_chi2: Per degree of freedom; None when the variance was unknown.
        error_scale: Factor already in the errors.
        method: Model, weights, and the blocks of pixels that were summed.
        notes: What a reader must know.
    """

    diameter_major_um: float
    diameter_major_err_um: float
    diameter_minor_um: float
    diameter_minor_err_um: float
    diameter_x_um: float
    diameter_y_um: float
    scale_rel_err: float
    ellipticity: float
    ellipticity_err: float
    angle_deg: float
    angle_err_deg: float
    centre_px: tuple[float, float]
    amplitude: float
    background: float
    residual_rms: float
    reduced_chi2: float | None
    error_scale: float
    method: str
    notes: tuple[str, ...] = ()

    @property
    def fwhm_um(self) -> tuple[float, float]:
        """FWHM along the major and minor axis."""
        return gaussian_fwhm_um(self.diameter_major_um), gaussian_fwhm_um(self.diameter_minor_um)

    def total_err_um(self, diameter_um: float, err_um: float) -> float:
        """Error of a diameter with that of the length scale."""
        return float(np.hypot(err_um, self.scale_rel_err * diameter_um))


@dataclass(frozen=True)
class Comparison:
    """A measured length beside a calculated one.

    Attributes:
        ratio: Measured over calculated.
        sigma: Difference in units of the measured length's error.
    """

    ratio: float
    sigma: float


def compare_with_calculated(measured_um: float, rel_err: float, calculated_um: float) -> Comparison:
    """How far a measured length is from the calculated one (facts/setup.md section 6: 1.5 and 2.2 sigma at 11 %)."""
    ratio = positive("measured_um", measured_um) / positive("calculated_um", calculated_um)
    return Comparison(ratio, (measured_um - calculated_um) / (positive("rel_err", rel_err) * measured_um))


def fit_spot(
    image: ArrayLike,
    nm_per_px: float,
    *,
    scale_rel_err: float = 0.0,
    variance: ArrayLike | None = None,
    exclude: NDArray[np.bool_] | None = None,
) -> SpotFit:
    """Fit the excitation spot.

    Args:
        image: Photo-electrons (or dark-subtracted counts) per pixel, (H, W).
        nm_per_px: Length at the sample of one pixel of this image (binning included).
        scale_rel_err: Relative error of `nm_per_px`.
        variance: Variance per pixel, (H, W), as `frame_to_electrons` gives it; None: errors from the residuals.
        exclude: Pixels not to be fitted (saturated, defective, dirt), (H, W); where pixels are summed in blocks, a
            block with one of them is left out.

    Raises:
        AnalysisError: Bad input.
        FitError: No spot, a spot that is wider than the image or narrower than four pixels, or no convergence.
    """
    data = finite_array("image", image, 2)
    um_per_px = positive("nm_per_px", nm_per_px) / 1e3
    if not (np.isfinite(scale_rel_err) and 0 <= scale_rel_err < 1):
        raise AnalysisError(f"scale_rel_err is {scale_rel_err!r} but must be a relative error below 1.")
    spread = None if variance is None else check_variance("image", finite_array("variance", variance), data, 2)
    keep = np.ones(data.shape, bool) if exclude is None else ~np.asarray(exclude, bool)
    same_shape("image", data, "exclude", keep)
    centre, sigma = _moments(data, keep)
    block = max(1, int(4.0 * sigma.min() / PIXELS_ACROSS))
    y, x, values, noise = _chosen(data, spread, keep, centre, sigma, block)
    start = np.array([*centre, 1 / sigma[0] ** 2, 0.0, 1 / sigma[1] ** 2,
                      max(float(values.max() - np.median(values)), 1e-9), float(np.quantile(values, 0.1))])
    fit = fit_weighted(_model(x, y), values, noise, start, "spot")
    return _result(fit, x, y, um_per_px, scale_rel_err, block, data.shape)


def _moments(data: Floats, keep: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Centre (x, y) and standard deviations along the axes, of what is above a fifth of the smoothed maximum."""
    filled = np.where(keep, data, np.median(data[keep]))
    smooth = uniform_filter(filled, 3)
    background = float(np.quantile(smooth, 0.1))
    above = smooth - background
    above[above < 0.2 * above.max()] = 0.0
    if not above.sum() > 0:
        raise FitError("image is flat; there is no spot in it.")
    y, x = np.indices(data.shape)
    weight = above / above.sum()
    centre = np.array([(weight * x).sum(), (weight * y).sum()])
    # Cut at a fifth of the height, a Gaussian keeps 0.6 of its variance (1 + 0.2 ln 0.2/0.8).
    variance = np.array([(weight * (x - centre[0]) ** 2).sum(), (weight * (y - centre[1]) ** 2).sum()]) / 0.6
    return centre, np.sqrt(np.maximum(variance, 0.3))


def _chosen(
    data: Floats, spread: Floats | None, keep: NDArray[np.bool_], centre: Floats, sigma: Floats, block: int
) -> tuple[Floats, Floats, Floats, Floats | None]:
    """Coordinates, mean counts and variance of the blocks within four sigma of the centre that are wholly kept."""
    bounds = []
    for axis, length in ((1, data.shape[0]), (0, data.shape[1])):
        low = max(0, int(centre[axis] - 4.0 * sigma[axis]))
        high = min(length, int(centre[axis] + 4.0 * sigma[axis]) + 2)
        bounds.append(slice(low, low + (high - low) // block * block))
    rows, columns = ((piece.stop - piece.start) // block for piece in bounds)

    def reduced(array: Floats) -> Floats:
        return array[bounds[0], bounds[1]].reshape(rows, block, columns, block).mean(axis=(1, 3)).ravel()

    good = reduced(keep.astype(np.float64)) == 1.0
    if good.sum() < 20:
        raise AnalysisError(f"exclude leaves {good.sum()} whole blocks of {block} x {block} pixels of the spot, 20 are "
                            "needed; exclude less, or replace the pixels before.")
    rows_px, columns_px = np.mgrid[0.0 : data.shape[0], 0.0 : data.shape[1]]
    y, x = reduced(rows_px)[good], reduced(columns_px)[good]
    # Sums of blocks keep the statistics of electrons: counts of a block are its sum.
    size = float(block**2)
    values = reduced(data)[good] * size
    return y, x, values, None if spread is None else reduced(spread)[good] * size


def _model(x: Floats, y: Floats) -> Model:
    """Parameters: x0, y0, a, b, c of exp(-(a dx^2 + 2 b dx dy + c dy^2)/2), height, background.

    With widths and an angle instead of a, b, c the fit of a round spot would be singular.
    """

    def model(theta: Floats) -> tuple[Floats, Floats]:
        x0, y0, a, b, c, height, background = theta
        dx, dy = x - x0, y - y0
        shape = np.exp(np.clip(-0.5 * (a * dx**2 + 2.0 * b * dx * dy + c * dy**2), -700.0, 50.0))
        light = height * shape
        jacobian = np.stack([
            light * (a * dx + b * dy), light * (b * dx + c * dy), -0.5 * light * dx**2, -light * dx * dy,
            -0.5 * light * dy**2, shape, np.ones_like(x),
        ], axis=1)  # fmt: skip
        return light + background, jacobian

    return model


def _shape(precision: Floats, block: int) -> Floats:
    """Major and minor 1/e2 diameter in pixels, angle in degrees, diameters along x and y, from the precision matrix."""
    a, b, c = precision
    # A pixel (or block) averages over its width: its variance comes off.
    covariance = np.linalg.inv(np.array([[a, b], [b, c]])) - np.eye(2) * block**2 / 12.0
    values, vectors = np.linalg.eigh(covariance)
    x, y = vectors[:, 1]
    angle = np.degrees(np.arctan2(y, x))
    angle = angle - 180.0 if angle > 90.0 else angle + 180.0 if angle <= -90.0 else angle
    variances = np.array([values[1], values[0], covariance[0, 0], covariance[1, 1]])
    widths = 4.0 * np.sqrt(np.maximum(variances, 0.0))  # zero: narrower than a pixel, refused by its caller
    return np.array([widths[0], widths[1], angle, widths[2], widths[3]])


def _result(
    fit: WeightedFit, x: Floats, y: Floats, um_per_px: float, scale_rel_err: float, block: int, shape: tuple[int, ...]
) -> SpotFit:
    x0, y0, a, b, c, height, background = fit.theta
    if not (a > 0 and c > 0 and a * c > b * b and height > 5.0 * np.sqrt(fit.covariance[5, 5])):
        raise FitError("No spot found: the fit is not a peak above the noise; expose longer, or cut the image.")
    major, minor, angle, along_x, along_y = _shape(fit.theta[2:5], block)
    if not minor >= FEWEST_ACROSS:
        raise FitError(f"The spot is {minor:.1f} px wide, {FEWEST_ACROSS:g} px are needed; use less binning.")
    if major > 1.5 * max(shape) or not (0 <= x0 < shape[1] and 0 <= y0 < shape[0]):
        raise FitError(
            f"The spot ({major:.0f} px) does not lie in the image of {shape[1]} x {shape[0]} px; take a wider field."
        )
    errors = _errors(fit, block)
    inside = a * (x - x0) ** 2 + 2 * b * (x - x0) * (y - y0) + c * (y - y0) ** 2 < 4.0
    rms = float(np.sqrt((fit.residual[inside] ** 2).mean()) / height)
    ratio = minor / major
    return SpotFit(
        diameter_major_um=float(major * um_per_px),
        diameter_major_err_um=float(errors[0] * um_per_px),
        diameter_minor_um=float(minor * um_per_px),
        diameter_minor_err_um=float(errors[1] * um_per_px),
        diameter_x_um=float(along_x * um_per_px),
        diameter_y_um=float(along_y * um_per_px),
        scale_rel_err=scale_rel_err,
        ellipticity=float(ratio),
        ellipticity_err=float(errors[3]),
        angle_deg=float(angle),
        angle_err_deg=float(min(errors[2], 90.0)),
        centre_px=(float(x0), float(y0)),
        amplitude=float(height / block**2),
        background=float(background / block**2),
        residual_rms=rms,
        reduced_chi2=fit.reduced_chi2,
        error_scale=fit.error_scale,
        method=f"rotated 2-D Gaussian + constant, {'even' if fit.reduced_chi2 is None else 'shot-noise'} weights, "
        f"blocks of {block} x {block} pixels",
        notes=_notes(fit, rms, ratio, errors, (major, minor), shape),
    )


def _errors(fit: WeightedFit, block: int) -> Floats:
    """Standard errors of major, minor (px), angle (degrees) and minor/major, through the numerical derivative."""
    steps = 1e-4 * np.sqrt(np.diag(fit.covariance)[2:5])

    def quantities(theta: Floats) -> Floats:
        found = _shape(theta, block)
        return np.array([found[0], found[1], found[2], found[1] / found[0]])

    columns = []
    for index, step in enumerate(steps):
        up, down = fit.theta[2:5].copy(), fit.theta[2:5].copy()
        up[index] += step
        down[index] -= step
        change = quantities(up) - quantities(down)
        change[2] = (change[2] + 90.0) % 180.0 - 90.0  # the axis has no direction
        columns.append(change / (2.0 * step))
    slopes = np.stack(columns, axis=1)
    return np.sqrt(np.einsum("ij,jk,ik->i", slopes, fit.covariance[2:5, 2:5], slopes))


def _notes(
    fit: WeightedFit, rms: float, ratio: float, errors: Floats, diameters: tuple[float, float], shape: tuple[int, ...]
) -> tuple[str, ...]:
    notes = []
    if fit.reduced_chi2 is not None and fit.reduced_chi2 > NOTABLE_CHI2:
        notes.append(f"reduced chi2 {fit.reduced_chi2:.1f}: not an exact Gaussian (fringes, dirt); errors are scaled "
                     "up, but neighbouring pixels err together: they remain lower limits")
    if rms > NOTABLE_RESIDUAL:
        notes.append(f"residuals are {100 * rms:.0f} % of the height: fringes, dirt or noise")
    if 1.0 - ratio < 3.0 * errors[3]:
        notes.append("round within its errors: the angle says nothing, and major and minor are drawn apart by noise")
    if diameters[0] > min(shape):
        notes.append("the image does not show the whole spot: width and background depend on each other")
    return tuple(notes)
