"""Camera frames to spectra, and spectra to fitted lines with honest errors.

Counts here are photo-electrons. A line is a Gaussian in photon energy (S_E), fitted on the energy axis by
integrating it over the energy width of each pixel: the Jacobian from wavelength to energy is then exact and
the statistics of the counts stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import AnalysisError, Floats, count_array, finite_array, positive, same_shape
from ._line_description import LineDescription, describe_line
from ._line_fit import LineFit, fit_line
from ._peak_numbers import voigt_fwhm
from ._pixel_data import pixel_edges
from .air import Medium, vacuum_axis_nm
from .units import FWHM_PER_SIGMA, HC_EV_NM

__all__ = [
    "Electrons",
    "EnergySpectrum",
    "LineDescription",
    "LineFit",
    "Spectrum",
    "describe_line",
    "fit_line",
    "frame_to_electrons",
    "jacobian_peak_eV",
    "per_eV",
    "per_nm",
    "pixel_edges",
    "rows_at",
    "sum_rows",
    "voigt_fwhm",
]


@dataclass(frozen=True, eq=False)
class Electrons:
    """A frame in photo-electrons.

    Attributes:
        electrons: Signal, (H, W); may be negative where there is only noise.
        variance: Its variance, (H, W): shot noise of the signal, where that is positive, plus `noise`.
        saturated: True where the raw pixel reached the saturation level, (H, W).
        noise: The part of the variance that is there without light (read noise, dark signal), (H, W). With it the
            variance of sums is right: a variance clipped pixel by pixel is too large where it is dark (by 30 % for a
            read noise of 1.3). None if only `variance` is known.
    """

    electrons: Floats
    variance: Floats
    saturated: NDArray[np.bool_]
    noise: Floats | None = None

    @property
    def noise_without_light(self) -> Floats:
        """`noise`, or what `variance` leaves for it, (H, W)."""
        return self.variance - np.maximum(self.electrons, 0.0) if self.noise is None else self.noise

    def variance_of_sum(self, rows: slice) -> Floats:
        """Variance of the sum of the rows, (W,)."""
        if self.noise is None:
            return self.variance[rows].sum(axis=0)
        return np.maximum(self.electrons[rows].sum(axis=0), 0.0) + self.noise[rows].sum(axis=0)


def frame_to_electrons(
    frame_adu: ArrayLike,
    *,
    gain_e_per_adu: float,
    read_noise_e: float,
    offset_adu: float = 0.0,
    dark_adu: ArrayLike | None = None,
    dark_frames: int = 1,
    saturation_adu: float = 65535.0,
) -> Electrons:
    """Subtract offset (or a dark frame of the same settings) and convert to photo-electrons with variance.

    Args:
        frame_adu: Raw frame, (H, W).
        gain_e_per_adu: Electrons per ADU.
        read_noise_e: Read noise per pixel (binned pixel, if binned), rms electrons.
        offset_adu: Bias level; also needed with a dark frame, to know how much of the raw signal is light.
        dark_adu: Dark frame of the same exposure, ROI and binning, or the mean of several, (H, W).
        dark_frames: Number of frames averaged in `dark_adu`.
        saturation_adu: Raw values from here on are flagged.

    Raises:
        AnalysisError: NaN, wrong shapes, a gain or noise that makes no sense.
    """
    raw = finite_array("frame_adu", frame_adu, 2)
    gain = positive("gain_e_per_adu", gain_e_per_adu, "It is in the camera's configuration of the run.")
    if not read_noise_e >= 0:
        raise AnalysisError(f"read_noise_e is {read_noise_e!r} but must be zero or more.")
    noise = np.full(raw.shape, float(read_noise_e**2))
    reference: Floats | float = offset_adu
    if dark_adu is not None:
        reference = finite_array("dark_adu", dark_adu, 2)
        same_shape("frame_adu", raw, "dark_adu", reference)
        averaged = positive("dark_frames", dark_frames)
        dark_shot = _dark_shot_noise((reference - offset_adu) * gain, read_noise_e / np.sqrt(averaged))
        noise = (noise + dark_shot) * (1.0 + 1.0 / averaged)
    electrons = (raw - reference) * gain
    return Electrons(electrons, np.maximum(electrons, 0.0) + noise, raw >= saturation_adu, noise)


def _dark_shot_noise(dark_e: Floats, sigma_e: float) -> Floats:
    """Dark signal per pixel: its own where it stands out of the noise of the dark frame, else the mean of the rest."""
    outstanding = dark_e > np.median(dark_e) + 6.0 * sigma_e
    typical = max(0.0, float(dark_e[~outstanding].mean()))
    return np.where(outstanding, np.maximum(dark_e, 0.0), typical)


def rows_at(position_um: ArrayLike, centre_um: float, half_width_rows: int) -> slice:
    """Rows within +- `half_width_rows` of the row nearest to `centre_um`.

    Raises:
        AnalysisError: The position lies outside of the axis, or the half width is negative.
    """
    axis = finite_array("position_um", position_um, 1)
    if not axis.min() <= centre_um <= axis.max():
        raise AnalysisError(
            f"centre_um {centre_um:g} is outside of the frame ({axis.min():g} to {axis.max():g} um)."
        )
    if half_width_rows < 0:
        raise AnalysisError(f"half_width_rows is {half_width_rows} but must be zero or more.")
    row = int(np.argmin(np.abs(axis - centre_um)))
    return slice(max(0, row - half_width_rows), min(axis.size, row + half_width_rows + 1))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Counts per pixel against wavelength.

    Attributes:
        counts: Photo-electrons per pixel column, (W,).
        variance: Variance of `counts`, (W,), or None if unknown.
        rows: Number of camera rows summed.
        saturated: True where one of the summed pixels was saturated, (W,).
    """

    counts: Floats
    variance: Floats | None
    rows: int
    saturated: NDArray[np.bool_]


def sum_rows(frame: Electrons, rows: slice | None = None, background_rows: slice | None = None) -> Spectrum:
    """Sum rows of a frame: all of them gives the line-total spectrum, some the spectrum at a position.

    Args:
        frame: Frame in electrons.
        rows: Rows to sum, e.g. from `rows_at`; None for all.
        background_rows: Rows without light whose mean is subtracted per summed row; None for no subtraction.

    Raises:
        AnalysisError: A slice that selects nothing.
    """
    chosen = slice(None) if rows is None else rows
    signal = frame.electrons[chosen]
    n = signal.shape[0]
    if n == 0:
        raise AnalysisError(f"rows {rows} selects no row of {frame.electrons.shape[0]}.")
    counts, total_variance = signal.sum(axis=0), frame.variance_of_sum(chosen)
    if background_rows is not None:
        dark = frame.electrons[background_rows]
        if dark.shape[0] == 0:
            raise AnalysisError(
                f"background_rows {background_rows} selects no row of {frame.electrons.shape[0]}."
            )
        scale = n / dark.shape[0]
        counts = counts - scale * dark.sum(axis=0)
        total_variance = total_variance + scale**2 * frame.variance_of_sum(background_rows)
    return Spectrum(counts, total_variance, n, np.asarray(frame.saturated[chosen].any(axis=0)))


def per_nm(wavelength_nm: ArrayLike, counts: ArrayLike) -> Floats:
    """Spectral density S_lambda: counts per pixel over the pixel's width in nm."""
    return finite_array("counts", counts, 1) / np.abs(np.diff(pixel_edges(wavelength_nm)))


@dataclass(frozen=True, eq=False)
class EnergySpectrum:
    """Spectral density against photon energy, energies ascending.

    Attributes:
        energy_eV: Pixel centres, (W,).
        density: Counts per eV, S_E = S_lambda hc/E^2, (W,).
        sigma: Standard error of `density`, (W,), or None if the variance is unknown.
        wavelength_medium: What the wavelength axis held; energies are of vacuum only for "air" and "vacuum".
    """

    energy_eV: Floats
    density: Floats
    sigma: Floats | None
    wavelength_medium: Medium = "air, not converted"


def per_eV(
    wavelength_nm: ArrayLike,
    counts: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    wavelength_medium: Medium = "air, not converted",
) -> EnergySpectrum:
    """Spectral density S_E = S_lambda hc/E^2; errors scale with the same factor.

    Args:
        wavelength_nm: Pixel centres, rising or falling, (W,).
        counts: Counts per pixel, (W,).
        variance: Variance per pixel, (W,), or None.
        wavelength_medium: "air" converts the axis to vacuum first; "vacuum" says that it is.

    Raises:
        AnalysisError: Arrays that do not fit together or an axis that is not one.
    """
    axis = vacuum_axis_nm(wavelength_nm, wavelength_medium)
    values = finite_array("counts", counts, 1)
    same_shape("wavelength_nm", axis, "counts", values)
    energy = HC_EV_NM / axis
    factor = 1.0 / np.abs(np.diff(HC_EV_NM / pixel_edges(axis)))  # the Jacobian, exact for pixels of any width
    order = np.argsort(energy)
    sigma = None
    if variance is not None:
        spread = count_array("variance", variance)
        same_shape("counts", values, "variance", spread)
        sigma = (np.sqrt(spread) * factor)[order]
    return EnergySpectrum(energy[order], (values * factor)[order], sigma, wavelength_medium)


def jacobian_peak_eV(peak_eV: float, fwhm_eV: float) -> float:
    """Energy at which a Gaussian in S_E has the maximum of its S_lambda: (E0 + sqrt(E0^2 + 8 s^2))/2."""
    sigma = fwhm_eV / FWHM_PER_SIGMA
    return float(0.5 * (peak_eV + np.sqrt(peak_eV**2 + 8.0 * sigma**2)))
