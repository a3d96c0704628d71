"""pylablib's SDK3 camera with its reading of 16-bit frames put right."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


@cache
def frame_camera_class() -> Any:
    """`AndorSDK3Camera` for Mono16 frames.

    pylablib 1.4.5 cuts the rows of a frame to its *width* instead of cutting the padding off each row: a
    region that is higher than wide loses its lower rows without a word, and padded rows keep columns that are
    no pixels. It also fails on padding between image and metadata (facts/andor.md trap 5).

    Returns:
        The class, to be called with the camera's index.
    """
    from pylablib.devices.Andor import AndorSDK3Camera

    class FrameCamera(AndorSDK3Camera):
        def _read_frames(
            self, rng: tuple[int, int], return_info: bool = False
        ) -> tuple[list[Any], list[Any] | None]:
            height, width = self._get_data_dimensions_rc()
            stride, pixel_bytes = int(self.cav["AOIStride"]), float(self.cav["BytesPerPixel"])
            if pixel_bytes != 2 or stride < 2 * width:
                raise self.Error(f"{pixel_bytes:g} bytes a pixel and {stride} bytes a row of {width} pixels"
                                 " make no 16-bit frame")
            first, last = rng
            rows = self._buffer_mgr.readn(first, last - first, size=height * stride)
            rows = rows.reshape(last - first, height, stride)[:, :, : 2 * width]
            image = self._convert_indexing(rows.view("<u2"), "rct", axes=(-2, -1))
            if not (return_info and self.is_metadata_enabled()):
                return [image], None
            metadata = self._read_frames_metadata(first, last - first)[1]
            metadata[:, 0] = np.arange(first, last)
            return [image], [metadata]

    return FrameCamera
