"""Reports of photon correlations: g2(0) with its errors and its verdict, and the delay between the SPADs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.channel_delay import channel_delay as find_delay
from cryopl_bluesky.analysis.g2 import PulsedG2, g2_of_areas
from cryopl_bluesky.catalog.load import RunData
from cryopl_bluesky.figures._data import G2
from cryopl_bluesky.figures.fits import fit_decay_data, fit_g2, g2_by_blocks, g2_problems, g2_verdict
from cryopl_bluesky.figures.run_data import channel_delay, decay, g2
from cryopl_bluesky.reports.calibrated import Calibrations
from cryopl_bluesky.reports.decays import DecayNumbers, decay_numbers
from cryopl_bluesky.reports.origins import origin_of_run, run_warnings
from cryopl_bluesky.reports.results import Report, Value

REACHES = (20, 50, 100, 1000)
"""Ranges of |k| that people normalise by, shown beside each other."""
NEAR = 5
SignalFractions = tuple[float, float]


@dataclass(frozen=True)
class Normalisation:
    """g2(0) with another range of side peaks.

    Attributes:
        side_peaks: highest |k| used.
        side_mean: mean pairs of these side peaks.
        g2_0: value and Poisson error.
    """

    side_peaks: int
    side_mean: float
    g2_0: Value


@dataclass(frozen=True)
class G2Numbers:
    """g2(0) and everything needed to judge it; docs/g2.md explains each number.

    Attributes:
        g2_0_raw: central over mean side peak, nothing subtracted; the error is the larger of Poisson and bootstrap.
        sigma_poisson: Poisson error.
        sigma_bootstrap: error by blocks of time; None without time tags.
        ci68: exact interval.
        ci95: exact interval.
        n_central: pairs in the central peak.
        side_mean: mean pairs per side peak.
        side_peaks: highest |k| used.
        side_variance_over_mean: scatter of the side peaks used; 1 if they are Poissonian, more where pairs are shared
            among peaks or the rate drifts.
        near_peaks: pairs of the peaks |k| <= 5 by k.
        near_far: mean side peak over the accidental level: above 1 is blinking or drift; None if that is unknown.
        g2_0_rate: normalised by the rates; wrong for a blinking source.
        g2_0_bgcorr: without background; None without signal fractions.
        rho: signal fractions of the SPADs.
        period_ns: laser period.
        offset_ns: delay of the central peak.
        by_reach: other ranges of side peaks.
        dead_time_ok: whether close pairs are all there; None if that cannot be judged.
        single_emitter: whether g2(0) < 0.5 may be claimed of the raw value.
        verdict: both in words.
        method: how pairs were counted.
    """

    g2_0_raw: Value
    sigma_poisson: float
    sigma_bootstrap: float | None
    ci68: tuple[float, float]
    ci95: tuple[float, float]
    n_central: int
    side_mean: float
    side_peaks: int
    side_variance_over_mean: float
    near_peaks: Mapping[int, int]
    near_far: Value | None
    g2_0_rate: float | None
    g2_0_bgcorr: Value | None
    rho: SignalFractions | None
    period_ns: float
    offset_ns: float
    by_reach: tuple[Normalisation, ...]
    dead_time_ok: bool | None
    single_emitter: bool
    verdict: str
    method: str


def g2_numbers(result: PulsedG2) -> G2Numbers:
    """A result as values."""
    near_far = corrected = None
    if result.near_far is not None:
        near_far = Value(result.near_far, result.near_far_err, "")
    if result.g2_0_bgcorr is not None:
        corrected = Value(result.g2_0_bgcorr, result.sigma_bgcorr, "")
    side = result.areas[(result.k != 0) & (np.abs(result.k) <= result.k_range[1])]
    return G2Numbers(
        g2_0_raw=Value(result.g2_0_raw, result.sigma, ""),
        sigma_poisson=result.sigma_poisson,
        sigma_bootstrap=result.sigma_bootstrap,
        ci68=result.ci68,
        ci95=result.ci95,
        n_central=result.n_central,
        side_mean=result.side_mean,
        side_peaks=result.k_range[1],
        side_variance_over_mean=float(side.var() / side.mean()),
        near_peaks={int(k): int(n) for k, n in zip(result.k, result.areas, strict=True) if abs(k) <= NEAR},
        near_far=near_far,
        g2_0_rate=result.g2_0_rate,
        g2_0_bgcorr=corrected,
        rho=result.rho,
        period_ns=result.period_ns,
        offset_ns=result.offset_ns,
        by_reach=_by_reach(result),
        dead_time_ok=result.dead_time_ok,
        single_emitter=result.single_emitter,
        verdict=g2_verdict(result),
        method=result.method,
    )


def _by_reach(result: PulsedG2) -> tuple[Normalisation, ...]:
    farthest = int(np.abs(result.k).max())
    found = []
    for reach in REACHES:
        if reach > farthest:
            break
        if not result.areas[(result.k != 0) & (np.abs(result.k) <= reach)].any():
            continue
        other = g2_of_areas(result.k, result.areas, result.period_ns, side_peaks=reach)
        found.append(Normalisation(reach, other.side_mean, Value(other.g2_0_raw, other.sigma_poisson, "")))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class G2Report(Report):
    """g2(0) of a run.

    Attributes:
        g2: the numbers; None if there are none (see `warnings`).
        decay: lifetime of the same photons; None if no decays were recorded, or without a trustworthy fit.
    """

    g2: G2Numbers | None
    decay: DecayNumbers | None = None


@dataclass(frozen=True, kw_only=True)
class ChannelDelayReport(Report):
    """Delay between the SPADs.

    Attributes:
        delay_ps: t(SPAD 2) - t(SPAD 1), nearest zero of those that differ by whole periods; None if not found.
        input_delays_ps: what to write into the profile (`hbt.input_delays_ps`) to make it zero.
        applied_ps: input delays that were set meanwhile.
        pairs: pairs in all peaks.
    """

    delay_ps: Value | None
    input_delays_ps: tuple[int, int, int] | None
    applied_ps: tuple[int, int, int]
    pairs: int | None


def report_g2(
    run: RunData,
    calibrations: Calibrations | None = None,
    *,
    rho: SignalFractions | None = None,
    rho_err: SignalFractions = (0.0, 0.0),
) -> G2Report:
    """g2(0) of a g2 run, with the error by blocks if its time tags were kept.

    Args:
        run: the run.
        calibrations: for the decay of the same photons.
        rho: signal fraction S/(S + B) of each SPAD, for the value without background beside the raw one.
        rho_err: their errors.
    """
    data, known = g2(run), calibrations or Calibrations()
    warnings, notes, numbers = list(run_warnings(run)), [], None
    result = g2_by_blocks(run, data)
    if result is None:
        warnings += [*data.warnings, _why_not(data)]
    else:
        if rho is not None:
            result = result.with_background(rho, rho_err)
        numbers = g2_numbers(result)
        warnings += g2_problems(data, result)
        if result.dead_time_ok is not False:
            notes.append(result.dead_time.note)
    lifetime = None
    if "hbt_decay_spad1" in run.data:
        try:
            lifetime = decay_numbers(fit_decay_data(known.with_response(decay(run))))
        except AnalysisError as error:
            notes.append(f"no lifetime: {error}")
    return G2Report(
        measurement=run.start["measurement"], origin=origin_of_run(run, known.used),
        method="peak areas of all pairs over whole laser periods, central over mean side peak",
        notes=(*known.notes, *notes), warnings=tuple(warnings), data=data, fit=result,
        g2=numbers, decay=lifetime,
    )  # fmt: skip


def _why_not(data: G2) -> str:
    try:
        fit_g2(data)
    except AnalysisError as error:
        return f"no g2(0): {error}"
    return "no g2(0)"


def report_channel_delay(run: RunData) -> ChannelDelayReport:
    """The delay between the SPADs and what to write into the profile."""
    data = channel_delay(run)
    warnings, notes, found = [*run_warnings(run), *data.warnings], (), None
    try:
        found = find_delay(data.histogram, data.binwidth_ps, data.period_ns, data.singles)
        notes = found.notes
    except AnalysisError as error:
        warnings.append(f"no delay: {error}")
    return ChannelDelayReport(
        measurement=run.start["measurement"], origin=origin_of_run(run),
        method=found.method if found else "balanced centre of all peaks", notes=notes, warnings=tuple(warnings),
        data=data, fit=found, delay_ps=Value(found.delay_ps, found.sigma_ps, "ps") if found else None,
        input_delays_ps=found.input_delays_ps(data.applied_ps) if found else None,
        applied_ps=data.applied_ps, pairs=found.pairs if found else None,
    )  # fmt: skip
