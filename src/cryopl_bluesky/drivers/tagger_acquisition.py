"""One synchronised acquisition of the Time Tagger: what to record, the measurements, and their data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, check_limits
from cryopl_bluesky.drivers.tag_tap import TagBlock, TagTap

Kind = Literal["rates", "decay", "g2", "tags"]

PS_PER_S = 1e12
_FULL = np.iinfo(np.int32).max
_SYNC_TOLERANCE = 1e-3
_MOST_BINS = 10_000_000
DURATION = "duration"
"""Stop reason of an acquisition that ran for the whole of its duration."""


@dataclass(frozen=True)
class AcquisitionSettings:
    """What one acquisition records.

    Attributes:
        duration_s: capture duration.
        decay_binwidth_ps: bin width of the decay histograms.
        decay_bins: number of their bins.
        g2_binwidth_ps: bin width of the correlation histogram.
        g2_bins: number of its bins; odd numbers are symmetric about zero delay.
        kinds: "rates" always comes with the others; "tags" = the time tags themselves.
        expect_sync: the laser should run; its measured rate is checked against the setting.
        allow_overflows: accept lost tags (their number is in the result) instead of failing.
        tag_buffer: time tags that may wait in memory for the disk.
        ttbin_path: also write the vendor's own file there; "" = do not.
    """

    duration_s: float
    decay_binwidth_ps: int = 16
    decay_bins: int = 25_000
    g2_binwidth_ps: int = 1_000
    g2_bins: int = 8_001
    kinds: frozenset[Kind] = frozenset({"rates"})
    expect_sync: bool = True
    allow_overflows: bool = False
    tag_buffer: int = 8_000_000
    ttbin_path: str = ""

    def check(self, instrument: str) -> None:
        """Refuse settings that cannot be measured.

        Args:
            instrument: name for the message.

        Raises:
            LimitError: names the setting, its value and the limit.
        """
        check_limits(instrument, "duration_s", self.duration_s, 1e-3, 1e6, "s")
        check_limits(instrument, "decay_binwidth_ps", self.decay_binwidth_ps, 1, 1e9, "ps")
        check_limits(instrument, "decay_bins", self.decay_bins, 1, _MOST_BINS)
        check_limits(instrument, "g2_binwidth_ps", self.g2_binwidth_ps, 1, 1e12, "ps")
        check_limits(instrument, "g2_bins", self.g2_bins, 1, _MOST_BINS)
        check_limits(instrument, "tag_buffer", self.tag_buffer, 10_000, 1e9)
        unknown = set(self.kinds) - set(get_args(Kind))
        if unknown:
            raise LimitError(
                instrument,
                f"kinds={sorted(unknown)} do not exist",
                f"choose from {', '.join(get_args(Kind))}",
            )


@dataclass(frozen=True)
class Acquisition:
    """Data of one acquisition.

    Attributes:
        spad1_counts: clicks of SPAD 1.
        spad2_counts: clicks of SPAD 2.
        spad1_rate_Hz: clicks per second of the capture duration.
        spad2_rate_Hz: same for SPAD 2.
        sync_rate_Hz: laser rate, measured during the acquisition; 0 without laser.
        capture_duration_s: true duration of the data.
        overflows: how often the buffer overflowed (tags were lost).
        decay_spad1: (decay_bins,) counts by time since the laser pulse, or None.
        decay_spad2: same for SPAD 2.
        g2: (g2_bins,) pairs by delay SPAD 2 - SPAD 1, bin i centred at (i - g2_bins//2) bin widths, or None.
        stop_reason: why it ended: "duration", or what `until` said.
        begin_ps: device time of its begin, if time tags were recorded, else 0.
    """

    spad1_counts: int
    spad2_counts: int
    spad1_rate_Hz: float
    spad2_rate_Hz: float
    sync_rate_Hz: float
    capture_duration_s: float
    overflows: int
    decay_spad1: NDArray[np.int64] | None
    decay_spad2: NDArray[np.int64] | None
    g2: NDArray[np.int64] | None
    stop_reason: str = DURATION
    begin_ps: int = 0


class RunningAcquisition:
    """The vendor's measurements of one acquisition, started together.

    Args:
        vendor: the vendor's module.
        tagger: the open tagger.
        settings: what to record.
        instrument: name for messages.
        spad1: channel of SPAD 1.
        spad2: channel of SPAD 2.
        sync: channel of the (filtered) laser sync.
        monitor: channel of the divided, unfiltered laser sync.
        monitor_divider: its divider.
        repetition_rate_Hz: laser rate as set.
    """

    def __init__(
        self,
        vendor: Any,
        tagger: Any,
        settings: AcquisitionSettings,
        *,
        instrument: str,
        spad1: int,
        spad2: int,
        sync: int,
        monitor: int,
        monitor_divider: int,
        repetition_rate_Hz: float,
    ):
        self.settings = settings
        self._tagger, self._instrument = tagger, instrument
        self._divider, self._repetition_rate_Hz = monitor_divider, repetition_rate_Hz
        # The vendor's measurements end when they are collected: references are kept here.
        self._together = vendor.SynchronizedMeasurements(tagger)
        proxy = self._together.getTagger()
        self._channels = [spad1, spad2, sync]
        self._counts = vendor.Countrate(proxy, self._channels)
        self._monitor = vendor.Countrate(proxy, [monitor])
        self._decays: list[Any] = []
        if "decay" in settings.kinds:
            self._decays = [
                vendor.Histogram(proxy, channel, sync, settings.decay_binwidth_ps, settings.decay_bins)
                for channel in (spad1, spad2)
            ]
        self._g2 = None
        if "g2" in settings.kinds:
            # First channel = stop: delays are SPAD 2 - SPAD 1.
            self._g2 = vendor.Correlation(proxy, spad2, spad1, settings.g2_binwidth_ps, settings.g2_bins)
        self._tap = None
        if "tags" in settings.kinds:
            self._tap = TagTap(vendor, proxy, self._channels, settings.tag_buffer, instrument)
        self._ttbin = vendor.FileWriter(proxy, settings.ttbin_path, self._channels) if settings.ttbin_path else None
        self._together.startFor(round(settings.duration_s * PS_PER_S))

    def is_running(self) -> bool:
        """Whether data are still taken."""
        return bool(self._together.isRunning())

    def stop(self) -> None:
        """End it now; the data up to here stay readable."""
        self._together.stop()

    def close(self) -> None:
        """Close the vendor's file, if there is one."""
        writer, self._ttbin = self._ttbin, None
        if writer is not None:
            writer.stop()
            del writer  # the vendor completes the file when its writer is collected

    def fetch_tags(self) -> TagBlock | None:
        """The time tags since the last call; None when they are not recorded."""
        return None if self._tap is None else self._tap.fetch()

    def counts(self) -> tuple[int, int]:
        """Clicks of SPAD 1 and SPAD 2 up to now."""
        first, second, _ = self._counts.getCountsTotal()
        return int(first), int(second)

    def decays(self) -> list[NDArray[np.int64]]:
        """The decay histograms up to now; empty when they are not recorded."""
        return [self._histogram("decay", decay) for decay in self._decays]

    def g2(self) -> NDArray[np.int64] | None:
        """The g2 histogram up to now; None when it is not recorded."""
        return None if self._g2 is None else self._histogram("g2", self._g2)

    def sync_rate_Hz(self) -> tuple[float, int]:
        """Laser rate up to now and the number of divided pulses it comes from.

        The clock of the vendor's count rate starts at the first tag, so n tags give the rate within 1/n.
        """
        count = int(self._monitor.getCountsTotal()[0])
        if count == 0:
            return 0.0, 0
        return float(self._monitor.getData()[0]) * self._divider, count

    def check_sync(self) -> None:
        """Compare the measured laser rate with the setting, if a laser is expected.

        Raises:
            InstrumentError: no sync, or another rate.
        """
        if not self.settings.expect_sync:
            return
        rate_Hz, count = self.sync_rate_Hz()
        if count == 0:
            raise InstrumentError(
                self._instrument,
                f"no laser sync arrives ({self._repetition_rate_Hz:g} Hz expected)",
                "check that the laser emits, its sync cable and the trigger level",
            )
        tolerance = max(_SYNC_TOLERANCE, 2.0 / count)
        if abs(rate_Hz / self._repetition_rate_Hz - 1.0) > tolerance:
            raise InstrumentError(
                self._instrument,
                f"the laser sync runs at {rate_Hz:.6g} Hz, not at {self._repetition_rate_Hz:.6g} Hz",
                "set the same repetition_rate_Hz for the laser and the interferometer",
            )

    def read(self, stop_reason: str = DURATION) -> Acquisition:
        """The data, once all tags were fetched.

        Args:
            stop_reason: why it ended.

        Raises:
            InstrumentError: tags were lost without leave, a histogram is full, or the sync is wrong.
        """
        overflows = int(self._tagger.getOverflows())
        if overflows and not self.settings.allow_overflows:
            raise InstrumentError(
                self._instrument,
                f"{overflows} buffer overflow(s): tags were lost",
                "lower the count rate or set allow_overflows",
            )
        self.check_sync()
        capture_s = int(self._counts.getCaptureDuration()) / PS_PER_S
        if not capture_s > 0:
            raise InstrumentError(self._instrument, "the acquisition has no data", "measure longer")
        first, second, filtered = (int(n) for n in self._counts.getCountsTotal())
        if self._decays and self.settings.expect_sync and first + second > 0 and filtered == 0:
            raise InstrumentError(
                self._instrument,
                "photons arrive but no sync passes the conditional filter",
                "check the conditional filter and the sync's trigger level",
            )
        if self._tap is not None:
            self._tap.check_complete(dict(zip(self._channels, (first, second, filtered), strict=True)))
        decays = self.decays() or [None, None]
        return Acquisition(
            spad1_counts=first,
            spad2_counts=second,
            spad1_rate_Hz=first / capture_s,
            spad2_rate_Hz=second / capture_s,
            sync_rate_Hz=self.sync_rate_Hz()[0],
            capture_duration_s=capture_s,
            overflows=overflows,
            decay_spad1=decays[0],
            decay_spad2=decays[1],
            g2=self.g2(),
            stop_reason=stop_reason,
            begin_ps=0 if self._tap is None else self._tap.begin_ps,
        )

    def _histogram(self, what: str, measurement: Any) -> NDArray[np.int64]:
        counts = np.asarray(measurement.getData())
        if counts.size and (counts.min() < 0 or counts.max() >= _FULL):
            raise InstrumentError(
                self._instrument,
                f"a bin of the {what} histogram is full ({_FULL} counts)",
                "measure in shorter pieces",
            )
        return counts.astype(np.int64)
