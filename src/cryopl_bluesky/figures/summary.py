"""The numbers of a night: one row per temperature, fitted from plain data with `cryopl_bluesky.analysis`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..analysis import AnalysisError
from ..analysis.g2 import PulsedG2
from ..analysis.lifetimes import DecayFit
from ..analysis.spectra import LineFit
from ._data import Temperature
from .fits import decay_wavelength_nm, fit_centre_line, fit_decay_data, fit_g2


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
