"""Recorded photons as the tag stream: a PicoQuant file takes the place of the photon generator.

The file plays only while something measures and the laser's light can reach the SPADs; in between it pauses, so
that no recorded photon is lost to a pause (a `Counter` alone, which may be a watchdog's, sees dark counts then).
After its end there is silence: no loop, no generated photons, no dark counts (the recorded ones are in the file).
Of T3 files the laser pulses come from the sync counter:
pulse n at `n * period`, the photon at `n * period + dtime`. T2 files carry no laser pulses; those of the
virtual laser are used, which have no relation to the photons.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryopl_bluesky.sim.timetagger.source import PS_PER_S, Times


@dataclass
class Recording:
    """Photons of a file.

    Attributes:
        clicks: int64 times of the first and of the second detector, ps since the file's start, in time order.
        period_ps: laser period of a T3 file, None for T2.
        position_ps: how far the file has been played.
    """

    clicks: tuple[Times, Times]
    period_ps: float | None
    position_ps: int = 0

    def play(self, start_ps: int, stop_ps: int) -> tuple[Times, Times]:
        """The next `stop_ps - start_ps` of the file.

        Returns:
            Clicks of both detectors with times from `start_ps` on.
        """
        begin, end = self.position_ps, self.position_ps + stop_ps - start_ps
        self.position_ps = end
        first, second = (
            clicks[slice(*np.searchsorted(clicks, [begin, end]))] + (start_ps - begin)
            for clicks in self.clicks
        )
        return first, second


def read_recording(path: Path) -> Recording:
    """Read the photons of a PicoQuant PTU file (T2 or T3) with its two lowest detector channels.

    Args:
        path: the file.

    Returns:
        The recording, at its beginning.

    Raises:
        ValueError: it has less than two detectors.
    """
    import ptufile

    with ptufile.PtuFile(path) as ptu:
        records = ptu.decode_records()
        is_photon = records["channel"] >= 0
        if "marker" in (records.dtype.names or ()):
            is_photon &= records["marker"] == 0
        records = records[is_photon]
        channels = np.unique(records["channel"])
        if len(channels) < 2:
            raise ValueError(f"{path} has photons of {len(channels)} detector(s); two are needed")
        period_ps = None
        if ptu.is_t3:
            period_ps = ptu.global_resolution * PS_PER_S
            times = np.rint(records["time"].astype(np.int64) * period_ps).astype(np.int64)
            times += np.rint(records["dtime"] * (ptu.tcspc_resolution * PS_PER_S)).astype(np.int64)
        else:
            times = np.rint(records["time"].astype(np.int64) * (ptu.global_resolution * PS_PER_S)).astype(
                np.int64
            )
        first, second = (np.sort(times[records["channel"] == channel]) for channel in channels[:2])
    return Recording((first, second), period_ps)
