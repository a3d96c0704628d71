"""Driver of the Time Tagger with two SPADs and the laser's sync (Hanbury Brown-Twiss interferometer).

Channels: SPAD 1, SPAD 2 and the sync on the leading edges of their pulses. The sync passes the conditional
filter only after a photon (`facts/swabian.md` section 6) and is shifted back by one laser period, so that a
decay histogram runs forward: start = the pulse before the photon. The other edge of the sync input is not
filtered but divided to about 100 kHz: it measures the laser's rate during every acquisition.
"""

from __future__ import annotations

import threading
from typing import Any

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.config import GuardSettings
from cryopl_bluesky.drivers.errors import (
    InstrumentError,
    InstrumentTimeoutError,
    NotConnectedError,
    check_limits,
)
from cryopl_bluesky.drivers.spad_guard import SpadGuard
from cryopl_bluesky.drivers.tagger_acquisition import (
    DURATION,
    Acquisition,
    AcquisitionSettings,
    RunningAcquisition,
)
from cryopl_bluesky.drivers.tagger_counting import Counting, TagSink, Until
from cryopl_bluesky.drivers.tagger_setup import ChannelSettings, forward_log_line, import_vendor_module

__all__ = ["ChannelSettings", "TimeTagger", "import_vendor_module"]

PS_PER_S = 1e12
_LEVEL_TOLERANCE_V = 0.02
_SYNC_TIMEOUT_MS = 5_000
_BLOCK_LATENCY_MS = 2
"""Tags leave the tagger after this time: the guard of the SPADs must not wait for the vendor's 20 ms."""
_MONITOR_HZ = 1e5
_MOST_DIVIDER = 65_535


class TimeTagger:
    """A Time Tagger with two SPADs and the laser's sync.

    Args:
        module: the vendor's module (`Vendors.timetagger()`).
        clock: the time waits live by.
        name: instrument name for messages.
        serial: serial number, "" for the only one.
        spad1: channel of SPAD 1, negative for falling edges.
        spad2: channel of SPAD 2.
        sync: channel of the laser's sync.
        trigger_levels_V: levels of SPAD 1, SPAD 2 and sync.
        dead_time_ps: dead time of the SPAD channels, for example to remove double counts.
        input_delays_ps: delays of SPAD 1, SPAD 2 and sync (cable correction from calibration).
        conditional_filter: let the sync pass only after a photon; off only at low laser rates.
        repetition_rate_Hz: laser rate until `set_repetition_rate` is called.
        limits: what light the SPADs may get; None = the recommended limits.

    Attributes:
        guard: the watchdog of the SPADs; it works from `open` to `close`.
    """

    def __init__(
        self,
        module: Any,
        clock: Clock,
        *,
        name: str = "hbt",
        serial: str = "",
        spad1: int = -1,
        spad2: int = -2,
        sync: int = -3,
        trigger_levels_V: tuple[float, float, float] = (-0.4, -0.4, -0.4),
        dead_time_ps: int = 2_100,
        input_delays_ps: tuple[int, int, int] = (0, 0, 0),
        conditional_filter: bool = True,
        repetition_rate_Hz: float = 2.5e6,
        limits: GuardSettings | None = None,
    ):
        self.name, self.clock = name, clock
        self.guard = SpadGuard(clock, limits or GuardSettings(), name=name, stop_acquisition=self.stop)
        self.spad1, self.spad2, self.sync = spad1, spad2, sync
        self.monitor = -sync
        self.repetition_rate_Hz = repetition_rate_Hz
        self.channels: dict[str, ChannelSettings] = {}
        self.serial, self.model = serial, ""
        self._vendor = module
        self._wanted = dict(
            zip(
                ("spad1", "spad2", "sync"),
                zip(
                    (spad1, spad2, sync),
                    trigger_levels_V,
                    (dead_time_ps, dead_time_ps, None),
                    input_delays_ps,
                    strict=True,
                ),
                strict=True,
            )
        )
        self._conditional_filter = conditional_filter
        self._lock = threading.RLock()
        self._tagger: Any = None
        self._running: RunningAcquisition | None = None
        self._stopped = threading.Event()

    # --- connection --------------------

    def open(self) -> None:
        """Take the device and apply all settings, reading each back.

        Raises:
            NotConnectedError: no device, wrong serial number, or another program holds it.
            InstrumentError: a channel is missing or a setting was not taken.
        """
        with self._lock:
            if self._tagger is not None:
                return
            self._vendor.setUsageStatisticsStatus(self._vendor.UsageStatisticsStatus.Disabled)
            self._vendor.setLogger(forward_log_line)
            try:
                tagger = self._vendor.createTimeTagger(self.serial)
            except RuntimeError as error:
                raise NotConnectedError(
                    self.name,
                    f"the Time Tagger cannot be opened: {error}",
                    "check USB cable, power and serial number in the profile; close the vendor's software",
                ) from error
            self._tagger = tagger
            try:
                self.serial, self.model = tagger.getSerial(), tagger.getModel()
                self._configure(tagger)
                self.set_repetition_rate(self.repetition_rate_Hz)
                self.guard.start(self._vendor, tagger, (self.spad1, self.spad2))
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Stop and release the device; may be called again."""
        with self._lock:
            if self._tagger is None:
                return
            self.stop()
            self.guard.stop()
            self._running = None
            tagger, self._tagger = self._tagger, None
            self._vendor.freeTimeTagger(tagger)

    def __enter__(self) -> TimeTagger:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _device(self) -> Any:
        if self._tagger is None:
            raise NotConnectedError(self.name, "the Time Tagger is not open", "open it first")
        return self._tagger

    def _configure(self, tagger: Any) -> None:
        available = tagger.getChannelList()
        for role, (channel, level_V, dead_time_ps, delay_ps) in self._wanted.items():
            for number in {channel} | ({self.monitor} if role == "sync" else set()):
                if number not in available:
                    raise InstrumentError(
                        self.name,
                        f"channel {number} ({role}) is not among the licensed ones {tuple(available)}",
                        "correct the channel in the profile",
                    )
            tagger.setTriggerLevel(channel, level_V)
            applied_V = float(tagger.getTriggerLevel(channel))
            self._expect(f"trigger level of {role} in V", level_V, applied_V, _LEVEL_TOLERANCE_V)
            if dead_time_ps is not None:
                tagger.setDeadtime(channel, dead_time_ps)
            tagger.setInputDelay(channel, delay_ps)
            applied_ps = int(tagger.getInputDelay(channel))
            self._expect(f"delay of {role} in ps", delay_ps, applied_ps, 0)
            self.channels[role] = ChannelSettings(
                channel, applied_V, int(tagger.getDeadtime(channel)), applied_ps
            )
        events = tagger.getConfiguration()["stream block size events"]
        tagger.setStreamBlockSize(max_events=events, max_latency=_BLOCK_LATENCY_MS)
        applied_ms = tagger.getConfiguration()["stream block size latency"]
        self._expect("stream block latency in ms", _BLOCK_LATENCY_MS, applied_ms, 0)
        triggers, filtered = ([self.spad1, self.spad2], [self.sync]) if self._conditional_filter else ([], [])
        tagger.setConditionalFilter(trigger=triggers, filtered=filtered)
        applied = sorted(tagger.getConditionalFilterTrigger()), sorted(tagger.getConditionalFilterFiltered())
        if applied != (sorted(triggers), sorted(filtered)):
            raise InstrumentError(
                self.name, f"the conditional filter reads back {applied}", "restart the tagger"
            )

    def _expect(self, what: str, wanted: float, applied: float, tolerance: float) -> None:
        if not abs(applied - wanted) <= tolerance:
            raise InstrumentError(
                self.name,
                f"{what} was set to {wanted:g} but reads {applied:g}",
                "choose a value that the tagger can make",
            )

    def _settle(self, tagger: Any) -> None:
        if not tagger.sync(timeout=_SYNC_TIMEOUT_MS):
            raise InstrumentTimeoutError(
                self.name,
                f"settings were not active within {_SYNC_TIMEOUT_MS / 1e3:g} s",
                "check the USB connection",
            )

    # --- settings --------------------

    def set_repetition_rate(self, repetition_rate_Hz: float) -> float:
        """Tell the tagger the laser's rate: the filtered sync is shifted back by this period.

        Args:
            repetition_rate_Hz: laser rate, 1 kHz to 100 MHz.

        Returns:
            The rate.
        """
        check_limits(self.name, "repetition_rate_Hz", repetition_rate_Hz, 1e3, 1e8, "Hz")
        with self._lock:
            tagger = self._device()
            self._refuse_while_running("the repetition rate")
            shift_ps = -round(PS_PER_S / repetition_rate_Hz) if self._conditional_filter else 0
            tagger.setDelaySoftware(self.sync, shift_ps)
            self._expect("software delay of the sync in ps", shift_ps, tagger.getDelaySoftware(self.sync), 0)
            divider = min(_MOST_DIVIDER, max(1, int(repetition_rate_Hz / _MONITOR_HZ)))
            tagger.setEventDivider(self.monitor, divider)
            self._expect(
                "event divider of the sync monitor", divider, tagger.getEventDivider(self.monitor), 0
            )
            self._settle(tagger)
            self.repetition_rate_Hz = repetition_rate_Hz
            return repetition_rate_Hz

    def configuration(self) -> dict[str, Any]:
        """The tagger's own record of all its settings."""
        with self._lock:
            return dict(self._device().getConfiguration())

    # --- acquisition --------------------

    def start(self, settings: AcquisitionSettings) -> RunningAcquisition:
        """Start one synchronised acquisition and return at once.

        Args:
            settings: duration and what to record.

        Returns:
            The acquisition, under way.

        Raises:
            LimitError: a setting is outside its limits.
            InstrumentError: another acquisition runs, or the guard of the SPADs has tripped.
        """
        settings.check(self.name)
        with self._lock:
            tagger = self._device()
            self._refuse_while_running("an acquisition")
            self._stopped.clear()
            self.guard.check()  # after the line before, so that a trip in between is not lost
            tagger.clearOverflows()
            running = RunningAcquisition(
                self._vendor,
                tagger,
                settings,
                instrument=self.name,
                spad1=self.spad1,
                spad2=self.spad2,
                sync=self.sync,
                monitor=self.monitor,
                monitor_divider=tagger.getEventDivider(self.monitor),
                repetition_rate_Hz=self.repetition_rate_Hz,
            )
            self._running = running
            return running

    def _refuse_while_running(self, what: str) -> None:
        if self.is_running():
            raise InstrumentError(
                self.name,
                f"{what} cannot be set or started while an acquisition runs",
                "wait for its end or stop it",
            )

    def is_running(self) -> bool:
        """Whether an acquisition takes data."""
        with self._lock:
            return self._running is not None and self._running.is_running()

    def stop(self) -> None:
        """End a running acquisition now; `acquire` in another thread returns with an error."""
        self._stopped.set()
        with self._lock:
            if self._running is not None:
                self._running.stop()

    def result(self, stop_reason: str = DURATION) -> Acquisition:
        """Data of the acquisition that has ended.

        Args:
            stop_reason: why it ended.

        Raises:
            InstrumentError: none was made, it still runs, tags were lost, a histogram is full, or the sync is
                wrong.
        """
        with self._lock:
            if self._running is None:
                raise InstrumentError(self.name, "there is no acquisition to read", "start one first")
            if self._running.is_running():
                raise InstrumentError(self.name, "the acquisition still runs", "wait for its end")
            acquisition = self._running.read(stop_reason)
            self._running = None
            return acquisition

    def acquire(
        self, settings: AcquisitionSettings, on_tags: TagSink | None = None, until: Until | None = None
    ) -> Acquisition:
        """Run one acquisition and wait for its data.

        A laser rate that does not fit the setting is found after the first 0.1 s. However it ends, `on_tags` gets
        all tags up to the end.

        Args:
            settings: duration and what to record.
            on_tags: takes the time tags, on this thread, if `settings.kinds` has "tags".
            until: decides whether enough was counted before the duration is over.

        Returns:
            Counts, rates, and the histograms asked for.

        Raises:
            InstrumentTimeoutError: the tagger did not finish within 5 s after the expected end.
            InstrumentError: stopped from outside, or as `result`.
        """
        running = self.start(settings)
        counting = Counting(running, self.clock, self._stopped, self._lock, self.name, on_tags, until)
        try:
            reason = counting.wait()
            return self.result(reason)
        except BaseException as error:
            self.stop()
            self._running = None
            counting.fetch()
            if isinstance(error, InstrumentError):
                self.guard.check()  # a trip is the cause of what else is wrong
            raise
        finally:
            running.close()

    def count_rates(self, duration_s: float) -> Acquisition:
        """Count for a while, with or without laser.

        Args:
            duration_s: counting time.

        Returns:
            Counts and rates, no histograms.
        """
        return self.acquire(AcquisitionSettings(duration_s, kinds=frozenset({"rates"}), expect_sync=False))
