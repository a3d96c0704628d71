"""The report of photons one by one: rates, laser period, g2(0) and lifetime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.counting import check_count_rates
from cryopl_bluesky.analysis.g2 import PulsedG2, accidentals_per_peak, block_areas, g2_of_areas, pulsed_g2
from cryopl_bluesky.analysis.lifetimes import DecayFit, fit_decay
from cryopl_bluesky.analysis.photons import CrossCorrelation, RateTrace, accumulate
from cryopl_bluesky.analysis.repetition import RepetitionRate, find_repetition_rate
from cryopl_bluesky.figures._data import G2
from cryopl_bluesky.figures.fits import g2_problems
from cryopl_bluesky.files import PhotonFile
from cryopl_bluesky.reports.correlations import G2Numbers, SignalFractions, g2_numbers
from cryopl_bluesky.reports.decays import DecayNumbers, decay_numbers, spad_difference
from cryopl_bluesky.reports.origins import origin_of_files
from cryopl_bluesky.reports.results import Report, Value

MOST_SIDE_PEAKS, FEWEST_SIDE_PEAKS = 1000, 50
PARTNERS = 50.0
"""Side peaks end where a click would have more partners than this: memory and time."""
BLOCKS = 50
TRACE_S = 0.01
TAIL_AFTER_NS = 0.4
"""Setting: a decay without a measured response is fitted from this long after its maximum (at least 3 bins)."""
REACHES_US = (2.2, 50.0)
"""Delays up to which pairs are looked at to find the laser period, the short ones first."""
_DRAWN_PERIODS = 15.5


@dataclass(frozen=True)
class Trace:
    """Counts of both detectors in successive bins of time.

    Attributes:
        bin_s: length of a bin.
        mean: counts per bin.
        maximum: highest count.
        variance_over_mean: 1 for light of constant intensity, above it for blinking.
    """

    bin_s: float
    mean: float
    maximum: int
    variance_over_mean: float


@dataclass(frozen=True, kw_only=True)
class PhotonFileReport(Report):
    """Photons one by one.

    Attributes:
        mode: "T2" or "T3".
        duration_s: of the acquisition.
        records: in the file.
        dropped: records that are no photons.
        counts: photons by channel.
        rates_Hz: mean rates by channel.
        smallest_gap_ns: between clicks of one channel: its dead time, if it counts fast enough.
        detectors: channels taken as SPAD 1 and SPAD 2.
        trace: intensity in time; None for a recording shorter than two bins.
        repetition_rate_Hz: of the laser; measured where the file does not know it; None if there are no pulses.
        period_ns: laser period.
        g2: None if there is none (see `warnings`).
        decay: lifetime of both detectors together by a fit of the tail; None if the file has no delays, or no fit.
    """

    mode: str
    duration_s: float
    records: int
    dropped: int
    counts: Mapping[int, int]
    rates_Hz: Mapping[int, Value]
    smallest_gap_ns: Mapping[int, float]
    detectors: tuple[int, int]
    trace: Trace | None
    repetition_rate_Hz: Value | None
    period_ns: Value | None
    g2: G2Numbers | None
    decay: DecayNumbers | None


def report_photon_file(
    photons: PhotonFile,
    *,
    period_ns: float | None = None,
    side_peaks: int | None = None,
    rho: SignalFractions | None = None,
    rho_err: SignalFractions = (0.0, 0.0),
) -> PhotonFileReport:
    """Rates, g2(0) and lifetime of a file of photons.

    Args:
        photons: from `files.read_file`.
        period_ns: laser period for T2 files; None: it is found from the photons.
        side_peaks: highest |k| of the side peaks; None: 1000, or fewer (at least 50) where the rates are high.
        rho: signal fractions of the two detectors.
        rho_err: their errors.

    Raises:
        AnalysisError: less than two detectors, or a bad period or signal fraction.
    """
    channels, numbers = np.unique(photons.channels, return_counts=True)
    counts = dict(zip(channels.tolist(), numbers.tolist(), strict=True))
    if len(counts) < 2:
        raise AnalysisError(f"{photons.facts.name} holds photons of one channel only ({counts}); g2 needs two.")
    one, two = sorted(sorted(counts, key=lambda channel: -counts[channel])[:2])
    singles = (counts[one], counts[two])
    warnings, notes = list(photons.facts.warnings), []
    if len(counts) > 2:
        notes.append(f"{len(counts)} channels: the two brightest, {one} and {two}, are taken as SPAD 1 and SPAD 2")
    rate = _laser(photons, (one, two), singles, period_ns, warnings)
    result = drawn = fit = None
    if rate is not None:
        drawn = _histogram(photons.times_ps, photons.channels, (one, two), rate, _DRAWN_PERIODS, 400)
        try:
            result = _correlation(photons, (one, two), singles, rate, side_peaks)
        except AnalysisError as error:
            warnings.append(f"no g2(0): {error}")
    if result is not None and drawn is not None:
        if rho is not None:
            result = result.with_background(rho, rho_err)
        warnings += g2_problems(drawn, result)
    if photons.delay_bins is not None:
        fit = _lifetime(photons, (one, two), warnings)
    rates = {
        channel: Value(n / photons.duration_s, float(np.sqrt(n)) / photons.duration_s, "Hz")
        for channel, n in counts.items()
    }
    return PhotonFileReport(
        measurement=f"photons ({photons.mode})", origin=origin_of_files(photons.facts),
        method="pairs counted by laser pulse" if photons.pulses is not None else "pairs counted by delay",
        notes=tuple(notes), warnings=tuple(warnings), data=drawn, fit=result, mode=photons.mode,
        duration_s=photons.duration_s, records=photons.records, dropped=photons.dropped, counts=counts, rates_Hz=rates,
        smallest_gap_ns={channel: _gap_ns(photons, channel) for channel in counts}, detectors=(one, two),
        trace=_trace(photons, (one, two)),
        repetition_rate_Hz=None if rate is None else Value(rate.rate_Hz, rate.rate_err_Hz or None, "Hz"),
        period_ns=None if rate is None else Value(rate.period_ns, rate.period_err_ns or None, "ns"),
        g2=None if result is None else g2_numbers(result), decay=None if fit is None else decay_numbers(fit),
    )  # fmt: skip


def _laser(
    photons: PhotonFile, pair: tuple[int, int], singles: tuple[int, int], period_ns: float | None, warnings: list[str]
) -> RepetitionRate | None:
    """The laser as the file, the user or the photons say; exact ones have no error."""
    known_ns = photons.period_ps * 1e-3 if photons.period_ps is not None else period_ns
    if known_ns is not None:
        if not (np.isfinite(known_ns) and known_ns > 0):
            raise AnalysisError(f"period_ns is {known_ns!r} but must be a finite number above zero.")
        return RepetitionRate(1e9 / known_ns, 0.0, known_ns, 0.0, 0.0, 0.0, 1.0, 0, "known")
    trouble = ""
    for reach_us in REACHES_US:
        binwidth_ps = max(1, round(reach_us * 30))
        pairs = CrossCorrelation(*pair, binwidth_ps, 2 * round(reach_us * 1e6 / binwidth_ps) + 1)
        accumulate([(photons.times_ps, photons.channels)], pairs)
        try:
            return find_repetition_rate(pairs.counts, binwidth_ps, singles)
        except AnalysisError as error:
            trouble = str(error)
    warnings.append(f"no laser period, so no g2(0): {trouble}")
    return None


def _correlation(
    photons: PhotonFile, pair: tuple[int, int], singles: tuple[int, int], rate: RepetitionRate, wanted: int | None
) -> PulsedG2:
    """g2(0), with the error by blocks if there is enough for it."""
    period_ps = rate.period_ns * 1e3
    side_peaks = wanted
    if side_peaks is None:
        affordable = PARTNERS / (2.0 * max(singles) / photons.duration_s * rate.period_ns * 1e-9)
        side_peaks = int(np.clip(affordable, FEWEST_SIDE_PEAKS, MOST_SIDE_PEAKS))
    if photons.pulses is not None:
        # Times of the pulses, not of the photons: a delay is a whole number of periods.
        whole_ps = max(1, round(period_ps))
        times_ps = photons.pulses * whole_ps
        pulses = int(photons.pulses[-1] - photons.pulses[0]) + 1
        pairs = CrossCorrelation(*pair, whole_ps, 2 * side_peaks + 1)
        accumulate([(times_ps, photons.channels)], pairs)
        result = g2_of_areas(
            np.arange(-side_peaks, side_peaks + 1), pairs.counts, rate.period_ns, side_peaks=side_peaks,
            accidentals=accidentals_per_peak(*singles, pulses),
        )  # fmt: skip
        return _with_blocks(result, times_ps, photons, pair, float(whole_ps), 0.0)
    fine = _histogram(photons.times_ps, photons.channels, pair, rate, side_peaks + 0.5 + 1.0, 3000)
    result = pulsed_g2(
        fine.counts, float(fine.delay_ns[1] - fine.delay_ns[0]) * 1e3, rate.period_ns,
        offset_ns=rate.offset_ns if rate.pairs else None, side_peaks=side_peaks,
        accidentals=accidentals_per_peak(*singles, photons.duration_s * 1e9 / rate.period_ns),
    )  # fmt: skip
    return _with_blocks(result, photons.times_ps, photons, pair, period_ps, result.offset_ns * 1e3)


def _histogram(
    times_ps: NDArray[np.int64], channels: NDArray[np.int8], pair: tuple[int, int], rate: RepetitionRate,
    periods: float, bins_per_period: int,
) -> G2:  # fmt: skip
    binwidth_ps = max(1, round(rate.period_ns * 1e3 / bins_per_period))
    pairs = CrossCorrelation(*pair, binwidth_ps, 2 * round(periods * rate.period_ns * 1e3 / binwidth_ps) + 1)
    accumulate([(times_ps, channels)], pairs)
    return G2(pairs.delays_ps * 1e-3, pairs.counts, rate.period_ns, rate.offset_ns if rate.pairs else None)


def _with_blocks(
    result: PulsedG2, times_ps: NDArray[np.int64], photons: PhotonFile, pair: tuple[int, int], period_ps: float,
    offset_ps: float,
) -> PulsedG2:  # fmt: skip
    first, second = (times_ps[photons.channels == channel] for channel in pair)
    try:
        blocks = block_areas(
            first, second, period_ps, block_s=0.999 * photons.duration_s / BLOCKS, offset_ps=offset_ps,
            peaks=result.k_range[1],
        )  # fmt: skip
        return result.with_bootstrap(blocks)
    except AnalysisError as error:
        return replace(result, notes=(*result.notes, f"no error by blocks: {error}"))


def _lifetime(photons: PhotonFile, pair: tuple[int, int], warnings: list[str]) -> DecayFit | None:
    """Fit of the tail, detectors together; each alone only to compare them."""
    assert photons.delay_bins is not None and photons.period_ps is not None and photons.tcspc_ps is not None
    bins = int(photons.period_ps / photons.tcspc_ps + 1e-6)
    decays = [np.bincount(photons.delay_bins[photons.channels == channel], minlength=bins)[:bins] for channel in pair]
    rates = {f"channel {channel}": int(n.sum()) / photons.duration_s for channel, n in zip(pair, decays, strict=True)}
    measurement: Literal["decay"] = "decay"
    warnings += [
        finding.text for finding in check_count_rates(rates, 1e12 / photons.period_ps, measurement=measurement)
    ]
    fits: dict[str, DecayNumbers] = {}
    for name, counts in zip(rates, decays, strict=True):
        try:
            fits[name] = decay_numbers(fit_tail(counts, photons.tcspc_ps, photons.period_ps * 1e-3))
        except AnalysisError as error:
            warnings.append(f"{name}: no lifetime: {error}")
    warnings += spad_difference(fits)
    try:
        return fit_tail(decays[0] + decays[1], photons.tcspc_ps, photons.period_ps * 1e-3)
    except AnalysisError as error:
        warnings.append(f"no lifetime: {error}")
        return None


def fit_tail(counts: NDArray[np.integer], binwidth_ps: float, period_ns: float | None) -> DecayFit:
    """Fit one or two exponentials (by BIC) to a decay whose response is not known, from shortly after its maximum."""
    after = max(3, int(np.ceil(TAIL_AFTER_NS * 1e3 / binwidth_ps)))
    lit = np.flatnonzero(counts)
    begin, stop = int(np.argmax(counts)) + after, int(lit[-1]) + 1 if lit.size else len(counts)
    if period_ns is not None:
        stop = len(counts)
    return fit_decay(counts, binwidth_ps, period_ns, components="bic", fit_bins=(begin, stop), method="tail")


def _trace(photons: PhotonFile, pair: tuple[int, int]) -> Trace | None:
    trace = RateTrace(list(pair), round(TRACE_S * 1e12))
    accumulate([(photons.times_ps, photons.channels)], trace)
    both = trace.counts.sum(axis=0)[:-1]  # the last bin is shorter
    if both.size < 2 or not both.any():
        return None
    return Trace(TRACE_S, float(both.mean()), int(both.max()), float(both.var() / both.mean()))


def _gap_ns(photons: PhotonFile, channel: int) -> float:
    times_ps = photons.times_ps[photons.channels == channel]
    return float(np.diff(times_ps).min()) * 1e-3 if len(times_ps) > 1 else float("nan")
