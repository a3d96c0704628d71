"""The camera: one software-triggered exposure per event, each frame on disk before its event is recorded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from bluesky.protocols import StreamAsset
from ophyd import Component as Cpt
from ophyd import Signal
from ophyd.device import Staged
from ophyd.status import Status

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.devices.base import Detector, Quantity
from cryopl_bluesky.devices.exposing import ExposureSequence
from cryopl_bluesky.devices.frame_stream import FrameStream
from cryopl_bluesky.drivers.camera import Roi
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError

if TYPE_CHECKING:
    from cryopl_bluesky.drivers.camera import AndorCamera

log = logging.getLogger(__name__)

BINNINGS = (1, 2, 4, 8)
_DISK_LIMIT_S = 30.0
_FRAME_MARGIN_S = 5.0
_SETTING_LIMIT_S = 30.0


def frame_statistics(frame: npt.NDArray[np.uint16], full_scale_adu: int) -> tuple[float, float, int]:
    """Mean, maximum and number of saturated pixels of a frame (about 2 ms for 2048 x 2048).

    Args:
        frame: (H, W) uint16.
        full_scale_adu: value at and above which a pixel is saturated.
    """
    # Rows are summed in 32 bits: 2048 pixels of 16 bits fit, and it is several times faster than in 64.
    total = frame.sum(axis=1, dtype=np.uint32).sum(dtype=np.uint64)
    highest = int(frame.max())
    saturated = int(np.count_nonzero(frame >= full_scale_adu)) if highest >= full_scale_adu else 0
    return float(total) / frame.size, float(highest), saturated


class Camera(Detector):
    """The ZL41 Wave behind its driver.

    `trigger()` takes one frame; its Status finishes when the frame is in the HDF5 file of the run. Settings
    are fixed once a run has frames. Before a series with unchanged settings, set `frames_expected` to its
    length: then the next exposure starts as soon as a frame has arrived. Read the camera in one stream of a
    run only.

    Args:
        driver: opened driver.
        name: device name.
        clock: time of the session.
        data_dir: folder of the session's data; frames go to `frames/` in it.
        cooling_setpoint_C: sensor temperature to cool to from `refresh()` on; None leaves the cooler alone.
    """

    exposure_s = Cpt(Quantity, dtype=float, units="s", precision=4, kind="config", write="_apply_exposure")
    gain = Cpt(Quantity, dtype=str, kind="config", write="_apply_gain")
    readout_rate = Cpt(Quantity, dtype=str, kind="config", write="_apply_readout_rate")
    binning = Cpt(Quantity, dtype=int, value=1, choices=BINNINGS, kind="config", write="_apply_binning")
    roi_left = Cpt(Quantity, dtype=int, units="px", kind="config")
    roi_top = Cpt(Quantity, dtype=int, units="px", kind="config")
    roi_width = Cpt(Quantity, dtype=int, units="px", kind="config")
    roi_height = Cpt(Quantity, dtype=int, units="px", kind="config")
    sensor_temperature_C = Cpt(Quantity, dtype=float, units="°C", precision=1, kind="config")
    cooler = Cpt(Quantity, dtype=str, kind="config")
    pixel_um = Cpt(Quantity, dtype=float, units="um", kind="config")
    baseline_adu = Cpt(Quantity, dtype=float, units="adu", kind="config")
    gain_e_per_adu = Cpt(Quantity, dtype=float, units="e/adu", kind="config")
    read_noise_e = Cpt(Quantity, dtype=float, units="e", kind="config")
    full_scale_adu = Cpt(Quantity, dtype=int, units="adu", kind="config")
    bit_depth = Cpt(Quantity, dtype=int, units="bit", kind="config")
    frame_period_s = Cpt(Quantity, dtype=float, units="s", precision=4, kind="config")
    model = Cpt(Quantity, dtype=str, kind="config")
    serial = Cpt(Quantity, dtype=str, kind="config")
    frames_expected = Cpt(Quantity, dtype=int, value=1, limits=(1, None), kind="omitted", write="_announce")
    mean_adu = Cpt(Quantity, dtype=float, units="adu", precision=2, kind="hinted")
    max_adu = Cpt(Quantity, dtype=float, units="adu", precision=0, kind="normal")
    saturated_px = Cpt(Quantity, dtype=int, units="px", kind="normal")
    frame_time_s = Cpt(Quantity, dtype=float, units="s", precision=3, kind="normal")

    def __init__(
        self, driver: AndorCamera, *, name: str, clock: Clock, data_dir: Path,
        cooling_setpoint_C: float | None = None, **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        # A frame on disk cannot be taken back: the RunEngine must not replay messages around this device.
        self.rewindable = Signal(name=f"{name}_rewindable", value=False)
        self._driver = driver
        self._cooling_setpoint_C = cooling_setpoint_C
        self._exposures = ExposureSequence(driver, clock, name)
        self._image_key = f"{name}_image"
        self._stream = FrameStream(name, self._image_key, Path(data_dir))
        self._frame_shape = (0, 0)

    # ---- state and settings; the methods named by `write=` run on the owner thread

    def refresh(self) -> None:
        """Read what the camera is and how it is set; switch the cooler on if the profile says so."""
        info = self._driver.info
        self.model.put(info.model)
        self.serial.put(info.serial)
        self.pixel_um.put(info.pixel_um)
        self.gain.choices = tuple(self._driver.gains())
        self.readout_rate.choices = tuple(self._driver.readout_rates())
        if self._cooling_setpoint_C is not None:
            self._driver.set_cooling(True, f"{self._cooling_setpoint_C:.2f}")  # fixed set points, as text
        self._read_settings()

    def _read_settings(self) -> None:
        driver, roi = self._driver, self._driver.roi()
        self.gain.put(driver.gain())
        self.readout_rate.put(driver.readout_rate())
        self.binning.put(roi.binning)
        for quantity, value in zip(
            (self.roi_left, self.roi_top, self.roi_width, self.roi_height),
            (roi.left, roi.top, roi.width, roi.height), strict=True,
        ):
            quantity.put(value)
        self.exposure_s.limits = driver.exposure_limits_s()
        self.exposure_s.put(driver.exposure_s())
        self.frame_period_s.put(driver.frame_period_s())
        self.baseline_adu.put(driver.baseline_adu())
        self.gain_e_per_adu.put(driver.gain_e_per_adu())
        self.read_noise_e.put(driver.read_noise_e())
        self.full_scale_adu.put(driver.full_scale_adu())
        self.bit_depth.put(driver.bit_depth())
        self._frame_shape = driver.frame_shape()
        self._read_temperature()

    def _read_temperature(self) -> None:
        self.sensor_temperature_C.put(self._driver.temperature_C())
        self.cooler.put(self._driver.temperature_status())

    def _change(self, what: str) -> None:
        """Make the camera ready for a change of settings."""
        if self._stream.has_file:
            raise InstrumentError(self.name, f"{what} cannot change: this run has frames already",
                                  "set it before the first frame, or take the next frames in another run")
        self._exposures.cancel()
        self._exposures.disarm()
        self._put_frames_expected()

    def _apply_exposure(self, exposure_s: float) -> float:
        self._change("exposure_s")
        applied_s = self._driver.set_exposure(exposure_s)
        self.frame_period_s.put(self._driver.frame_period_s())
        return applied_s

    def _apply_gain(self, gain: str) -> str:
        self._change("gain")
        applied = self._driver.set_gain(gain)
        self._read_settings()
        return applied

    def _apply_readout_rate(self, rate: str) -> str:
        self._change("readout_rate")
        applied = self._driver.set_readout_rate(rate)
        self._read_settings()
        return applied

    def _apply_binning(self, binning: int) -> int:
        present = self._driver.roi()
        return self._apply_roi(Roi(present.left, present.top, present.width, present.height, binning)).binning

    def _apply_roi(self, wanted: Roi) -> Roi:
        self._change("the region of interest")
        applied = self._driver.set_roi(wanted)
        self._read_settings()
        if applied != wanted:
            raise InstrumentError(self.name, f"{wanted} is not possible, the camera took {applied}",
                                  "choose what it took, or another region")
        return applied

    def set_roi(
        self, left: int = 0, top: int = 0, width: int | None = None, height: int | None = None,
        binning: int = 1,
    ) -> Status:
        """Choose the part of the sensor that is read, in unbinned pixels from the upper left corner.

        Args:
            left: first column.
            top: first row.
            width: columns, None = to the right edge; a multiple of `binning`.
            height: rows, None = to the lower edge; a multiple of `binning`.
            binning: pixels summed along each axis.

        Returns:
            A Status that finishes when the camera has taken it.

        Raises:
            LimitError: not on the sensor, or not a multiple of the binning.
        """
        self.binning.check_value(binning)
        info = self._driver.info
        roi = Roi(left, top, self._size("width", left, width, info.width_px, binning),
                  self._size("height", top, height, info.height_px, binning), binning)
        return self.submit(lambda: self._apply_roi(roi), _SETTING_LIMIT_S, f"set {roi}")

    def _size(self, side: str, first: int, size: int | None, sensor: int, binning: int) -> int:
        largest = max(0, sensor - first) // binning * binning
        size = largest if size is None else size
        if first < 0 or not binning <= size <= largest or size % binning:
            raise LimitError(self.name, f"{side}={size} px from {first} with binning {binning} does not fit "
                             f"the {sensor} px", f"choose a multiple of {binning} up to {largest}")
        return size

    def _announce(self, frames: int) -> int:
        self._exposures.announce(frames)
        return frames

    def _put_frames_expected(self) -> None:
        self.frames_expected.put(self._exposures.remaining)

    @property
    def expected_bytes(self) -> int:
        """Room on the disk that the announced frames take at most (they are compressed 3 to 4 times as a rule)."""
        height, width = self._frame_shape
        return self.frames_expected.get() * height * width * 2

    # ---- acquisition

    def stage(self) -> list[object]:
        """Begin the frames of a run; the camera is armed in the background."""
        devices = super().stage()
        self._stream.begin()
        self._executor.submit(self._arm)
        return devices

    def _arm(self) -> None:
        try:
            self._read_temperature()
            self._exposures.ready()
        except InstrumentError as error:
            # The first trigger arms again and then fails with its own Status; here nobody would see it.
            log.warning("%s: arming failed, the first exposure will try again: %s", self.name, error)

    def unstage(self) -> list[object]:
        """Disarm and close the file of the run; an exposure that still runs is given up.

        Raises:
            InstrumentError: the file could not be finished; acknowledged frames are readable all the same.
        """
        try:
            self.give_up()
            self.call(self._finish, self._exposing_limit_s())
        finally:
            devices = super().unstage()
        return devices

    def _interrupt(self) -> None:
        self._driver.disarm()

    def _finish(self) -> None:
        self._exposures.cancel()
        self._put_frames_expected()
        try:
            self._exposures.disarm()
        finally:
            self._stream.end()

    def trigger(self) -> Status:
        """Take one frame; finished when it is in the file and flushed.

        Raises:
            InstrumentError: the camera is not staged.
        """
        if self._staged is not Staged.yes:
            raise InstrumentError(self.name, "cannot expose while not staged: there is no file for the frame",
                                  "use stage_decorator, or a plan of this package")
        return self.take(self._expose, self._exposing_limit_s(), "expose")

    def _exposing_limit_s(self) -> float:
        return 2 * (self.exposure_s.get() + _FRAME_MARGIN_S) + _DISK_LIMIT_S + 10.0

    def _expose(self) -> None:
        exposure = self._exposures.take(self.exposure_s.get())
        self._put_frames_expected()
        wait_for_disk = self._stream.add(exposure, self.settings)
        mean_adu, max_adu, saturated_px = frame_statistics(exposure.frame.image, self.full_scale_adu.get())
        wait_for_disk()
        self.mean_adu.put(mean_adu)
        self.max_adu.put(max_adu)
        self.saturated_px.put(saturated_px)
        self.frame_time_s.put(exposure.unix_time_s)

    def pause(self) -> None:
        """The RunEngine was paused: a frame exposed ahead will not count when it resumes."""
        self._exposures.expire()

    def resume(self) -> None:
        """The RunEngine goes on; nothing to do, the next trigger exposes afresh."""

    # ---- documents

    def describe(self) -> Any:
        """The data keys of an event: statistics here, the image by reference to the file.

        Returns:
            Event-model data keys by name.
        """
        height, width = self._frame_shape
        keys: Any = super().describe()
        keys[self._image_key] = {
            "source": f"{self.model.get()} {self.serial.get()}", "dtype": "array", "shape": [height, width],
            "dtype_numpy": "<u2", "external": "STREAM:", "units": "adu", "object_name": self.name,
        }
        return keys

    def get_index(self) -> int:
        """Number of frames of this run that are on disk."""
        return self._stream.recorded

    def collect_asset_docs(self, index: int | None = None) -> Iterator[StreamAsset]:
        """The documents that link new frames to events (see `FrameStream.asset_docs`)."""
        return self._stream.asset_docs(index)

    # ---- ends

    def make_safe(self) -> None:
        """Stop exposing; any thread."""
        self._exposures.expire()
        self._driver.disarm()

    def shutdown(self) -> None:
        """Finish the file, disarm and close the driver; the camera cannot be used afterwards."""
        finished = threading.Event()
        self._executor.submit(self._finish).add_done_callback(lambda _: finished.set())
        finished.wait(self._exposing_limit_s())
        super().shutdown()
        self._driver.close()
