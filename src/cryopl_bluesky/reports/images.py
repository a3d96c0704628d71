"""Reports of images: brightness and objects of a wide-field image, level and noise of dark frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryopl_bluesky.analysis.calibration import DarkRate, dark_frames, spad_dark_rates
from cryopl_bluesky.analysis.images import describe_image
from cryopl_bluesky.catalog.load import RunData
from cryopl_bluesky.figures.run_data import SPADS, picture
from cryopl_bluesky.reports.calibrated import Calibrations
from cryopl_bluesky.reports.origins import origin_of_run, run_warnings
from cryopl_bluesky.reports.results import Report, Value

MOST_DARK_FRAMES = 16
"""Setting: of a longer run so many frames, evenly spread, are used: they are in memory together."""


@dataclass(frozen=True)
class ImageObject:
    """A bright region of an image.

    Attributes:
        x_um: position from the left edge of the frame; the error is that of the scale.
        y_um: position from its upper edge.
        diameter_um: of a disc of the same area, at half of the image's maximum; errors of noise and scale together.
        brightness: light inside, above the background.
    """

    x_um: Value
    y_um: Value
    diameter_um: Value
    brightness: Value


@dataclass(frozen=True, kw_only=True)
class ImageReport(Report):
    """Brightness and objects of a wide-field image.

    Attributes:
        brightness: all light above the background.
        peak: brightest place, mean over 3 x 3 pixels.
        background: level where there is nothing.
        scale_nm_per_px: length at the sample of one pixel.
        objects: regions above half of the peak, the brightest first.
    """

    brightness: Value
    peak: Value
    background: Value
    scale_nm_per_px: Value
    objects: tuple[ImageObject, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DarkReport(Report):
    """Level and noise without light.

    Attributes:
        level_adu: median over the pixels.
        read_noise_e: scatter of a pixel from frame to frame (median over the pixels).
        hot_px: pixels far above the level.
        spad_dark_Hz: count rates of the SPADs by name; empty if they did not count.
    """

    level_adu: Value
    read_noise_e: Value
    hot_px: int
    spad_dark_Hz: dict[str, Value]


def report_image(run: RunData, calibrations: Calibrations | None = None) -> ImageReport:
    """Brightness, spot and object size of a wide-field image."""
    known = calibrations or Calibrations()
    data = known.with_scale(picture(run), run)
    gain, exposure_s = float(run.config["camera_gain_e_per_adu"]), float(run.config["camera_exposure_s"])
    frames = int(run.frames["camera_image"].shape[0])
    found = describe_image(
        np.asarray(data.image, float) * gain, read_noise=float(run.config["camera_read_noise_e"]), frames=frames
    )
    px_um, relative = data.nm_per_px * 1e-3, data.scale_rel_err or 0.0

    def length(px: float, err_px: float = 0.0) -> Value:
        return Value(px * px_um, float(np.hypot(err_px * px_um, px * px_um * relative)), "um")

    def light(counts: float, error: float, unit: str = "electrons/s") -> Value:
        return Value(counts / exposure_s, error / exposure_s, unit)

    objects = tuple(
        ImageObject(length(part.x_px), length(part.y_px), length(part.diameter_px, part.diameter_err_px),
                    light(part.counts, part.counts_err))
        for part in found.objects
    )  # fmt: skip
    notes = [*known.notes, *found.notes]
    if not relative:
        notes.append("the scale has no error in the profile: lengths have that of the fit only")
    return ImageReport(
        measurement=run.start["measurement"], origin=origin_of_run(run, known.used), method=found.method,
        notes=tuple(notes),
        warnings=run_warnings(run), data=data, fit=found,
        brightness=light(found.counts, found.counts_err),
        peak=light(found.peak, found.peak_err, "electrons/s per pixel"),
        background=light(found.background, found.background_err, "electrons/s per pixel"),
        scale_nm_per_px=Value(data.nm_per_px, data.nm_per_px * relative if relative else None, "nm"),
        objects=objects,
    )  # fmt: skip


def report_dark(run: RunData) -> DarkReport:
    """Level, noise and hot pixels of dark frames, and the dark rates of the SPADs."""
    frames, warnings = run.frames["camera_image"], list(run_warnings(run))
    number = int(frames.shape[0])
    used = np.unique(np.linspace(0, number - 1, min(number, MOST_DARK_FRAMES)).round().astype(int))
    found = dark_frames(np.stack([np.asarray(frames[int(index)]) for index in used]))
    gain, baseline = float(run.config["camera_gain_e_per_adu"]), float(run.config["camera_baseline_adu"])
    if abs(found.offset_adu - baseline) > max(found.read_noise_adu, 1.0):
        warnings.append(
            f"the dark level is {found.offset_adu:.1f} ADU, but {baseline:g} ADU are subtracted from images"
        )
    rates = _spad_rates(run)
    rms_e = found.read_noise_adu * gain
    rms_err_e = rms_e * float(np.sqrt(np.pi / 4.0 / (max(found.frames - 1, 1) * found.mean_adu.size)))
    return DarkReport(
        measurement=run.start["measurement"], origin=origin_of_run(run),
        method=f"median over the pixels of the mean of {found.frames} frames; noise from frame to frame",
        notes=(*found.notes, *(note for rate in rates.values() for note in rate.notes)), warnings=tuple(warnings),
        data=picture(run), fit=found, level_adu=Value(found.offset_adu, found.offset_err_adu, "ADU"),
        read_noise_e=Value(rms_e, rms_err_e, "electrons"), hot_px=found.hot_pixels,
        spad_dark_Hz={spad: Value(rate.rate_Hz, rate.rate_err_Hz, "Hz") for spad, rate in rates.items()},
    )  # fmt: skip


def _spad_rates(run: RunData) -> dict[str, DarkRate]:
    if "hbt_capture_duration_s" not in run.data:
        return {}
    counts = {spad: int(run.data[f"hbt_{spad}_counts"].sum()) for spad in SPADS}
    baseline_Hz = run.config.get("hbt_guard_baseline_dark_Hz")
    return spad_dark_rates(counts, float(run.data["hbt_capture_duration_s"].sum()), baseline_Hz=baseline_Hz)
