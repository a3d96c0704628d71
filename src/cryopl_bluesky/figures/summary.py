"""The numbers of a night: one row per temperature, fitted from plain data with `cryopl_bluesky.analysis`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ..analysis import AnalysisError
from ..analysis.g2 import PulsedG2, pulsed_g2
from ..analysis.lifetimes import DecayFit
from ..analysis.mean_lifetime import fit_mean_lifetime
from ..analysis.spectra import LineFit, Spectrum, fit_line, frame_to_electrons, sum_rows
from ._data import G2, Decay, SpectralMap, Temperature, TrplMap


@dataclass(frozen=True, eq=False)
class SummaryRow:
    """Fitted numbers of one temperature; None where there is no data or no trustworthy fit (see `problems`).

    Attributes:
        setpoint_K: Temperature asked for.
        mean_K: Mean readback, or None.
        peak_eV: Centre of the Gaussian in photon energy, of the spectrum in the middle of the object.
        peak_eV_err: Its standard error.
        fwhm_eV: Width of that line.
        fwhm_eV_err: Its standard error.
        tau_ns: Mean lifetime, intensity average (mean arrival time), at `tau_nm`.
        tau_err_ns: Its standard error.
        tau_amp_ns: Amplitude average of the same fit.
        tau_amp_err_ns: Its standard error.
        tau_nm: Wavelength of that decay: the measured one nearest to the peak, else the brightest.
        g2_0: g2(0) as measured, no background correction.
        g2_0_err: Its Poisson standard error.
        line: The whole line fit.
        decay: The whole decay fit.
        g2: The whole g2 result.
        problems: Reason by part ("spectral_map", "trpl_map", "g2") where there is no number.
    """

    setpoint_K: float
    mean_K: float | None
    peak_eV: float | None = None
    peak_eV_err: float | None = None
    fwhm_eV: float | None = None
    fwhm_eV_err: float | None = None
    tau_ns: float | None = None
    tau_err_ns: float | None = None
    tau_amp_ns: float | None = None
    tau_amp_err_ns: float | None = None
    tau_nm: float | None = None
    g2_0: float | None = None
    g2_0_err: float | None = None
    line: LineFit | None = None
    decay: DecayFit | None = None
    g2: PulsedG2 | None = None
    problems: dict[str, str] = field(default_factory=dict)


def summarise(temperatures: Iterable[Temperature]) -> list[SummaryRow]:
    """Fit line, decay and g2 of every temperature, in the order given.

    A fit that refuses its data leaves None and its reason in `problems`; nothing is raised for it.
    """
    return [summarise_one(temperature) for temperature in temperatures]


def summarise_one(temperature: Temperature) -> SummaryRow:
    """Fit what was measured at one temperature."""
    problems: dict[str, str] = {}
    line = decay = g2 = None
    tau_nm = None
    for part in ("spectral_map", "trpl_map", "g2"):
        if getattr(temperature, part) is None:
            problems[part] = temperature.why_missing(part)
    if temperature.spectral_map is not None:
        try:
            line = fit_centre_line(temperature.spectral_map)
        except AnalysisError as error:
            problems["spectral_map"] = str(error)
    if temperature.trpl_map is not None:
        try:
            tau_nm = decay_wavelength_nm(temperature.trpl_map, line)
            decay = fit_decay_data(temperature.trpl_map.row(tau_nm))
        except AnalysisError as error:
            problems["trpl_map"] = str(error)
    if temperature.g2 is not None:
        try:
            g2 = fit_g2(temperature.g2)
        except AnalysisError as error:
            problems["g2"] = str(error)
    return SummaryRow(
        setpoint_K=temperature.setpoint_K,
        mean_K=temperature.mean_K,
        peak_eV=line.peak_eV if line else None,
        peak_eV_err=line.peak_eV_err if line else None,
        fwhm_eV=line.fwhm_eV if line else None,
        fwhm_eV_err=line.fwhm_eV_err if line else None,
        tau_ns=decay.tau_int_ns if decay else None,
        tau_err_ns=decay.tau_int_err_ns if decay else None,
        tau_amp_ns=decay.tau_amp_ns if decay else None,
        tau_amp_err_ns=decay.tau_amp_err_ns if decay else None,
        tau_nm=tau_nm if decay else None,
        g2_0=g2.g2_0_raw if g2 else None,
        g2_0_err=g2.sigma_poisson if g2 else None,
        line=line,
        decay=decay,
        g2=g2,
        problems=problems,
    )


def spectrum_of(data: SpectralMap, rows: slice | None = None) -> Spectrum:
    """Sum rows: electrons with variance, or offset-free ADU without variance when the gain is unknown."""
    gain = data.gain_e_per_adu if data.gain_e_per_adu is not None else 1.0
    chosen = slice(None) if rows is None else rows
    frame = frame_to_electrons(
        np.asarray(data.counts[chosen], float),
        gain_e_per_adu=gain,
        read_noise_e=data.read_noise_e,
        offset_adu=data.offset_adu,
        dark_adu=None if data.dark_adu is None else np.asarray(data.dark_adu[chosen], float),
    )
    total = sum_rows(frame)
    if data.gain_e_per_adu is None:
        return Spectrum(total.counts, None, total.rows, total.saturated)
    # the frames were averaged: their sum is what has Poisson statistics
    assert total.variance is not None
    n = data.frames
    return Spectrum(total.counts * n, total.variance * n, total.rows, total.saturated)


def fit_total_line(data: SpectralMap) -> LineFit:
    """Fit the line-total spectrum of a spectral image; saturated columns are left out."""
    return _fit(data, None)


def _fit(data: SpectralMap, rows: slice | None) -> LineFit:
    total = spectrum_of(data, rows)
    return fit_line(
        np.asarray(data.wavelength_nm, float),
        total.counts,
        total.variance,
        instrument_fwhm_nm=data.instrument_fwhm_nm,
        exclude=total.saturated,
    )


def centre_rows(data: SpectralMap) -> slice:
    """The middle third of the brightest object on the line, where its spectrum is its own.

    Towards the rim the line of a superlattice shifts, and other objects on the line have lines of their own. The
    object ends where the light falls to half of its maximum.
    """
    counts = np.asarray(data.counts, float)
    profile = np.convolve(counts.mean(axis=1) - data.offset_adu, np.full(9, 1 / 9), mode="same")
    brightest = int(np.argmax(profile))
    dim = np.flatnonzero(profile < profile[brightest] / 2)
    first = int(dim[dim < brightest].max(initial=-1)) + 1
    stop = int(dim[dim > brightest].min(initial=profile.size))
    third = (stop - first) // 3
    return slice(first + third, stop - third)


def fit_centre_line(data: SpectralMap) -> LineFit:
    """Fit the spectrum of `centre_rows`; saturated columns are left out."""
    return _fit(data, centre_rows(data))


def decay_wavelength_nm(data: TrplMap, line: LineFit | None) -> float:
    """Wavelength of the map's row for the mean lifetime: nearest to the line's peak, else the brightest."""
    axis = np.asarray(data.wavelength_nm, float)
    if line is not None and axis.min() <= line.peak_nm <= axis.max():
        return float(axis[np.argmin(np.abs(axis - line.peak_nm))])
    return float(axis[np.argmax(np.asarray(data.counts).sum(axis=1))])


def fit_decay_data(data: Decay) -> DecayFit:
    """The mean lifetime of a decay; see `fit_mean_lifetime`."""
    delay = np.asarray(data.delay_ns, float)
    binwidth_ps = float((delay[-1] - delay[0]) / (delay.size - 1)) * 1e3
    period_ns = data.period_ns if data.period_ns is not None else delay.size * binwidth_ps / 1e3
    return fit_mean_lifetime(data.counts, binwidth_ps, period_ns, irf_fwhm_ps=data.irf_fwhm_ps, irf=data.irf)


def fit_g2(data: G2) -> PulsedG2:
    """Pulsed g2(0) of a histogram whose delay axis may be shifted by whole bins.

    Raises:
        AnalysisError: As `pulsed_g2`, or a delay axis that does not have its zero on a bin.
    """
    delay, counts = np.asarray(data.delay_ns, float), np.asarray(data.counts)
    binwidth_ns = float((delay[-1] - delay[0]) / (delay.size - 1))
    middle = float(delay[delay.size // 2])
    offset = None if data.offset_ns is None else data.offset_ns - middle
    result = pulsed_g2(
        counts, binwidth_ns * 1e3, data.period_ns, offset_ns=offset, accidentals=data.accidentals
    )
    if abs(middle) > 0.5 * binwidth_ns:
        raise AnalysisError(
            f"The delay axis has {middle:g} ns in its middle bin instead of 0; "
            "give delays (i - n//2) * binwidth."
        )
    return result
