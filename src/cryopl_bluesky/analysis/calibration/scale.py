"""Length scale from an image of fluorescent beads of known diameter: nm per pixel with its error.

Each bead is fitted as an evenly bright disc, or as a ball that is dyed throughout, convolved with a Gaussian point
spread. In polar coordinates the disc is the distribution function of the non-central chi square, P(chi2(2, (r/s)^2) <
(R/s)^2). The chord of a ball, sqrt(1 - (r/R)^2), is the mean of discs of radius R sqrt(1 - h^2) over its
height h. The relative error is sqrt(bead^2 + scatter^2 + fit^2) and is common to all lengths: ratios of lengths do not
carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import find_objects, gaussian_filter, label
from scipy.special import chndtr, i0e, i1e

from .._checks import AnalysisError, FitError, Floats, finite_array, positive, same_shape
from .._weighted_fit import Model, check_variance, fit_weighted
from ..units import FWHM_PER_SIGMA

BEAD_UM, BEAD_ERR_UM = 2.11, 0.2
"""Diameter of the publication's beads and its error."""
AREA_RANGE = (0.4, 2.0)
"""Accepted area of a bright region, in units of that expected of a bead."""
BAD_CHI2 = 2.0
BALL_DISCS = 12
"""Discs that a ball is summed from; the profile is then right to 1e-4 for a point spread of a tenth of the radius."""

Profile = Literal["disc", "ball"]


@dataclass(frozen=True)
class Bead:
    """One fitted bead.

    Attributes:
        x_px: Column of its centre, from 0.
        y_px: Row of its centre.
        diameter_px: Of the disc, without the point spread.
        diameter_err_px: Standard error.
        psf_fwhm_px: FWHM of the point spread.
        reduced_chi2: Per degree of freedom; None when the variance was unknown.
    """

    x_px: float
    y_px: float
    diameter_px: float
    diameter_err_px: float
    psf_fwhm_px: float
    reduced_chi2: float | None


@dataclass(frozen=True)
class LengthScale:
    """Length at the sample of one sensor pixel.

    Attributes:
        nm_per_px: Of one unbinned pixel.
        rel_err: Relative standard error, sqrt(bead^2 + scatter^2 + fit^2).
        bead_rel_err: From the beads' nominal diameter.
        scatter_rel_err: Standard error of the mean from bead to bead.
        fit_rel_err: From the fits' errors.
        diameter_px: Mean diameter in pixels of the image.
        psf_fwhm_px: Median FWHM of the point spread, pixels of the image.
        beads: All that were fitted.
        refused: Bright regions that were not, with the reason.
        method: Model and number of beads.
        notes: What a reader must know.
    """

    nm_per_px: float
    rel_err: float
    bead_rel_err: float
    scatter_rel_err: float
    fit_rel_err: float
    diameter_px: float
    psf_fwhm_px: float
    beads: tuple[Bead, ...]
    refused: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()

    @property
    def nm_per_px_err(self) -> float:
        """Standard error of `nm_per_px`."""
        return self.nm_per_px * self.rel_err


def scale_relative_error(bead_rel: float, scatter_rel: float, fit_rel: float) -> float:
    """sqrt(bead^2 + scatter^2 + fit^2), all relative."""
    return float(np.sqrt(bead_rel**2 + scatter_rel**2 + fit_rel**2))


def scale_from_beads(
    image: ArrayLike,
    lens_nm_per_px: float,
    *,
    bead_um: float = BEAD_UM,
    bead_err_um: float = BEAD_ERR_UM,
    variance: ArrayLike | None = None,
    saturated: NDArray[np.bool_] | None = None,
    binning: int = 1,
    profile: Profile = "disc",
) -> LengthScale:
    """Measure the length scale.

    Args:
        image: Photo-electrons (or dark-subtracted counts) per pixel, (H, W); with hot pixels replaced.
        lens_nm_per_px: Scale by focal lengths, of one unbinned pixel; only to know which bright regions can be beads.
        bead_um: Diameter of the beads.
        bead_err_um: Its standard error.
        variance: Variance per pixel, (H, W), as `frame_to_electrons` gives it; None: errors from the residuals.
        saturated: Pixels that were saturated, (H, W); beads with one are refused.
        binning: Camera binning of the image.
        profile: "disc" for evenly bright beads, "ball" for beads dyed throughout. A ball that is fitted as a disc comes
            out a sixth too small, and the scale a fifth too large.

    Raises:
        AnalysisError: Bad input.
        FitError: Not a single bead.
    """
    data = finite_array("image", image, 2)
    spread = None if variance is None else check_variance("image", finite_array("variance", variance), data, 2)
    full = np.zeros(data.shape, bool) if saturated is None else np.asarray(saturated, bool)
    same_shape("image", data, "saturated", full)
    bead_rel = positive("bead_err_um", bead_err_um) / positive("bead_um", bead_um)
    expected_px = bead_um * 1e3 / (positive("lens_nm_per_px", lens_nm_per_px) * positive("binning", binning))
    if expected_px < 6.0:
        raise AnalysisError(f"A bead would be {expected_px:.1f} px wide, 6 are needed; use less binning.")
    beads: list[Bead] = []
    refused: list[str] = []
    labels, count = _regions(data, expected_px)
    for number, box in enumerate(find_objects(labels), start=1):
        where = f"region at column {(box[1].start + box[1].stop) // 2}, row {(box[0].start + box[0].stop) // 2}"
        try:
            window = _window(labels, number, box, expected_px)
            if full[window].any():
                raise AnalysisError("saturated; expose shorter")
            beads.append(fit_bead(data[window], expected_px, None if spread is None else spread[window],
                                  origin_px=(window[1].start, window[0].start), profile=profile))  # fmt: skip
        except AnalysisError as error:
            refused.append(f"{where}: {error}")
    if not beads:
        raise FitError(f"None of {count} bright regions is a bead of about {expected_px:.0f} px: "
                       f"{'; '.join(refused) or 'the image is dark'}.")
    return _combine(beads, refused, bead_um, bead_rel, binning, profile)


def fit_bead(
    image: Floats, expected_px: float, variance: Floats | None = None, origin_px: tuple[int, int] = (0, 0),
    profile: Profile = "disc",
) -> Bead:
    """Fit one bead in a window about it.

    Args:
        image: The window, (h, w), photo-electrons.
        expected_px: Diameter to start from.
        variance: Variance per pixel, (h, w), or None.
        origin_px: Column and row of the window's first pixel.
        profile: "disc" or "ball".

    Raises:
        FitError: No convergence, or a bead that lies on the edge of the window.
    """
    y, x = (grid.ravel().astype(np.float64) for grid in np.indices(image.shape))
    background, top = float(np.quantile(image, 0.05)), float(np.quantile(image, 0.98))
    weight = np.clip(image - background - 0.3 * (top - background), 0.0, None).ravel()
    if not weight.sum() > 0:
        raise FitError("the window is flat; there is no bead in it")
    start = np.array([(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum(),
                      np.log(expected_px / 2.0), np.log(max(0.8, expected_px / 15.0)), top - background, background])
    spread = None if variance is None else variance.ravel()
    fit = fit_weighted(_bead_model(x, y, profile), image.ravel(), spread, start, "bead")
    x0, y0, ln_radius, ln_sigma, height, _ = fit.theta
    diameter = 2.0 * float(np.exp(ln_radius))
    if not (height > 5.0 * np.sqrt(fit.covariance[4, 4]) and diameter < min(image.shape)
            and 0 < x0 < image.shape[1] - 1 and 0 < y0 < image.shape[0] - 1):
        raise FitError(f"the fit is not a {profile} inside of its window")
    return Bead(
        float(x0 + origin_px[0]), float(y0 + origin_px[1]), diameter,
        diameter * float(np.sqrt(fit.covariance[2, 2])), float(np.exp(ln_sigma)) * FWHM_PER_SIGMA, fit.reduced_chi2,
    )  # fmt: skip


def disc_profile(radius_px: ArrayLike, disc_radius_px: float, sigma_px: float) -> Floats:
    """Brightness at a distance from the centre of a disc of brightness 1 convolved with a Gaussian."""
    r = finite_array("radius_px", radius_px)
    return chndtr((disc_radius_px / sigma_px) ** 2, 2.0, (r / sigma_px) ** 2)


def bead_profile(radius_px: ArrayLike, bead_radius_px: float, sigma_px: float, profile: Profile = "disc") -> Floats:
    """Brightness at a distance from the centre of a disc, or ball, of height 1 convolved with a Gaussian."""
    return sum(
        (weight * disc_profile(radius_px, part * bead_radius_px, sigma_px) for part, weight in _parts(profile)),
        np.zeros(np.shape(radius_px)),
    )


def _parts(profile: Profile) -> list[tuple[float, float]]:
    """Discs that a bead is the sum of: radius in units of the bead's, and weight."""
    if profile == "disc":
        return [(1.0, 1.0)]
    nodes, weights = np.polynomial.legendre.leggauss(BALL_DISCS)
    heights = (nodes + 1.0) / 2.0
    return list(zip(np.sqrt(1.0 - heights**2).tolist(), (weights / 2.0).tolist(), strict=True))


def _bead_model(x: Floats, y: Floats, profile: Profile) -> Model:
    """Parameters: x0, y0, ln R, ln s, height, background.

    The profile is interpolated from a radial grid; its derivatives are closed forms: dP/dR = R/s^2 exp(-(r^2 +
    R^2)/2s^2) I0(rR/s^2), dP/dr the same with -I1, and P depends on R/s and r/s alone.
    """
    parts = _parts(profile)

    def model(theta: Floats) -> tuple[Floats, Floats]:
        x0, y0, ln_radius, ln_sigma, height, background = theta
        radius, sigma = float(np.exp(np.clip(ln_radius, -2, 8))), float(np.exp(np.clip(ln_sigma, -3, 6)))
        r = np.hypot(x - x0, y - y0)
        grid = np.linspace(0.0, r.max() + 1e-6, max(24, int(4.0 * r.max() / sigma)))
        on_grid = np.zeros((3, grid.size))
        for part, weight in parts:
            on_grid += weight * _disc_and_derivatives(grid, part * radius, sigma)
        shape, by_radius, slope = CubicSpline(grid, on_grid, axis=1)(r)
        towards = height * slope / np.maximum(r, 1e-9)
        jacobian = np.stack([
            -towards * (x - x0), -towards * (y - y0), height * by_radius, -height * (by_radius + r * slope), shape,
            np.ones_like(x),
        ], axis=1)  # fmt: skip
        return height * shape + background, jacobian

    return model


def _disc_and_derivatives(r: Floats, radius: float, sigma: float) -> Floats:
    """A blurred disc P, dP/dln R and dP/dr at distances r, (3, n)."""
    bell = radius / sigma**2 * np.exp(-0.5 * ((r - radius) / sigma) ** 2)
    at = r * radius / sigma**2
    return np.stack([disc_profile(r, radius, sigma), radius * bell * i0e(at), -bell * i1e(at)])


def _regions(data: Floats, expected_px: float) -> tuple[NDArray[np.int32], int]:
    """Connected regions that are brighter than a quarter of the brightest, after smoothing."""
    smooth = gaussian_filter(data, max(1.0, expected_px / 12.0))
    background = float(np.median(smooth))
    bright = smooth > background + 0.25 * (smooth.max() - background)
    labels = np.zeros(data.shape, np.int32)
    return labels, int(label(bright, output=labels))  # pyright: ignore[reportArgumentType] - it is a number then


def _window(
    labels: NDArray[np.int32], number: int, box: tuple[slice, ...], expected_px: float
) -> tuple[slice, slice]:
    """Pixels about one region, with a margin for the background."""
    area = float((labels[box] == number).sum()) / (np.pi / 4.0 * expected_px**2)
    if not AREA_RANGE[0] <= area <= AREA_RANGE[1]:
        raise AnalysisError(f"its area is {area:.2g} times that of a bead: dust, or beads that touch")
    half = int(np.ceil(0.9 * expected_px)) + 3
    middle = [(piece.start + piece.stop) // 2 for piece in box]
    if any(m - half < 0 or m + half >= length for m, length in zip(middle, labels.shape, strict=True)):
        raise AnalysisError("too near to the edge of the image")
    rows, columns = (slice(m - half, m + half + 1) for m in middle)
    others = np.unique(labels[rows, columns])
    if np.setdiff1d(others, [0, number]).size:
        raise AnalysisError("another bright region is too near")
    return rows, columns


def _combine(
    beads: list[Bead], refused: list[str], bead_um: float, bead_rel: float, binning: int, profile: Profile
) -> LengthScale:
    diameters = np.array([bead.diameter_px for bead in beads])
    mean, n = float(diameters.mean()), diameters.size
    scatter = float(diameters.std(ddof=1) / np.sqrt(n)) / mean if n > 1 else 0.0
    fit = float(np.sqrt(sum(bead.diameter_err_px**2 for bead in beads))) / n / mean
    notes = []
    if n == 1:
        notes.append("a single bead: its scatter is not known, the error lacks it")
    bad = sum(bead.reduced_chi2 is not None and bead.reduced_chi2 > BAD_CHI2 for bead in beads)
    if bad:
        other = "dyed throughout (profile='ball')" if profile == "disc" else "evenly bright (profile='disc')"
        notes.append(f"{bad} of {n} beads are no {profile}s (reduced chi2 above {BAD_CHI2:g}): errors were scaled up; "
                     f"out of focus, or {other}?")
    return LengthScale(
        nm_per_px=bead_um * 1e3 / mean / binning,
        rel_err=scale_relative_error(bead_rel, scatter, fit),
        bead_rel_err=bead_rel,
        scatter_rel_err=scatter,
        fit_rel_err=fit,
        diameter_px=mean,
        psf_fwhm_px=float(np.median([bead.psf_fwhm_px for bead in beads])),
        beads=tuple(beads),
        refused=tuple(refused),
        method=f"{profile} convolved with a Gaussian, mean of {n} bead{'s' if n > 1 else ''}",
        notes=tuple(notes),
    )
