"""Region of interest and binning of the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryopl_bluesky.drivers.errors import LimitError, check_limits

BINNINGS = (1, 2, 3, 4, 8)


@dataclass(frozen=True)
class Roi:
    """Region of interest.

    Attributes:
        left: first column in sensor pixels, from 0.
        top: first row in sensor pixels, from 0.
        width: columns in sensor pixels.
        height: rows in sensor pixels.
        binning: sensor pixels per image pixel along each axis.
    """

    left: int
    top: int
    width: int
    height: int
    binning: int = 1

    def check(self, sensor_width: int, sensor_height: int, instrument: str) -> None:
        """Refuse a region that does not fit.

        Args:
            sensor_width: columns of the sensor.
            sensor_height: rows of the sensor.
            instrument: device name for the message.

        Raises:
            LimitError: outside the sensor, not a multiple of the binning, or an unknown binning.
        """
        if self.binning not in BINNINGS:
            raise LimitError(instrument, f"binning={self.binning} does not exist",
                             f"choose one of {', '.join(map(str, BINNINGS))}")
        check_limits(instrument, "roi_left", self.left, 0, sensor_width - self.binning, "px")
        check_limits(instrument, "roi_top", self.top, 0, sensor_height - self.binning, "px")
        check_limits(instrument, "roi_width", self.width, self.binning, sensor_width - self.left, "px")
        check_limits(instrument, "roi_height", self.height, self.binning, sensor_height - self.top, "px")
        for name, value in (("roi_width", self.width), ("roi_height", self.height)):
            if value % self.binning:
                raise LimitError(instrument, f"{name}={value} is not a multiple of binning={self.binning}",
                                 f"choose {value - value % self.binning}")


def read_roi(cam: Any) -> Roi:
    """The camera's present region.

    Args:
        cam: open pylablib camera.

    Returns:
        The region.
    """
    binning = _binning_by_enum(cam)
    if binning is None:
        left, right, top, bottom, binning, _ = cam.get_roi()
        return Roi(left, top, right - left, bottom - top, binning)
    return Roi(int(cam.cav["AOILeft"]) - 1, int(cam.cav["AOITop"]) - 1, int(cam.cav["AOIWidth"]) * binning,
               int(cam.cav["AOIHeight"]) * binning, binning)


def write_roi(cam: Any, roi: Roi) -> None:
    """Write a region to the idle camera; it may clamp, so read it back.

    Args:
        cam: open pylablib camera.
        roi: the region.
    """
    if _binning_by_enum(cam) is None:
        cam.set_roi(roi.left, roi.left + roi.width, roi.top, roi.top + roi.height, roi.binning, roi.binning)
        return
    cam.cav["AOILeft"] = cam.cav["AOITop"] = 1
    cam.cav["AOIBinning"] = f"{roi.binning}x{roi.binning}"
    cam.cav["AOIWidth"], cam.cav["AOIHeight"] = roi.width // roi.binning, roi.height // roi.binning
    cam.cav["AOILeft"], cam.cav["AOITop"] = roi.left + 1, roi.top + 1


def _binning_by_enum(cam: Any) -> int | None:
    """Binning of cameras that only have AOIBinning, which pylablib does not know; None for the others."""
    if cam.get_attribute_value("AOIHBin", error_on_missing=False) is not None:
        return None
    return int(str(cam.cav["AOIBinning"]).split("x")[0])
