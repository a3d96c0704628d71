"""Plain data that the figures draw. No catalog objects: whoever reads the catalog fills these in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Picture:
    """A wide-field image.

    Attributes:
        image: Counts per pixel, (H, W).
        nm_per_px: Length at the sample of one pixel of `image` (binning included).
        title: Text above the image.
        slit_column_px: Column of the acquisition line in `image`; None if it was not calibrated: the middle
            is drawn and called "not calibrated".
        scale_rel_err: Relative error of `nm_per_px`, shown beside the scale bar; None if unknown.
    """

    image: Array
    nm_per_px: float
    title: str = ""
    slit_column_px: float | None = None
    scale_rel_err: float | None = None


@dataclass(frozen=True, eq=False)
class SpectralMap:
    """A spectral image: position along the slit against wavelength.

    Attributes:
        counts: Raw frame (or mean of frames), (H, W), in ADU unless `gain_e_per_adu` is 1.
        wavelength_nm: Pixel centres, (W,).
        position_um: Position of the rows at the sample, (H,).
        gain_e_per_adu: Electrons per ADU; None if unknown: errors then come from the scatter of the
            residuals.
        offset_adu: Bias level subtracted before anything is fitted.
        read_noise_e: Read noise per (binned) pixel in electrons.
        dark_adu: Dark frame of the same settings, (H, W), subtracted instead of the offset.
        dark_frames: Number of frames averaged in `dark_adu`.
        frames: Number of frames averaged in `counts`.
        instrument_fwhm_nm: Width of the instrument function; None: widths are reported as measured.
        title: Text above the map.
    """

    counts: Array
    wavelength_nm: Array
    position_um: Array
    gain_e_per_adu: float | None = None
    offset_adu: float = 0.0
    read_noise_e: float = 1.0
    dark_adu: Array | None = None
    dark_frames: int = 1
    frames: int = 1
    instrument_fwhm_nm: float | None = None
    title: str = ""


@dataclass(frozen=True, eq=False)
class PlainSpectrum:
    """A spectrum of unknown gain, as files of other programs hold it.

    Attributes:
        wavelength_nm: Pixel centres, (W,).
        counts: Counts per pixel, (W,).
        title: Text above it.
    """

    wavelength_nm: Array
    counts: Array
    title: str = ""


@dataclass(frozen=True, eq=False)
class Decay:
    """One decay histogram.

    Attributes:
        delay_ns: Time of the bins since the laser pulse, evenly spaced, (m,).
        counts: Raw counts, (m,).
        period_ns: Laser period; None: the histogram covers exactly one period.
        irf_fwhm_ps: Width of the Gaussian instrument response, used when `irf` is None.
        irf: Measured instrument response with the same bins, background removed, (m,).
        label: Legend text, e.g. "527.0 nm".
    """

    delay_ns: Array
    counts: Array
    period_ns: float | None = None
    irf_fwhm_ps: float = 200.0
    irf: Array | None = None
    label: str = ""


@dataclass(frozen=True, eq=False)
class TrplMap:
    """Decays against detection wavelength.

    Attributes:
        wavelength_nm: Read-back centre wavelengths, any order, (n,).
        delay_ns: Time of the bins since the laser pulse, evenly spaced, (m,).
        counts: Raw counts, (n, m).
        period_ns: Laser period; None: the histogram covers exactly one period.
        irf_fwhm_ps: Width of the Gaussian instrument response, used when `irf` is None.
        irf: Measured instrument response with the same bins, background removed, (m,).
        title: Text above the map.
    """

    wavelength_nm: Array
    delay_ns: Array
    counts: Array
    period_ns: float | None = None
    irf_fwhm_ps: float = 200.0
    irf: Array | None = None
    title: str = ""

    def row(self, wavelength_nm: float) -> Decay:
        """Decay measured nearest to a wavelength."""
        index = int(np.argmin(np.abs(np.asarray(self.wavelength_nm, float) - wavelength_nm)))
        label = f"{float(np.asarray(self.wavelength_nm, float)[index]):.1f} nm"
        counts = np.asarray(self.counts)[index]
        return Decay(self.delay_ns, counts, self.period_ns, self.irf_fwhm_ps, self.irf, label)


@dataclass(frozen=True, eq=False)
class G2:
    """A coincidence histogram of pulsed light.

    Attributes:
        delay_ns: t(SPAD 2) - t(SPAD 1) of the bins, evenly spaced, (n,).
        counts: Pairs per bin, (n,).
        period_ns: Laser period.
        offset_ns: Delay of the central peak from calibration; None: from the phase of the histogram.
        accidentals: Pairs per peak expected of uncorrelated light at the measured rates; None if not known.
        warnings: What is wrong with the count rates, one sentence each.
        title: Text above the histogram.
    """

    delay_ns: Array
    counts: Array
    period_ns: float
    offset_ns: float | None = None
    accidentals: float | None = None
    warnings: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True, eq=False)
class DelayCalibration:
    """A pair histogram of correlated pulsed light, recorded to find the delay between the SPADs.

    Attributes:
        histogram: Pairs by t(SPAD 2) - t(SPAD 1), bin i at (i - n//2) bin widths, (n,).
        binwidth_ps: Bin width.
        period_ns: Laser period.
        singles: Counts of SPAD 1 and SPAD 2.
        applied_ps: Input delays of SPAD 1, SPAD 2 and sync that were set meanwhile.
        warnings: What is wrong with the count rates, one sentence each.
        title: Text above the histogram.
    """

    histogram: Array
    binwidth_ps: float
    period_ns: float
    singles: tuple[int, int]
    applied_ps: tuple[int, int, int] = (0, 0, 0)
    warnings: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True, eq=False)
class Temperature:
    """What was measured at one temperature; a part that is None is drawn as "not measured".

    Attributes:
        setpoint_K: Temperature asked for.
        mean_K: Mean readback during the measurements, or None.
        picture: Wide-field image.
        spectral_map: Spectral image.
        trpl_map: TRPL map.
        g2: Coincidence histogram.
        missing: Reasons of missing parts by name ("picture", "spectral_map", "trpl_map", "g2"), e.g. "run
            aborted".
    """

    setpoint_K: float
    mean_K: float | None = None
    picture: Picture | None = None
    spectral_map: SpectralMap | None = None
    trpl_map: TrplMap | None = None
    g2: G2 | None = None
    missing: dict[str, str] | None = None

    def why_missing(self, part: str) -> str:
        """Why a part is not there."""
        return (self.missing or {}).get(part, "not measured")
