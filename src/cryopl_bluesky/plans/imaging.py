"""The measurements of the camera, each a run of its own.

Every plan takes the instruments first and then plain JSON values; in a session the instruments are filled in, so
that a user writes `RE(spectral_image(exposure_s=0.5))`. All of them end with the laser locked, the shutter
closed and the exit port at the camera, however they end.
"""

from __future__ import annotations

from typing import Any

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.plans.arguments import Lens, Permille, Positive, PositiveInt, excitation_of, stop_settings
from cryopl_bluesky.plans.beam_path import BeamPath, Excitation
from cryopl_bluesky.plans.exposures import events
from cryopl_bluesky.plans.measurement import Exposures, Measurement, Metadata, Reference, measurement_plan

WIDE_OPEN_UM = 2500.0
"""Entrance slit of the image mode: as wide as it goes."""


def camera_settings(ins: Instruments, exposure_s: float, frames: int) -> list[tuple[Any, Any]]:
    """The camera's settings for `frames` alike, one after the other, as (quantity, value)."""
    return [(ins.camera.exposure_s, exposure_s), (ins.camera.frames_expected, frames)]


def _spectra(
    ins: Instruments, path: BeamPath, excitation: Excitation, exposure_s: float, frames: int, spectrum: str
) -> Measurement:
    """Frames behind a grating, each with its wavelength axis."""
    return Measurement(
        path=path,
        exposures=Exposures(frames, exposure_s, frames=True),
        excitation=excitation,
        configure=camera_settings(ins, exposure_s, frames),
        detectors=[ins.cryostat, ins.camera],
        events=lambda: events(frames, [ins.cryostat, ins.camera], [ins.spectrograph.wavelength_axis]),
        md={"spectrum": spectrum},
    )


def image_of_the_sample(
    ins: Instruments, exposure_s: float, frames: int, l1: Lens, intensity_permille: float | None,
    repetition_rate_Hz: float | None, calibrates: Reference | None = None,
) -> Measurement:
    """Frames through the wide open slit, whatever they are of; arguments as for `widefield_image`.

    Args:
        ins: the instruments.
        exposure_s: exposure of one frame.
        frames: number of frames.
        l1: "in" or "out".
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        calibrates: what the image calibrates, if it does.
    """
    return Measurement(
        path=BeamPath(port="camera", l1=l1, entrance_slit_um=WIDE_OPEN_UM),
        exposures=Exposures(frames, exposure_s, frames=True),
        excitation=excitation_of(ins, intensity_permille, repetition_rate_Hz),
        configure=camera_settings(ins, exposure_s, frames),
        detectors=[ins.cryostat, ins.camera],
        events=lambda: events(frames, [ins.cryostat, ins.camera]),
        calibrates=calibrates,
    )


@measurement_plan
def widefield_image(
    ins: Instruments,
    exposure_s: Positive = 0.2,
    frames: PositiveInt = 1,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Photoluminescence image of the sample (mirror in the turret, entrance slit wide open).

    Args:
        ins: the instruments.
        exposure_s: exposure of one frame.
        frames: number of frames.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        md: more keys for the start document.
    """
    return image_of_the_sample(ins, exposure_s, frames, l1, intensity_permille, repetition_rate_Hz)


@measurement_plan
def spectral_image(
    ins: Instruments,
    exposure_s: Positive = 1.0,
    centre_wavelength_nm: Positive = 525.0,
    frames: PositiveInt = 1,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 50.0,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Spectra along the acquisition line: rows are positions, columns are wavelengths.

    Args:
        ins: the instruments.
        exposure_s: exposure of one frame.
        centre_wavelength_nm: wavelength at the centre of the chip.
        frames: number of frames.
        lines_per_mm: grating.
        entrance_slit_um: width of the slit, and of the line on the sample.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        md: more keys for the start document.
    """
    path = BeamPath("camera", l1, "out", lines_per_mm, centre_wavelength_nm, entrance_slit_um)
    excitation = excitation_of(ins, intensity_permille, repetition_rate_Hz)
    return _spectra(ins, path, excitation, exposure_s, frames, "position_resolved")


@measurement_plan
def total_spectrum(
    ins: Instruments,
    exposure_s: Positive = 1.0,
    centre_wavelength_nm: Positive = 525.0,
    frames: PositiveInt = 1,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 50.0,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Spectrum of all light of the image (L5 focuses the image into the slit; rows are no positions).

    Args:
        ins: the instruments.
        exposure_s: exposure of one frame.
        centre_wavelength_nm: wavelength at the centre of the chip.
        frames: number of frames.
        lines_per_mm: grating.
        entrance_slit_um: width of the slit.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        md: more keys for the start document.
    """
    path = BeamPath("camera", l1, "in", lines_per_mm, centre_wavelength_nm, entrance_slit_um)
    excitation = excitation_of(ins, intensity_permille, repetition_rate_Hz)
    return _spectra(ins, path, excitation, exposure_s, frames, "image_total_spectrum")


@measurement_plan
def dark(
    ins: Instruments,
    exposure_s: Positive = 1.0,
    frames: PositiveInt = 10,
    md: Metadata | None = None,
) -> Measurement:
    """Dark frames and SPAD dark rates: laser locked, shutter closed, exit port at the camera.

    Args:
        ins: the instruments.
        exposure_s: exposure of one frame; the SPADs count for as long.
        frames: number of frames.
        md: more keys for the start document.
    """
    return Measurement(
        path=BeamPath(port="camera"),
        exposures=Exposures(frames, exposure_s, frames=True),
        excitation=None,
        configure=[
            *camera_settings(ins, exposure_s, frames),
            (ins.hbt.record, "rates"),
            (ins.hbt.store_tags, False),
            (ins.hbt.expect_sync, False),
            (ins.hbt.duration_s, exposure_s),
            *stop_settings(ins, None),
        ],
        detectors=[ins.cryostat, ins.camera, ins.hbt],
        events=lambda: events(frames, [ins.cryostat, ins.camera, ins.hbt]),
        calibrates=Reference((
            "camera_gain", "camera_readout_rate", "camera_binning", "exposure_s", "spad1_channel", "spad2_channel",
        )),
    )
