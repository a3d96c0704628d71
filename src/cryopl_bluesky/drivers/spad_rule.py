"""When the SPADs are in danger: the decision alone, without clock, thread or instrument.

Counts come in fine bins, a tenth of the bins that the limits are for, and every window of fine bins is compared with
the limits: a step of light is seen a tenth of a bin later at most, whatever its phase. The numbers are the design
values of facts on the SPADs (`facts/picoquant.md` section 12); all of them are settings of the profile.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.config import GuardSettings

FINE_BINS = 10
"""Fine bins in a bin."""
DARK_WINDOW_S = 0.2
"""A dark rate is the mean of the last time this long."""
_SETTLE_S = 0.1  # counts this soon after closing are not dark counts yet
_DARK_MEMORY_S = 100.0
_MISSING = 30.0  # expected counts that did not come: chance 1e-13
_MEAN_WEIGHT = 0.2


def fine_bin_s(limits: GuardSettings) -> float:
    """Width of the bins to count in."""
    return limits.bin_s / FINE_BINS


Counts = NDArray[np.integer]


class GuardRule:
    """Looks at the counts of both SPADs, piece after piece.

    Args:
        limits: what is accepted.
    """

    def __init__(self, limits: GuardSettings):
        self.limits = limits
        self._fine_s = fine_bin_s(limits)
        self._sustained = max(FINE_BINS, round(limits.sustained_s / self._fine_s))
        self._dark_window = round(DARK_WINDOW_S / self._fine_s)
        self._least = min(
            limits.single_bin_Hz * limits.bin_s,
            limits.twice_Hz * limits.bin_s,
            limits.sustained_Hz * self._sustained * self._fine_s,
        )
        self._bright = limits.twice_Hz * self._fine_s
        self._kept = max(self._sustained, self._dark_window)
        self._pieces: deque[tuple[Counts, int]] = deque()
        self._kept_bins = self._kept_counts = 0
        self.suspicious = False
        self._open = False
        self._in_the_dark = -round(_SETTLE_S / self._fine_s)
        self._dark_counts, self._dark_s = [0.0, 0.0], 0.0
        self._mean_Hz, self._missing = [0.0, 0.0], [0.0, 0.0]

    # ---- the path

    def path(self, is_open: bool) -> None:
        """From the next counts on, light can reach the SPADs or cannot."""
        if is_open != self._open:
            self._open = is_open
            self._in_the_dark = -round(_SETTLE_S / self._fine_s)
            self._mean_Hz, self._missing = [0.0, 0.0], [0.0, 0.0]

    # ---- the counts

    def examine(self, counts: Counts, complete: bool = True) -> str:
        """Take the next counts.

        Args:
            counts: (2, n) counts of SPAD 1 and SPAD 2 in the next n fine bins, n > 0.
            complete: no tags were lost in them.

        Returns:
            What is wrong, with the value and the limit; "" when all is well.
        """
        first, second = counts.tolist()  # of a few numbers Python makes sums faster than numpy
        numbers = sum(first), sum(second)
        self._keep(counts, max(numbers))
        self.suspicious = max(first[-1], second[-1]) > self._bright
        # No window can hold more than all of them together: mostly that is all there is to do.
        found = self._too_bright() if self._kept_counts > self._least else ""
        if self._open:
            return found or self._too_silent(numbers, counts.shape[1] * self._fine_s, complete)
        self._note_darks(counts)
        return found

    def _keep(self, counts: Counts, number: int) -> None:
        """Keep these counts, and enough of the earlier ones for a window that ends in the first of these."""
        pieces, new = self._pieces, counts.shape[1]
        pieces.append((counts, number))
        self._kept_bins += new
        self._kept_counts += number
        while self._kept_bins - new - pieces[0][0].shape[1] >= self._kept:
            old, number = pieces.popleft()
            self._kept_bins -= old.shape[1]
            self._kept_counts -= number

    def _last(self, bins: int) -> Counts:
        """(2, n) counts of the last `bins` fine bins, or of those there are."""
        if not self._pieces:
            return np.zeros((2, 0), np.int64)
        return np.concatenate([piece for piece, _ in self._pieces], axis=1)[:, -bins:].astype(np.int64)

    def rates_Hz(self) -> tuple[float, float]:
        """Rates of both SPADs in the last bin."""
        first, second = self._last(FINE_BINS).sum(axis=1)
        return float(first / self.limits.bin_s), float(second / self.limits.bin_s)

    def _too_bright(self) -> str:
        series = self._last(self._kept_bins)
        # The beginning counts as dark, so that there is a window of each length.
        cumulated = np.pad(np.cumsum(series, axis=1), ((0, 0), (self._sustained, 0)))
        limits, bin_ms = self.limits, self.limits.bin_s * 1e3
        in_bin = (cumulated[:, FINE_BINS:] - cumulated[:, :-FINE_BINS]) / limits.bin_s
        in_two = np.minimum(in_bin[:, FINE_BINS:], in_bin[:, :-FINE_BINS])
        lasting = cumulated[:, self._sustained :] - cumulated[:, : -self._sustained]
        lasting_Hz = lasting / (self._sustained * self._fine_s)
        for rates_Hz, name, limit_Hz, when in (
            (in_bin, "single_bin_Hz", limits.single_bin_Hz, f"in a bin of {bin_ms:g} ms"),
            (in_two, "twice_Hz", limits.twice_Hz, f"in two bins of {bin_ms:g} ms in a row"),
            (lasting_Hz, "sustained_Hz", limits.sustained_Hz, f"over {limits.sustained_s:g} s"),
        ):
            highest_Hz = rates_Hz.max(axis=1)
            if highest_Hz.max() > limit_Hz:
                spad = int(highest_Hz.argmax())
                return f"SPAD {spad + 1} counted {highest_Hz[spad]:.3g} Hz {when}, above {name}={limit_Hz:g}"
        return ""

    # ---- sudden silence

    def _too_silent(self, numbers: tuple[int, int], seconds: float, complete: bool) -> str:
        """Whether a SPAD that was lit counts nothing at all, not even darks.

        Legitimate darkness (a laser that was locked, a part on its way) leaves the dark counts. So a silent SPAD
        is blamed for the dark counts that it should have, and for all of its counts while the other one still
        gets its light.
        """
        if not complete:
            self._missing = [0.0, 0.0]
            return ""
        for spad, number in enumerate(numbers):
            mean_Hz, other_Hz = self._mean_Hz[spad], self._mean_Hz[1 - spad]
            if number:
                self._missing[spad] = 0.0
                self._mean_Hz[spad] = mean_Hz + _MEAN_WEIGHT * (number / seconds - mean_Hz)
            elif mean_Hz >= self.limits.zero_from_Hz:
                still_lit = other_Hz >= self.limits.zero_from_Hz and numbers[1 - spad] >= 0.5 * other_Hz * seconds
                expected = (mean_Hz if still_lit else self._least_dark_Hz(spad)) * seconds
                # Two pieces at least: the light may have gone away in the middle of one.
                self._missing[spad] += min(expected, _MISSING / 2)
                if self._missing[spad] >= _MISSING:
                    return (
                        f"SPAD {spad + 1} fell silent: it counted {mean_Hz:.3g} Hz (zero_from_Hz="
                        f"{self.limits.zero_from_Hz:g}) and then nothing where {_MISSING:g} counts were due"
                    )
        return ""

    def _least_dark_Hz(self, spad: int) -> float:
        """The dark rate that this SPAD has at least: three standard deviations below what was seen.

        More than the baseline is not believed: it may have been light that leaked in.
        """
        seen = self._dark_counts[spad]
        least_Hz = max(0.0, seen - 3.0 * sqrt(seen)) / self._dark_s if self._dark_s > 0 else 0.0
        return min(least_Hz, self.limits.baseline_dark_Hz)

    # ---- darkness

    def dark_rates_Hz(self) -> tuple[float, float] | None:
        """Dark rates of both SPADs in the last 0.2 s, None when the path was not closed that long."""
        if self._open or self._in_the_dark < self._dark_window:
            return None
        first, second = self._last(self._dark_window).sum(axis=1) / (self._dark_window * self._fine_s)
        return float(first), float(second)

    def _note_darks(self, counts: Counts) -> None:
        new = counts.shape[1]
        self._in_the_dark += new
        dark = min(new, self._in_the_dark)
        if dark > 0:
            seconds = dark * self._fine_s
            kept = max(0.0, 1.0 - seconds / _DARK_MEMORY_S)
            numbers = counts[:, -dark:].sum(axis=1)
            self._dark_counts = [kept * old + float(n) for old, n in zip(self._dark_counts, numbers, strict=True)]
            self._dark_s = kept * self._dark_s + seconds
