"""What only the time tags can say about a g2(0): its error where the source blinks."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ._checks import AnalysisError, positive
from ._g2_blocks import FEWEST_BLOCKS, PS_PER_S, BlockAreas
from ._g2_peaks import Counts, delay_axis_ns, peak_areas
from .photons import CrossCorrelation

BLOCKS = 100
"""Blocks of a measurement when nobody names their length; their error is then known to 7 %."""
_BINS_PER_PERIOD = 400


def block_areas_of_tags(
    chunks: Iterable[tuple[NDArray[np.int64], NDArray[np.int8]]],
    spad1: int,
    spad2: int,
    period_ns: float,
    *,
    block_s: float,
    offset_ns: float = 0.0,
    peaks: int = 50,
) -> BlockAreas:
    """Pairs by peak in successive blocks of time, from a stream of tags in bounded memory.

    Pairs across the border of two blocks are left out, and so is the last block, which is shorter.

    Args:
        chunks: times in ps and channel numbers of one acquisition, piece by piece.
        spad1: channel of SPAD 1.
        spad2: channel of SPAD 2.
        period_ns: laser period.
        block_s: length of a block; choose it well above the blinking time.
        offset_ns: delay of the central peak.
        peaks: count 0 <= |k| <= peaks.

    Raises:
        AnalysisError: less than 20 blocks, or blocks shorter than the peaks reach.
    """
    period, block_ps = positive("period_ns", period_ns), round(positive("block_s", block_s) * PS_PER_S)
    if block_ps < 10 * (2 * peaks + 1) * period * 1e3:
        raise AnalysisError(
            f"block_s {block_s:g} s is not ten times the {2 * peaks + 1} periods of the peaks; give longer blocks."
        )
    binwidth_ps = max(1, round(period * 1e3 / _BINS_PER_PERIOD))
    half_bins = round((peaks + 0.5) * period * 1e3 / binwidth_ps + abs(offset_ns) * 1e3 / binwidth_ps) + 1
    rows: list[Counts] = []

    def new() -> CrossCorrelation:
        return CrossCorrelation(spad1, spad2, binwidth_ps, 2 * half_bins + 1)

    def close(pairs: CrossCorrelation) -> None:
        delay_ns = delay_axis_ns(2 * half_bins + 1, binwidth_ps / 1e3)
        k, areas = peak_areas(pairs.counts.astype(np.float64), delay_ns, period, offset_ns, None)
        rows.append(areas[np.abs(k) <= peaks])

    pairs, end_ps = new(), None
    for times, channels in chunks:
        if len(times) == 0:
            continue
        end_ps = int(times[0]) + block_ps if end_ps is None else end_ps
        borders = np.arange(end_ps, int(times[-1]) + 1, block_ps)
        cuts = [0, *np.searchsorted(times, borders).tolist(), len(times)]
        for number, (first, stop) in enumerate(pairwise(cuts)):
            if number:
                close(pairs)
                pairs, end_ps = new(), end_ps + block_ps
            pairs.add(times[first:stop], channels[first:stop])
    if len(rows) < FEWEST_BLOCKS:
        raise AnalysisError(
            f"block_s {block_s:g} s gives {len(rows)} whole blocks, fewer than {FEWEST_BLOCKS}; "
            "give shorter blocks or record longer."
        )
    return BlockAreas(np.arange(-peaks, peaks + 1), np.array(rows), block_s)
