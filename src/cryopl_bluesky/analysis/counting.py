"""Dead time and pile-up of single-photon counting: how large they are, when to worry, how to undo them.

A SPAD is blind for its dead time after each click (not extended by photons that arrive meanwhile). That lowers
rates, and in a decay histogram it hides photons behind earlier ones: lifetimes come out short.

    >>> round(true_rate_Hz(0.65e6, dead_time_ns=77) / 0.65e6, 3)
    1.053
    >>> for finding in check_count_rates({"SPAD 1": 60e3, "SPAD 2": 9e3}, 2.5e6, measurement="decay"):
    ...     print(finding.level, finding.text.split(":")[0])
    warning SPAD 1 sees 2.4 % of the laser pulses, above 1 %
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._checks import AnalysisError, Floats, count_array, positive

SPAD_DEAD_TIME_NS = 77.0
"""Of the detectors' class (facts/picoquant.md, section 11); an estimate: give the measured one."""
LIFETIMES_APART = 5.0
"""Coates' formula needs the dead time, and the rest of the period, this many lifetimes long (e^-5 = 0.7 %)."""

Quantity = Literal["pile_up", "blind_fraction", "sustained_rate", "tag_rate"]


@dataclass(frozen=True)
class CountLimits:
    """Where count rates begin to spoil data (facts/picoquant.md, section 12: design values, to be set per setup).

    Attributes:
        pile_up_warning: Detections per laser pulse and SPAD above which a lifetime shifts noticeably.
        pile_up_error: Above this a lifetime is wrong without a correction.
        g2_pile_up_warning: Above this a pulsed g2(0) may be low.
        blind_warning: Fraction of the time in which a SPAD is blind.
        sustained_Hz: Rate that a SPAD should not see for long.
        tags_warning_Hz: Sum of all tags per second.
        tags_error_Hz: Sum that the tagger's link does not carry.
    """

    pile_up_warning: float = 0.01
    pile_up_error: float = 0.05
    g2_pile_up_warning: float = 0.05
    blind_warning: float = 0.05
    sustained_Hz: float = 1e6
    tags_warning_Hz: float = 30e6
    tags_error_Hz: float = 50e6

    def __post_init__(self) -> None:
        for limit in fields(self):
            positive(limit.name, getattr(self, limit.name))


@dataclass(frozen=True)
class Finding:
    """One count rate beyond its limit.

    Attributes:
        level: "warning": the data are usable with care. "error": not without a correction.
        name: The SPAD, or "tagger".
        quantity: What was compared.
        value: What was found, a fraction or in Hz.
        limit: The limit that it is above.
        text: Name, value, limit, consequence and remedy in words.
    """

    level: Literal["warning", "error"]
    name: str
    quantity: Quantity
    value: float
    limit: float
    text: str


def blind_fraction(measured_Hz: float, dead_time_ns: float = SPAD_DEAD_TIME_NS) -> float:
    """Fraction of the time in which a detector is blind: r tau."""
    return _rate("measured_Hz", measured_Hz) * positive("dead_time_ns", dead_time_ns) * 1e-9


def true_rate_Hz(measured_Hz: float, dead_time_ns: float = SPAD_DEAD_TIME_NS) -> float:
    """Rate without dead time, r/(1 - r tau).

    Raises:
        AnalysisError: A negative rate, or one that no detector of this dead time can show.
    """
    blind = blind_fraction(measured_Hz, dead_time_ns)
    if blind >= 1.0:
        raise AnalysisError(
            f"measured_Hz {measured_Hz:g} is at or above the saturation rate {1e9 / dead_time_ns:g} Hz "
            f"of a dead time of {dead_time_ns:g} ns; check the dead time, or look for double counts."
        )
    return measured_Hz / (1.0 - blind)


def detections_per_pulse(measured_Hz: float, repetition_rate_Hz: float) -> float:
    """Detections per laser pulse of one SPAD."""
    return _rate("measured_Hz", measured_Hz) / positive("repetition_rate_Hz", repetition_rate_Hz)


def check_count_rates(
    rates_Hz: Mapping[str, float],
    repetition_rate_Hz: float | None,
    *,
    measurement: Literal["decay", "g2", "rates"],
    dead_time_ns: float = SPAD_DEAD_TIME_NS,
    other_tags_Hz: float = 0.0,
    limits: CountLimits | None = None,
) -> tuple[Finding, ...]:
    """What a reader must know about the count rates of a measurement.

    Args:
        rates_Hz: Measured rate of each SPAD by name.
        repetition_rate_Hz: Laser rate; None for constant excitation or no light.
        measurement: What the rates are used for; pile-up is judged for "decay" and "g2".
        dead_time_ns: Of a SPAD.
        other_tags_Hz: Tags of further channels, such as the sync behind the conditional filter.
        limits: Where to warn; None for the default limits.

    Returns:
        Findings per SPAD in the order given, the tagger last; empty if all is well.

    Raises:
        AnalysisError: No rates, or a rate that is negative or not finite.
    """
    if not rates_Hz:
        raise AnalysisError("rates_Hz is empty; give the rate of at least one SPAD.")
    at = CountLimits() if limits is None else limits
    found: list[Finding | None] = []
    for name, rate_Hz in rates_Hz.items():
        blind = blind_fraction(rate_Hz, dead_time_ns)
        if repetition_rate_Hz is not None and measurement != "rates":
            found.append(_pile_up(name, detections_per_pulse(rate_Hz, repetition_rate_Hz), measurement, at))
        found.append(_finding(
            name, "blind_fraction", blind, at.blind_warning, None,
            f"{name} is blind for {_percent(blind)} of the time, above {{limit}}: attenuate, or correct the rate "
            "(true_rate_Hz)",
        ))  # fmt: skip
        found.append(_finding(
            name, "sustained_rate", rate_Hz, at.sustained_Hz, None,
            f"{name} counts {rate_Hz:.3g} Hz, above {{limit}} for long: attenuate to spare it",
        ))  # fmt: skip
    tags_Hz = sum(rates_Hz.values()) + _rate("other_tags_Hz", other_tags_Hz)
    found.append(_finding(
        "tagger", "tag_rate", tags_Hz, at.tags_warning_Hz, at.tags_error_Hz,
        f"tagger: {tags_Hz:.3g} tags/s in all, above {{limit}}: tags get lost; attenuate, or filter the sync",
    ))  # fmt: skip
    return tuple(finding for finding in found if finding is not None)


def _pile_up(name: str, mu: float, measurement: str, at: CountLimits) -> Finding | None:
    seen = f"{name} sees {_percent(mu)} of the laser pulses, above {{limit}}: "
    if measurement == "g2":
        return _finding(
            name, "pile_up", mu, at.g2_pile_up_warning, None,
            seen + "second photons of a pulse are missed; repeat g2 at half the power",
        )  # fmt: skip
    return _finding(
        name, "pile_up", mu, at.pile_up_warning, at.pile_up_error,
        # The mean arrival of first photons is early by mu/4 to first order, whatever the lifetime.
        seen + f"the mean arrival is early by about {_percent(mu / 4)}; attenuate, or correct (live_time_correction)",
    )  # fmt: skip


def _finding(
    name: str, quantity: Quantity, value: float, warning: float, error: float | None, text: str
) -> Finding | None:
    """A finding if the value is above a limit; `{limit}` in the text is filled in."""
    if value <= warning:
        return None
    level, limit = ("error", error) if error is not None and value > error else ("warning", warning)
    shown = f"{limit:.3g} Hz" if quantity.endswith("rate") else _percent(limit)
    return Finding(level, name, quantity, value, limit, text.format(limit=shown))


def _percent(part: float) -> str:
    return f"{100.0 * part:.2g} %"


def _rate(name: str, rate_Hz: float) -> float:
    if not (np.isfinite(rate_Hz) and rate_Hz >= 0):
        raise AnalysisError(f"{name} is {rate_Hz!r} but must be a finite rate of zero or more.")
    return float(rate_Hz)


# --- decay histograms --------------------


def first_photon_histogram(probabilities: ArrayLike, mean_photons_per_cycle: float) -> Floats:
    """Pile-up: P_i = exp(-mu sum_{j<i} p_j)(1 - exp(-mu p_i)), chance of the first photon in bin i."""
    p = count_array("probabilities", probabilities)
    before = np.concatenate([[0.0], np.cumsum(p)[:-1]])
    return -np.exp(-mean_photons_per_cycle * before) * np.expm1(-mean_photons_per_cycle * p)


def coates_correction(
    counts: ArrayLike,
    cycles: float,
    *,
    period_ns: float,
    lifetime_ns: float,
    dead_time_ns: float = SPAD_DEAD_TIME_NS,
) -> Floats:
    """Undo pile-up: mean photons per cycle and bin, mu p_i = -ln(1 - N_i/(N_cycles - sum_{j<i} N_j)).

    Args:
        counts: Histogram of one SPAD, starting before the pulse, (n,).
        cycles: Laser cycles, rate x time (a filtered sync does not count them).
        period_ns: Laser period.
        lifetime_ns: Longest lifetime in the decay.
        dead_time_ns: Of the SPAD.

    Raises:
        AnalysisError: More counts than laser cycles, or a decay for which a SPAD may click twice in a cycle or
            be blind for the next pulse.
    """
    n = count_array("counts", counts)
    period, dead = positive("period_ns", period_ns), positive("dead_time_ns", dead_time_ns)
    room_ns = min(dead, period - dead)
    if positive("lifetime_ns", lifetime_ns) * LIFETIMES_APART > room_ns:
        raise AnalysisError(
            f"Coates' formula needs one click per cycle at most: {LIFETIMES_APART:g} lifetimes of {lifetime_ns:g} ns "
            f"must fit into the dead time of {dead:g} ns and into the rest of the period of {period:g} ns; "
            "use live_time_correction."
        )
    left = positive("cycles", cycles) - np.concatenate([[0.0], np.cumsum(n)[:-1]])
    if (left <= n).any():
        raise AnalysisError(
            f"{n.sum():g} counts cannot come from {cycles:g} laser cycles with one photon each."
        )
    return -np.log1p(-n / left)


def live_time_correction(
    counts: ArrayLike,
    cycles: float,
    *,
    binwidth_ps: float,
    period_ns: float,
    dead_time_ns: float = SPAD_DEAD_TIME_NS,
) -> Floats:
    """Undo dead time at any laser period: mean photons per cycle and bin from the cycles in which the SPAD was live.

    Every click hides the dead time behind it, over the end of the period if need be, so the histogram itself says
    in how many cycles each bin was hidden. For a period above the dead time and a short decay this is Coates'
    formula.

    Args:
        counts: Histogram of one SPAD over one laser period, all its clicks, (n,).
        cycles: Laser cycles, rate x time.
        binwidth_ps: Bin width.
        period_ns: Laser period; less than one bin of it may be missing at the end.
        dead_time_ns: Of the SPAD.

    Raises:
        AnalysisError: A histogram that does not cover one period, or more counts than there is time for.
    """
    n = count_array("counts", counts)
    dt, period = positive("binwidth_ps", binwidth_ps) / 1e3, positive("period_ns", period_ns)
    if not 0 <= period - n.size * dt + 1e-6 * dt < dt:
        raise AnalysisError(
            f"counts covers {n.size * dt:g} ns but must cover one period of {period:g} ns; record all its bins."
        )
    whole, rest_ns = divmod(positive("dead_time_ns", dead_time_ns), period)
    edges_ns, cumulative = np.arange(n.size + 1) * dt, np.concatenate([[0.0], np.cumsum(n)])
    middle_ns = edges_ns[:-1] + dt / 2
    began_ns = middle_ns - rest_ns
    hidden = np.interp(middle_ns, edges_ns, cumulative) - np.interp(began_ns % period, edges_ns, cumulative)
    hidden += n.sum() * (whole + (began_ns < 0))
    live = positive("cycles", cycles) - hidden + n / 2  # at the beginning of the bin
    if (live <= n).any():
        raise AnalysisError(
            f"{n.sum():g} counts with {dead_time_ns:g} ns of dead time each do not fit into {cycles:g} cycles of "
            f"{period:g} ns; check cycles and dead time."
        )
    return -np.log1p(-n / live)
