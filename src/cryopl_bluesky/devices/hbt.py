"""The interferometer: count rates, decay histograms and the g2 histogram of two SPADs on a Time Tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ophyd import Component as Cpt
from ophyd import Kind
from ophyd.status import Status

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.base import Detector, Quantity
from cryopl_bluesky.devices.spad_guard import SpadProtection
from cryopl_bluesky.drivers.tagger_acquisition import Acquisition, AcquisitionSettings
from cryopl_bluesky.drivers.tagger_acquisition import Kind as Recorded

if TYPE_CHECKING:
    from cryopl_bluesky.drivers.timetagger import TimeTagger

RECORD: dict[str, frozenset[Recorded]] = {
    "rates": frozenset({"rates"}),
    "decay": frozenset({"rates", "decay"}),
    "g2": frozenset({"rates", "g2"}),
    "decay+g2": frozenset({"rates", "decay", "g2"}),
}
_PS_PER_S = 1e12
_TIMEOUT_MARGIN_S = 60.0


def _value(quantity: Quantity) -> Any:
    """Present value; ophyd declares it as a number or a sentinel, whatever the type of the quantity."""
    return quantity.get()


class Hbt(Detector):
    """Time Tagger with two SPADs and the laser's sync.

    `trigger()` runs one acquisition of `duration_s` in which all measurements see the same photons. A decay
    histogram counts SPAD clicks by the time since the laser pulse, bin i from i to i + 1 bin widths; setting
    the repetition rate or the bin width makes it cover one laser period. The g2 histogram counts pairs by
    t(SPAD 2) - t(SPAD 1), bin i centred at (i - g2_bins // 2) bin widths.

    Args:
        driver: opened driver.
        name: device name.
        clock: time of the session.
    """

    duration_s = Cpt(
        Quantity, dtype=float, value=1.0, units="s", limits=(1e-3, 1e6), kind="config", write="_keep"
    )
    record = Cpt(
        Quantity, dtype=str, value="decay", choices=tuple(RECORD), kind="config", write="_apply_record"
    )
    repetition_rate_Hz = Cpt(
        Quantity, dtype=float, units="Hz", limits=(1e3, 1e8), kind="config", write="_apply_repetition_rate"
    )
    decay_binwidth_ps = Cpt(
        Quantity,
        dtype=int,
        value=16,
        units="ps",
        limits=(1, 1_000_000_000),
        kind="config",
        write="_apply_decay_binwidth",
    )
    decay_bins = Cpt(
        Quantity, dtype=int, value=1, limits=(1, 10_000_000), kind="config", write="_apply_decay_bins"
    )
    g2_binwidth_ps = Cpt(
        Quantity,
        dtype=int,
        value=1_000,
        units="ps",
        limits=(1, 1_000_000_000_000),
        kind="config",
        write="_keep",
    )
    g2_bins = Cpt(
        Quantity, dtype=int, value=8_001, limits=(1, 10_000_000), kind="config", write="_apply_g2_bins"
    )
    expect_sync = Cpt(Quantity, dtype=bool, value=True, kind="config", write="_keep")
    allow_overflows = Cpt(Quantity, dtype=bool, value=False, kind="config", write="_keep")
    serial = Cpt(Quantity, dtype=str, kind="config")
    model = Cpt(Quantity, dtype=str, kind="config")
    spad1_channel = Cpt(Quantity, dtype=int, kind="config")
    spad1_trigger_level_V = Cpt(Quantity, dtype=float, units="V", kind="config")
    spad1_dead_time_ps = Cpt(Quantity, dtype=int, units="ps", kind="config")
    spad1_delay_ps = Cpt(Quantity, dtype=int, units="ps", kind="config")
    spad2_channel = Cpt(Quantity, dtype=int, kind="config")
    spad2_trigger_level_V = Cpt(Quantity, dtype=float, units="V", kind="config")
    spad2_dead_time_ps = Cpt(Quantity, dtype=int, units="ps", kind="config")
    spad2_delay_ps = Cpt(Quantity, dtype=int, units="ps", kind="config")
    sync_channel = Cpt(Quantity, dtype=int, kind="config")
    sync_trigger_level_V = Cpt(Quantity, dtype=float, units="V", kind="config")
    sync_dead_time_ps = Cpt(Quantity, dtype=int, units="ps", kind="config")
    sync_delay_ps = Cpt(Quantity, dtype=int, units="ps", kind="config")

    guard = Cpt(SpadProtection, kind="config")

    spad1_rate_Hz = Cpt(Quantity, dtype=float, units="Hz", precision=1, kind="hinted")
    spad2_rate_Hz = Cpt(Quantity, dtype=float, units="Hz", precision=1, kind="hinted")
    sync_rate_Hz = Cpt(Quantity, dtype=float, units="Hz", precision=0, kind="normal")
    spad1_counts = Cpt(Quantity, dtype=int, kind="normal")
    spad2_counts = Cpt(Quantity, dtype=int, kind="normal")
    capture_duration_s = Cpt(Quantity, dtype=float, units="s", precision=6, kind="normal")
    overflows = Cpt(Quantity, dtype=int, kind="normal")
    decay_spad1 = Cpt(Quantity, dtype="<i8", shape=(1,), units="counts", kind="normal")
    decay_spad2 = Cpt(Quantity, dtype="<i8", shape=(1,), units="counts", kind="normal")
    g2_histogram = Cpt(Quantity, dtype="<i8", shape=(1,), units="counts", kind="normal")

    def __init__(self, driver: TimeTagger, *, name: str, clock: Clock, **kwargs: Any):
        self._driver, self._clock = driver, clock
        super().__init__(name=name, **kwargs)
        self.guard.follow(driver.guard)
        self._apply_record(_value(self.record))

    # --- settings (owner thread) --------------------

    def refresh(self) -> None:
        """Read the tagger's settings into the signals and cover one laser period by the decay histogram."""
        self.serial.put(self._driver.serial)
        self.model.put(self._driver.model)
        for role, channel in self._driver.channels.items():
            getattr(self, f"{role}_channel").put(channel.channel)
            getattr(self, f"{role}_trigger_level_V").put(channel.trigger_level_V)
            getattr(self, f"{role}_dead_time_ps").put(channel.dead_time_ps)
            getattr(self, f"{role}_delay_ps").put(channel.input_delay_ps)
        self.repetition_rate_Hz.put(self._driver.repetition_rate_Hz)
        self._cover_one_period(self._driver.repetition_rate_Hz, _value(self.decay_binwidth_ps))
        self._apply_g2_bins(_value(self.g2_bins))

    def _keep(self, value: Any) -> Any:
        return value

    def _apply_record(self, record: str) -> str:
        """Only what is recorded appears in events."""
        kinds = RECORD[record]
        for signal, kind in (
            (self.decay_spad1, "decay"),
            (self.decay_spad2, "decay"),
            (self.g2_histogram, "g2"),
        ):
            signal.kind = Kind.normal if kind in kinds else Kind.omitted
        return record

    def _apply_repetition_rate(self, repetition_rate_Hz: float) -> float:
        applied_Hz = self._driver.set_repetition_rate(repetition_rate_Hz)
        self._cover_one_period(applied_Hz, _value(self.decay_binwidth_ps))
        return applied_Hz

    def _apply_decay_binwidth(self, binwidth_ps: int) -> int:
        self._cover_one_period(_value(self.repetition_rate_Hz), binwidth_ps)
        return binwidth_ps

    def _cover_one_period(self, repetition_rate_Hz: float, binwidth_ps: int) -> None:
        bins = max(1, int(_PS_PER_S / repetition_rate_Hz / binwidth_ps + 1e-6))
        self.decay_bins.put(self._apply_decay_bins(bins))

    def _apply_decay_bins(self, bins: int) -> int:
        self.decay_spad1.put(np.zeros(bins, np.int64))
        self.decay_spad2.put(np.zeros(bins, np.int64))
        return bins

    def _apply_g2_bins(self, bins: int) -> int:
        self.g2_histogram.put(np.zeros(bins, np.int64))
        return bins

    # --- acquisition --------------------

    def trigger(self) -> Status:
        """Acquire for `duration_s`; the Status finishes when the data are in the signals."""
        settings = AcquisitionSettings(
            duration_s=_value(self.duration_s),
            decay_binwidth_ps=_value(self.decay_binwidth_ps),
            decay_bins=_value(self.decay_bins),
            g2_binwidth_ps=_value(self.g2_binwidth_ps),
            g2_bins=_value(self.g2_bins),
            kinds=RECORD[_value(self.record)],
            expect_sync=_value(self.expect_sync),
            allow_overflows=_value(self.allow_overflows),
        )
        timeout_s = 2.0 * settings.duration_s + _TIMEOUT_MARGIN_S
        return self.take(lambda: self._acquire(settings), timeout_s, f"acquire {settings.duration_s:g} s")

    def _acquire(self, settings: AcquisitionSettings) -> None:
        self._store(self._driver.acquire(settings))

    def _store(self, data: Acquisition) -> None:
        for key in (
            "spad1_rate_Hz",
            "spad2_rate_Hz",
            "sync_rate_Hz",
            "spad1_counts",
            "spad2_counts",
            "capture_duration_s",
            "overflows",
        ):
            getattr(self, key).put(getattr(data, key))
        for signal, histogram in (
            (self.decay_spad1, data.decay_spad1),
            (self.decay_spad2, data.decay_spad2),
            (self.g2_histogram, data.g2),
        ):
            if histogram is not None:
                signal.put(histogram)

    def unstage(self) -> list[object]:
        """End an acquisition that still runs."""
        self.give_up()
        return super().unstage()

    def _interrupt(self) -> None:
        self._driver.stop()

    def stop(self, *, success: bool = False) -> None:
        """End a running acquisition; its Status fails."""
        self._driver.stop()

    def make_safe(self) -> None:
        """End a running acquisition (the SPADs themselves are protected by shutter and exit port)."""
        self._driver.stop()

    def shutdown(self) -> None:
        """End a running acquisition, release the tagger and the owner thread."""
        self._driver.stop()
        super().shutdown()
        self._driver.close()
