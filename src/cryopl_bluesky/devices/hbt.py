"""The interferometer: count rates, histograms and time tags of two SPADs on a Time Tagger."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Kind
from ophyd.status import Status

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.base import Detector, Quantity
from cryopl_bluesky.devices.spad_guard import SpadProtection
from cryopl_bluesky.devices.tag_stream import TagStream
from cryopl_bluesky.devices.waiters import StopRule
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
_TAGS: frozenset[Recorded] = frozenset({"tags"})
_PS_PER_S = 1e12
_TIMEOUT_MARGIN_S = 60.0
_CLOSE_TIMEOUT_S = 30.0


def _value(quantity: Quantity) -> Any:
    """Present value; ophyd declares it as a number or a sentinel, whatever the type of the quantity."""
    return quantity.get()


class Hbt(Detector):
    """Time Tagger with two SPADs and the laser's sync.

    `trigger()` runs one acquisition of `duration_s` in which all measurements see the same photons. A decay
    histogram counts SPAD clicks by the time since the laser pulse, bin i from i to i + 1 bin widths; setting
    the repetition rate or the bin width makes it cover one laser period. The g2 histogram counts pairs by
    t(SPAD 2) - t(SPAD 1), bin i centred at (i - g2_bins // 2) bin widths.

    With `store_tags` the time tags themselves go to one file per run (`tags`, a stream of its own); an event says
    which of them are its: `first_tag` up to, not including, `stop_tag`.

    With `until_s`, `until_photons` or `until_precision` (0 = not used) an acquisition ends as soon as the first of
    them is reached, and `duration_s` is its time limit. The precision is the standard error of g2(0) when a g2
    histogram is recorded, else the relative standard error of the mean lifetime; `precision` is the one that was
    reached, 0 if there were too few photons to tell.

    Args:
        driver: opened driver.
        name: device name.
        clock: time of the session.
        data_dir: folder of the session's data.
        ttbin: also write the vendor's own file beside each acquisition with `store_tags`.
        tag_buffer: time tags that may wait in memory for the disk.
        irf_fwhm_ps: width of the instrument response, for the precision of a lifetime.
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
    until_s = Cpt(Quantity, dtype=float, units="s", limits=(0, 1e6), kind="config", write="_keep")
    until_photons = Cpt(Quantity, dtype=int, limits=(0, 10**12), kind="config", write="_keep")
    until_precision = Cpt(Quantity, dtype=float, limits=(0, 1), kind="config", write="_apply_precision")
    store_tags = Cpt(Quantity, dtype=bool, value=False, kind="config", write="_apply_store_tags")
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
    stop_reason = Cpt(Quantity, dtype=str, kind="normal")
    precision = Cpt(Quantity, dtype=float, kind="omitted")
    tag_file = Cpt(Quantity, dtype=str, kind="omitted")
    ttbin_file = Cpt(Quantity, dtype=str, kind="omitted")
    first_tag = Cpt(Quantity, dtype=int, kind="omitted")
    stop_tag = Cpt(Quantity, dtype=int, kind="omitted")
    decay_spad1 = Cpt(Quantity, dtype="<i8", shape=(1,), units="counts", kind="normal")
    decay_spad2 = Cpt(Quantity, dtype="<i8", shape=(1,), units="counts", kind="normal")
    g2_histogram = Cpt(Quantity, dtype="<i8", shape=(1,), units="counts", kind="normal")

    def __init__(
        self, driver: TimeTagger, *, name: str, clock: Clock, data_dir: Path, ttbin: bool = False,
        tag_buffer: int = 8_000_000, irf_fwhm_ps: float = 200.0, **kwargs: Any,
    ):
        self._driver, self._clock, self._irf_fwhm_ps = driver, clock, irf_fwhm_ps
        self._ttbin, self._tag_buffer = ttbin, tag_buffer
        self.tags = TagStream(name, data_dir, clock)
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

    def _apply_precision(self, precision: float) -> float:
        self.precision.kind = Kind.normal if precision else Kind.omitted
        return precision

    def _apply_store_tags(self, store: bool) -> bool:
        for signal in (self.tag_file, self.first_tag, self.stop_tag):
            signal.kind = Kind.normal if store else Kind.omitted
        self.ttbin_file.kind = Kind.normal if store and self._ttbin else Kind.omitted
        return store

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

    def stage(self) -> list[object]:
        """Begin the data of a run."""
        self.tags.begin_run()
        return super().stage()

    def trigger(self) -> Status:
        """Acquire for `duration_s`; the Status finishes when the data are in the signals."""
        stores, rule = _value(self.store_tags), self._stop_rule()
        settings = AcquisitionSettings(
            duration_s=rule.limit_s,
            decay_binwidth_ps=_value(self.decay_binwidth_ps),
            decay_bins=_value(self.decay_bins),
            g2_binwidth_ps=_value(self.g2_binwidth_ps),
            g2_bins=_value(self.g2_bins),
            kinds=RECORD[_value(self.record)] | (_TAGS if stores else frozenset()),
            expect_sync=_value(self.expect_sync),
            allow_overflows=_value(self.allow_overflows),
            tag_buffer=self._tag_buffer,
        )
        timeout_s = 2.0 * settings.duration_s + _TIMEOUT_MARGIN_S
        work = self._acquire_with_tags if stores else self._acquire
        return self.take(lambda: work(settings, rule), timeout_s, f"acquire {settings.duration_s:g} s")

    def _stop_rule(self) -> StopRule:
        return StopRule(
            _value(self.duration_s), _value(self.until_s), _value(self.until_photons),
            _value(self.until_precision), self._measure_precision,
        )

    def _measure_precision(
        self, decays: Sequence[NDArray[np.int64]], g2: NDArray[np.int64] | None
    ) -> float:
        """Standard error of g2(0), or relative standard error of the mean lifetime; what is recorded decides."""
        from cryopl_bluesky.analysis.precision import g2_precision, mean_lifetime_precision

        period_ns = 1e9 / _value(self.repetition_rate_Hz)
        if g2 is not None:
            return g2_precision(g2, _value(self.g2_binwidth_ps), period_ns)
        return mean_lifetime_precision(decays, _value(self.decay_binwidth_ps), period_ns, self._irf_fwhm_ps)

    def _acquire(self, settings: AcquisitionSettings, rule: StopRule) -> None:
        self._store(self._driver.acquire(settings, until=rule.waiter()), rule)

    def _acquire_with_tags(self, settings: AcquisitionSettings, rule: StopRule) -> None:
        self.tag_file.put(str(self.tags.open(self._driver.channels, self.settings)))
        if self._ttbin:
            settings = replace(settings, ttbin_path=str(self.tags.ttbin_path()))
            self.ttbin_file.put(settings.ttbin_path)
        try:
            data = self._driver.acquire(settings, self.tags.put, rule.waiter())
        finally:
            self.tags.flush()
        first, stop = self.tags.end_acquisition(
            begin_ps=data.begin_ps, capture_ps=round(data.capture_duration_s * _PS_PER_S), overflows=data.overflows
        )
        self.first_tag.put(first)
        self.stop_tag.put(stop)
        self._store(data, rule)

    def _store(self, data: Acquisition, rule: StopRule) -> None:
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
        self.stop_reason.put(rule.reason(data.stop_reason))
        for signal, histogram in (
            (self.decay_spad1, data.decay_spad1),
            (self.decay_spad2, data.decay_spad2),
            (self.g2_histogram, data.g2),
        ):
            if histogram is not None:
                signal.put(histogram)
        if rule.until_precision:
            self.precision.put(rule.reached(data))

    def unstage(self) -> list[object]:
        """End an acquisition that still runs, and complete the file of its tags.

        Raises:
            InstrumentError: the file could not be completed; tags that were flushed are readable all the same.
        """
        try:
            self.give_up()
            self.call(self.tags.close, _CLOSE_TIMEOUT_S)
        finally:
            devices = super().unstage()
        return devices

    def pause(self) -> None:
        """The RunEngine was paused, and the laser is off: what is being counted will be counted anew."""
        self.give_up()

    def resume(self) -> None:
        """The RunEngine goes on; nothing to do, it triggers again."""

    def _interrupt(self) -> None:
        self._driver.stop()

    def stop(self, *, success: bool = False) -> None:
        """End a running acquisition; its Status fails."""
        self._driver.stop()

    def make_safe(self) -> None:
        """End a running acquisition (the SPADs themselves are protected by shutter and exit port)."""
        self._driver.stop()

    def shutdown(self) -> None:
        """End a running acquisition, complete the file of its tags, release the tagger and the owner thread."""
        self._driver.stop()
        closed = threading.Event()
        self._executor.submit(self.tags.close).add_done_callback(lambda _: closed.set())
        closed.wait(_CLOSE_TIMEOUT_S)
        super().shutdown()
        self._driver.close()
