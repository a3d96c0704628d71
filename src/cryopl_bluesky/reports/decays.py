"""Reports of decays: the mean lifetimes by name, their components, and the lifetime against wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.funnelling import fit_apparent_lifetime
from cryopl_bluesky.analysis.lifetime_map import LifetimeMap
from cryopl_bluesky.analysis.lifetimes import DecayFit
from cryopl_bluesky.analysis.units import nm_to_eV
from cryopl_bluesky.catalog.load import RunData
from cryopl_bluesky.figures.fits import fit_decay_data, fit_trpl_map
from cryopl_bluesky.figures.run_data import SPADS, decay, rate_warnings, trpl_map
from cryopl_bluesky.reports.calibrated import Calibrations
from cryopl_bluesky.reports.laws import Law, law_of
from cryopl_bluesky.reports.origins import origin_of_run, run_warnings
from cryopl_bluesky.reports.results import Report, Value

DISAGREE = 4.0
"""Standard errors by which the SPADs may differ before a warning says so."""
SIGN = 3.0
"""Standard errors by which a slope must differ from zero to have a sign."""


@dataclass(frozen=True)
class Component:
    """One exponential of a decay.

    Attributes:
        lifetime_ns: its lifetime.
        amplitude: its share at t = 0; the shares of a decay sum up to 1.
        photons: photons in it.
    """

    lifetime_ns: Value
    amplitude: float
    photons: Value


@dataclass(frozen=True)
class DecayNumbers:
    """A fitted decay.

    Attributes:
        tau_int_ns: intensity average of the lifetimes (mean arrival time).
        tau_amp_ns: amplitude average (for kinetics and quantum yields).
        components: shortest first; soft where there are two: quote the averages.
        background_per_bin: constant background.
        shift_ns: position of the response.
        reduced_deviance: 1 for a model that is true.
        good: whether it lies in its band; if not, do not quote the lifetimes.
        photons: counts that were fitted.
        method: how.
        notes: what a reader must know.
    """

    tau_int_ns: Value
    tau_amp_ns: Value
    components: tuple[Component, ...]
    background_per_bin: Value
    shift_ns: Value
    reduced_deviance: float
    good: bool
    photons: int
    method: str
    notes: tuple[str, ...]


def decay_numbers(fit: DecayFit) -> DecayNumbers:
    """A fit as values."""
    components = tuple(
        Component(Value(tau, tau_err, "ns"), float(share), Value(photons, photons_err, "photons"))
        for tau, tau_err, share, photons, photons_err in zip(
            fit.lifetimes_ns, fit.lifetimes_err_ns, fit.amplitudes, fit.photons, fit.photons_err, strict=True
        )
    )
    return DecayNumbers(
        tau_int_ns=Value(fit.tau_int_ns, fit.tau_int_err_ns, "ns"),
        tau_amp_ns=Value(fit.tau_amp_ns, fit.tau_amp_err_ns, "ns"),
        components=components,
        background_per_bin=Value(fit.background_per_bin, fit.background_err_per_bin, "counts"),
        shift_ns=Value(fit.shift_ns, fit.shift_err_ns, "ns"),
        reduced_deviance=fit.reduced_deviance,
        good=fit.good,
        photons=fit.n_photons,
        method=fit.method,
        notes=fit.notes,
    )


@dataclass(frozen=True, kw_only=True)
class DecayReport(Report):
    """Lifetimes of a decay.

    Attributes:
        decay: of all SPADs together; None without a trustworthy fit (see `warnings`).
        by_spad: of each SPAD alone, by name.
    """

    decay: DecayNumbers | None
    by_spad: dict[str, DecayNumbers]


@dataclass(frozen=True)
class MapRow:
    """The decay at one wavelength of a TRPL map.

    Attributes:
        wavelength_nm: centre of the detected band, read back.
        photon_energy_eV: of that wavelength.
        photons: counts in the row.
        tau_int_ns: intensity average; None where the row was refused.
        tau_amp_ns: amplitude average.
        components: number of exponentials; a weak row may not show its slow one, which lowers its tau_int.
        tau_1e_ns: without a model, from the top to 1/e, response included.
        reduced_deviance: of the fit.
        good: whether the lifetimes may be quoted.
        problem: why there is no lifetime, or what to mind before quoting it.
    """

    wavelength_nm: float
    photon_energy_eV: float
    photons: int
    tau_int_ns: Value | None
    tau_amp_ns: Value | None
    components: int
    tau_1e_ns: Value | None
    reduced_deviance: float | None
    good: bool
    problem: str


@dataclass(frozen=True, kw_only=True)
class TrplMapReport(Report):
    """Lifetime against wavelength.

    Attributes:
        rows: in the order of the wavelengths.
        slope_ns_per_nm: of tau_amp against wavelength, weighted straight line; None with fewer than 3 rows. tau_amp
            hardly depends on whether a weak row shows its slow component.
        blue_is_faster: sign of that slope: True, False, or None if it is within 3 standard errors of zero.
        law: apparent tau(E) = tau_r/(1 + exp((E - E_m)/E_0)) of tau_amp; None where it cannot be fitted.
    """

    rows: tuple[MapRow, ...]
    slope_ns_per_nm: Value | None
    blue_is_faster: bool | None
    law: Law | None


def report_decay(run: RunData, calibrations: Calibrations | None = None) -> DecayReport:
    """Mean lifetimes of a decay run, of both SPADs together and of each alone."""
    known = calibrations or Calibrations()
    data = known.with_response(decay(run))
    warnings, fit, numbers = [*run_warnings(run), *rate_warnings(run, "decay")], None, None
    try:
        fit = fit_decay_data(data)
        numbers = decay_numbers(fit)
    except AnalysisError as error:
        warnings.append(f"no lifetime: {error}")
    by_spad = {}
    for spad in SPADS:
        try:
            counts = run.data[f"hbt_decay_{spad}"].sum(axis=0)
            by_spad[spad] = decay_numbers(fit_decay_data(replace(data, counts=counts)))
        except AnalysisError as error:
            warnings.append(f"{spad}: {error}")
    warnings += spad_difference(by_spad)
    return DecayReport(
        measurement=run.start["measurement"], origin=origin_of_run(run, known.used),
        method=fit.method if fit else "reconvolution", notes=(*known.notes, *(fit.notes if fit else ())),
        warnings=tuple(warnings), data=data, fit=fit, decay=numbers, by_spad=by_spad,
    )  # fmt: skip


def spad_difference(by_spad: dict[str, DecayNumbers]) -> list[str]:
    """A warning if two detectors do not see the same lifetime."""
    if len(by_spad) != 2:
        return []
    (one, first), (two, second) = by_spad.items()
    a, b = first.tau_int_ns, second.tau_int_ns
    error = float(np.hypot(a.error or 0.0, b.error or 0.0))
    if not error or abs(a.value - b.value) <= DISAGREE * error:
        return []
    return [f"{one} and {two} disagree: {a} and {b}; look for afterglow, reflections or a wrong response of one"]


def report_trpl_map(run: RunData, calibrations: Calibrations | None = None) -> TrplMapReport:
    """Lifetime of every row of a TRPL map, and whether the blue side decays faster."""
    known = calibrations or Calibrations()
    data = known.with_response(trpl_map(run))
    notes, warnings = list(known.notes), [*run_warnings(run), *rate_warnings(run, "decay")]
    found, rows, slope, blue_is_faster, law = None, (), None, None, None
    try:
        found = fit_trpl_map(data)
    except AnalysisError as error:
        warnings.append(f"no lifetimes: {error}")
    if found is not None:
        rows = tuple(_map_row(found, index) for index in range(found.wavelength_nm.size))
        slope = _slope(rows)
        notes.append(f"all rows share the position of the response, {found.shift_ns:.4f} ± {found.shift_err_ns:.4f} ns")
        if len({row.components for row in rows if row.good}) > 1:
            notes.append("weak rows show one exponential where bright ones show two: compare tau_amp, not tau_int")
        try:
            law = _law(rows)
        except AnalysisError as error:
            notes.append(f"no law of the lifetime against photon energy: {error}")
    if slope is not None and slope.error and abs(slope.value) > SIGN * slope.error:
        blue_is_faster = slope.value > 0
    return TrplMapReport(
        measurement=run.start["measurement"], origin=origin_of_run(run, known.used),
        method=found.method if found else "", notes=tuple(notes), warnings=tuple(warnings), data=data, fit=found,
        rows=rows, slope_ns_per_nm=slope, blue_is_faster=blue_is_faster, law=law,
    )  # fmt: skip


def _map_row(found: LifetimeMap, index: int) -> MapRow:
    fit, wavelength_nm = found.fits[index], float(found.wavelength_nm[index])
    edge = float(found.tau_1e_ns[index])
    return MapRow(
        wavelength_nm=wavelength_nm,
        photon_energy_eV=nm_to_eV(wavelength_nm),
        photons=int(found.photons[index]),
        tau_int_ns=Value(fit.tau_int_ns, fit.tau_int_err_ns, "ns") if fit else None,
        tau_amp_ns=Value(fit.tau_amp_ns, fit.tau_amp_err_ns, "ns") if fit else None,
        components=int(found.components[index]),
        tau_1e_ns=Value(edge, float(found.tau_1e_err_ns[index]), "ns") if np.isfinite(edge) else None,
        reduced_deviance=fit.reduced_deviance if fit else None,
        good=bool(found.good[index]),
        problem=found.problems[index],
    )


def _fitted(rows: Sequence[MapRow]) -> list[tuple[MapRow, Value]]:
    return [(row, row.tau_amp_ns) for row in rows if row.good and row.tau_amp_ns is not None]


def _slope(rows: Sequence[MapRow]) -> Value | None:
    """Weighted straight line; its error is scaled up where the lifetimes scatter more than their errors."""
    fitted = _fitted(rows)
    if len(fitted) < 3:
        return None
    x = np.array([row.wavelength_nm for row, _ in fitted])
    y, sigma = (np.array([getattr(tau, name) for _, tau in fitted]) for name in ("value", "error"))
    weight = 1.0 / sigma**2
    away = x - np.average(x, weights=weight)
    spread = float((weight * away**2).sum())
    slope = float((weight * away * y).sum()) / spread
    residuals = y - np.average(y, weights=weight) - slope * away
    scale = max(1.0, float((weight * residuals**2).sum()) / (x.size - 2))
    return Value(slope, float(np.sqrt(scale / spread)), "ns/nm")


def _law(rows: Sequence[MapRow]) -> Law:
    fitted = _fitted(rows)
    fit = fit_apparent_lifetime(
        [row.photon_energy_eV for row, _ in fitted],
        [tau.value for _, tau in fitted],
        [tau.error or 0.0 for _, tau in fitted],
    )
    return law_of("tau_amp_ns", fit)
