"""The report of a decay as text, with or without a measured instrument response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.lifetimes import fit_decay, prepare_irf
from cryopl_bluesky.analysis.unweighted_decay import fit_unweighted
from cryopl_bluesky.figures._data import Decay
from cryopl_bluesky.files import DecayFile
from cryopl_bluesky.reports.decays import DecayNumbers, decay_numbers
from cryopl_bluesky.reports.origins import origin_of_files
from cryopl_bluesky.reports.photon_files import fit_tail
from cryopl_bluesky.reports.results import Report, Value

BEFORE_NS, AFTER_NS = 5.0, 70.0
"""Setting: a decay is fitted from so long before its maximum to so long after it, as far as it was recorded."""
IRF_CLEAR_NS = 2.0
"""Setting: the background of a response is that of its bins up to so long before its maximum."""


@dataclass(frozen=True, kw_only=True)
class DecayFileReport(Report):
    """Lifetimes of a decay in a file.

    Attributes:
        binwidth_ps: width of a channel.
        counts: all counts.
        peak_counts: highest channel.
        peak_channel: its index, from 0.
        irf_fwhm_ns: width of the response; None without one.
        fit_bins: first channel fitted and one past the last.
        decay: Poisson likelihood; None without a trustworthy fit (see `warnings`).
        tau_int_unweighted_ns: intensity average by unweighted least squares with two exponentials, as other programs
            give it; to compare, without error. None without a response.
    """

    binwidth_ps: float
    counts: int
    peak_counts: int
    peak_channel: int
    irf_fwhm_ns: float | None
    fit_bins: tuple[int, int]
    decay: DecayNumbers | None
    tau_int_unweighted_ns: Value | None


def report_decay_file(
    data: DecayFile, irf: DecayFile | None = None, *, period_ns: float | None = None,
    fit_bins: tuple[int, int] | None = None,
) -> DecayFileReport:  # fmt: skip
    """Mean lifetimes of a decay.

    Args:
        data: from `files.read_file`.
        irf: measured response of the same instrument and bin width; None: the tail alone is fitted.
        period_ns: laser period, if earlier pulses reach into the decay; None: a single pulse.
        fit_bins: first channel to fit and one past the last; None: from 5 ns before the maximum to 70 ns after it.

    Raises:
        AnalysisError: a response of another bin width or length, or an empty decay.
    """
    counts = data.counts
    if not counts.any():
        raise AnalysisError(f"{data.facts.name} holds no counts.")
    response = None if irf is None else _response(data, irf)
    window = fit_bins or _window(counts, data.binwidth_ps)
    warnings, fit, unweighted = [*data.facts.warnings, *(irf.facts.warnings if irf else ())], None, None
    try:
        if response is None:
            fit = fit_tail(counts, data.binwidth_ps, period_ns)
            window = _fitted(fit.delay_ns, data.binwidth_ps)
        else:
            fit = fit_decay(counts, data.binwidth_ps, period_ns, irf=response, components="bic", fit_bins=window)
    except AnalysisError as error:
        warnings.append(f"no lifetime: {error}")
    if response is not None and period_ns is None:
        try:
            unweighted = fit_unweighted(counts, data.binwidth_ps, response, fit_bins=window).tau_int_ns
        except AnalysisError as error:
            warnings.append(f"no unweighted fit: {error}")
    notes = fit.notes if fit else ()
    if fit is not None and response is None:
        notes += ("no response was given (irf): the averages are those of the tail, fast components are not in them",)
    if fit is not None and not fit.good:
        warnings.append("the fit does not describe the decay: do not quote its lifetimes")
    delay_ns = (np.arange(counts.size) + 0.5) * data.binwidth_ps * 1e-3
    return DecayFileReport(
        measurement="decay", origin=origin_of_files(data.facts, *([irf.facts] if irf else [])),
        method=fit.method if fit else "", notes=notes, warnings=tuple(warnings),
        data=Decay(delay_ns, counts, period_ns, irf=response, label=data.facts.name), fit=fit,
        binwidth_ps=data.binwidth_ps, counts=int(counts.sum()), peak_counts=int(counts.max()),
        peak_channel=int(counts.argmax()), irf_fwhm_ns=None if irf is None else _fwhm_ns(irf), fit_bins=window,
        decay=None if fit is None else decay_numbers(fit),
        tau_int_unweighted_ns=None if unweighted is None else Value(unweighted, None, "ns"),
    )  # fmt: skip


def _response(data: DecayFile, irf: DecayFile) -> NDArray[np.float64]:
    """The response without its background; nothing is cut away."""
    if abs(irf.binwidth_ps / data.binwidth_ps - 1.0) > 1e-4:
        raise AnalysisError(
            f"{irf.facts.name} has channels of {irf.binwidth_ps:g} ps, {data.facts.name} of {data.binwidth_ps:g} ps; "
            "measure the response with the channels of the decay."
        )
    if irf.counts.size != data.counts.size or not irf.counts.any():
        raise AnalysisError(
            f"{irf.facts.name} has {irf.counts.size} channels and {int(irf.counts.sum())} counts, {data.facts.name} "
            f"has {data.counts.size} channels; give a response of the same range."
        )
    first = int(np.flatnonzero(irf.counts)[0])
    last = int(irf.counts.argmax()) - int(IRF_CLEAR_NS * 1e3 / irf.binwidth_ps)
    if last - first < 10:  # it begins with the pulse: nothing to take the background from
        return irf.counts.astype(np.float64)
    return prepare_irf(irf.counts, slice(first, last), slice(first, int(np.flatnonzero(irf.counts)[-1]) + 1))


def _window(counts: NDArray[np.int64], binwidth_ps: float) -> tuple[int, int]:
    lit, peak = np.flatnonzero(counts), int(counts.argmax())
    before, after = (int(length * 1e3 / binwidth_ps) for length in (BEFORE_NS, AFTER_NS))
    # the first and last channels that were recorded may be cut short
    return max(int(lit[0]) + 1, peak - before), min(int(lit[-1]), peak + after)


def _fitted(delay_ns: NDArray[np.float64], binwidth_ps: float) -> tuple[int, int]:
    first = round(float(delay_ns[0]) * 1e3 / binwidth_ps - 0.5)
    return first, first + delay_ns.size


def _fwhm_ns(irf: DecayFile) -> float:
    above = np.count_nonzero(irf.counts >= 0.5 * irf.counts.max())
    return float(above) * irf.binwidth_ps * 1e-3
