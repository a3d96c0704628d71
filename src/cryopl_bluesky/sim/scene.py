"""What the camera sees: photo-electrons per second on each pixel, for the present state of the bench."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.collection import collected_with_l5, emitters_on_chip, surface_light
from cryopl_bluesky.sim.lamp import lamp_view
from cryopl_bluesky.sim.layout import EmitterLayout, FloatArray
from cryopl_bluesky.sim.light_path import (
    CHIP_PX,
    L5_SPOT_UM,
    PIXEL_UM,
    PSF_SIGMA_UM,
    SPECTROGRAPH_PSF_SIGMA_UM,
    LightPath,
    column_edges_um,
    covered_um,
    row_edges_um,
)
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.spectral_image import spectral_image

_KEPT_FRAMES = 4
_BLUR_PX = SPECTROGRAPH_PSF_SIGMA_UM / PIXEL_UM
Frame = NDArray[np.float32]


class SceneRenderer:
    """Draws the light on the camera's chip and keeps the last few drawings.

    All light is proportional to the laser power, so frames are drawn at the sample's reference power and
    scaled.

    Args:
        bench: the physical world.
        quantum_efficiency: photo-electrons per photon.
    """

    def __init__(self, bench: Bench, quantum_efficiency: float = 0.82):
        self._bench = bench
        self._quantum_efficiency = quantum_efficiency
        self._lock = threading.Lock()
        self._drawn: OrderedDict[tuple[Sample, LightPath], Frame] = OrderedDict()
        self._dark = _read_only(np.zeros((CHIP_PX, CHIP_PX), np.float32))
        self._last: tuple[tuple[Sample, LightPath], Frame] | None = None

    def photons_per_s(self) -> Frame:
        """Photo-electrons per second per unbinned pixel, float32 (2048, 2048), read-only.

        Zero without light (laser off and no lamp), with the shutter closed, the port not the camera, or a part
        moving. The same array is returned while the state stays the same (temperature in steps of 5 mK).
        """
        path = LightPath.of(self._bench)
        if not (path.open and path.port == "camera" and (path.excited or path.lamp)):
            return self._dark
        if not path.excited:
            return self._by_lamp(replace(path.for_camera(), power_uW=0.0))
        path = path.for_camera()
        sample = self._bench.sample
        with self._lock:
            if self._last is not None and self._last[0] == (sample, path):
                return self._last[1]
            frame = self._at_reference_power(sample, path)
            if path.power_uW != sample.reference_power_uW:
                frame = _read_only(frame * np.float32(path.power_uW / sample.reference_power_uW))
            if path.lamp:
                frame = _read_only(frame + self._by_lamp(replace(path, power_uW=0.0)))
            self._last = ((sample, path), frame)
            return frame

    def _by_lamp(self, path: LightPath) -> Frame:
        return lamp_view(replace(path, temperature_K=0.0), self._quantum_efficiency)

    def _at_reference_power(self, sample: Sample, path: LightPath) -> Frame:
        key = (sample, replace(path, power_uW=sample.reference_power_uW, lamp=""))
        if key in self._drawn:
            self._drawn.move_to_end(key)
            return self._drawn[key]
        light = spectral_image(sample, path) if path.lines_per_mm > 0.0 else slit_view(sample, path)
        frame = np.asarray(light, dtype=np.float32)
        frame *= np.float32(
            self._quantum_efficiency * sample.camera_photons_per_s * sample.quantum_yield(path.temperature_K)
        )
        frame += np.float32(self._quantum_efficiency * sample.camera_background_per_s)
        self._drawn[key] = _read_only(frame)
        while len(self._drawn) > _KEPT_FRAMES:
            self._drawn.popitem(last=False)
        return frame


def _read_only(frame: Frame) -> Frame:
    frame.flags.writeable = False
    return frame


def slit_view(sample: Sample, path: LightPath) -> FloatArray:
    """Image of what the entrance slit lets through (mirror or zero order), emission units per pixel."""
    columns = covered_um(column_edges_um(), path.slit_image_um)
    lit = slice(*(np.flatnonzero(columns)[[0, -1]] + [0, 1]))
    if path.l5_in:
        total = collected_with_l5(sample.layout, path).light.sum()
        rows = covered_um(row_edges_um(), L5_SPOT_UM) / L5_SPOT_UM
        stripe = np.outer(rows, columns[lit] / L5_SPOT_UM) * total
    else:
        edges_um = np.clip(column_edges_um(), -path.slit_image_um / 2.0, path.slit_image_um / 2.0)
        stripe = _image_in_slit(sample, path, edges_um[lit.start : lit.stop + 1])
    return _blurred_on_chip(stripe, lit)


def _image_in_slit(sample: Sample, path: LightPath, edges_um: FloatArray) -> FloatArray:
    """Light between the given edges of columns for all rows, shape (2048, n)."""
    layout = sample.layout
    rows_um = row_edges_um()
    if isinstance(layout, EmitterLayout):
        x_um, y_um, light, _ = emitters_on_chip(layout, path)
        sigma_um = PSF_SIGMA_UM * path.magnification
        in_rows = np.diff(ndtr((rows_um[None, :] - y_um[:, None]) / sigma_um), axis=1)
        in_columns = np.diff(ndtr((edges_um[None, :] - x_um[:, None]) / sigma_um), axis=1)
        return (in_rows * light[:, None]).T @ in_columns
    density, _ = surface_light(
        layout, path, (edges_um[1:] + edges_um[:-1]) / 2.0, (rows_um[1:] + rows_um[:-1]) / 2.0
    )
    return density * np.diff(edges_um) * PIXEL_UM


def _blurred_on_chip(stripe: FloatArray, columns: slice) -> FloatArray:
    """Place a stripe of the image on the chip, blurred along the dispersion by the spectrograph."""
    margin = int(np.ceil(5.0 * _BLUR_PX))
    first, last = max(columns.start - margin, 0), min(columns.stop + margin, CHIP_PX)
    image = np.zeros((CHIP_PX, CHIP_PX), np.float32)
    image[:, columns] = stripe
    seen = image[:, first:last]
    image[:, first:last] = gaussian_filter1d(seen, _BLUR_PX, axis=1, mode="constant", truncate=5.0)
    return image
