"""The measurements of the two SPADs, each a run of its own.

Every plan takes the instruments first and then plain JSON values; in a session the instruments are filled in, so
that a user writes `RE(g2(duration_s=60))`. All of them end with the laser locked, the shutter
closed and the exit port at the camera, however they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.drivers.errors import LimitError
from cryopl_bluesky.plans.arguments import (
    Lens,
    Permille,
    Positive,
    PositiveInt,
    Until,
    excitation_of,
    stop_settings,
)
from cryopl_bluesky.plans.beam_path import BeamPath, check_wavelength
from cryopl_bluesky.plans.exposures import event, wavelength_scan
from cryopl_bluesky.plans.measurement import Exposures, Measurement, Metadata, Reference, measurement_plan

SPAD_CHANNELS = ("spad1_channel", "spad2_channel")
"""Conditions that a calibration of the SPADs depends on."""


def photon_settings(
    ins: Instruments, record: str, duration_s: float, rate_Hz: float, binwidth_ps: int, store_tags: bool,
    until: Until | None,
) -> list[tuple[Any, Any]]:
    """The interferometer's settings for histograms over one laser period, as (quantity, value).

    Raises:
        LimitError: the bins are wider than half of the period.
    """
    period_ps = 1e12 / rate_Hz
    if binwidth_ps > period_ps / 2:
        raise LimitError("hbt", f"binwidth_ps={binwidth_ps} is above half of the laser period of {period_ps:.0f} ps",
                         "choose a smaller bin width")
    return [
        (ins.hbt.record, record),
        (ins.hbt.store_tags, store_tags),
        (ins.hbt.expect_sync, True),
        (ins.hbt.duration_s, duration_s),
        *stop_settings(ins, until),
        (ins.hbt.repetition_rate_Hz, rate_Hz),
        (ins.hbt.decay_binwidth_ps, binwidth_ps),
        (ins.hbt.decay_bins, int(period_ps // binwidth_ps)),
    ]


def _pair_histogram(ins: Instruments, side_peaks: int, rate_Hz: float, binwidth_ps: int) -> list[tuple[Any, Any]]:
    """Delays of so many whole laser periods on either side of zero."""
    half_bins = round((side_peaks + 0.5) * 1e12 / rate_Hz / binwidth_ps)
    return [(ins.hbt.g2_binwidth_ps, binwidth_ps), (ins.hbt.g2_bins, 2 * half_bins + 1)]


def mean_step_nm(wavelengths_nm: Sequence[float]) -> float:
    """Mean distance between neighbours in the order of the scan."""
    return float(np.abs(np.diff(wavelengths_nm)).mean()) if len(wavelengths_nm) > 1 else 0.0


@measurement_plan
def decay(
    ins: Instruments,
    duration_s: Positive = 10.0,
    until: Until | None = None,
    wavelength_nm: Positive = 525.0,
    binwidth_ps: PositiveInt = 50,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 100.0,
    exit_slit_um: Positive = 100.0,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    store_tags: bool = False,
    md: Metadata | None = None,
) -> Measurement:
    """Time-resolved photoluminescence at one wavelength: a decay histogram per SPAD.

    Args:
        ins: the instruments.
        duration_s: time of counting; with `until` the time limit.
        until: stop earlier, at so many "seconds", so many "photons", or at a relative "precision" of the mean
            lifetime, for example {"precision": 0.02}; whichever comes first.
        wavelength_nm: centre of the detected band.
        binwidth_ps: bin width of the histogram; it covers one laser period.
        lines_per_mm: grating.
        entrance_slit_um: entrance slit.
        exit_slit_um: exit slit; it sets the detected bandwidth.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        store_tags: keep the time tags themselves, in one file per run.
        md: more keys for the start document.
    """
    excitation = excitation_of(ins, intensity_permille, repetition_rate_Hz)
    tags = [ins.hbt.tags] if store_tags else []
    return Measurement(
        path=BeamPath("hbt", l1, "in", lines_per_mm, wavelength_nm, entrance_slit_um, exit_slit_um),
        exposures=Exposures(1, duration_s, tags=store_tags),
        excitation=excitation,
        configure=photon_settings(
            ins, "decay", duration_s, excitation.repetition_rate_Hz, binwidth_ps, store_tags, until
        ),
        detectors=[ins.cryostat, ins.hbt],
        collecting=tags,
        events=lambda: event([ins.cryostat, ins.hbt], [ins.spectrograph.centre_wavelength_nm], tags),
    )


@measurement_plan
def trpl_map(
    ins: Instruments,
    start_nm: Positive = 466.0,
    stop_nm: Positive = 546.0,
    step_nm: Positive = 1.0,
    dwell_s: Positive = 10.0,
    until: Until | None = None,
    order: Literal["ascending", "interleaved"] = "ascending",
    binwidth_ps: PositiveInt = 100,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 100.0,
    exit_slit_um: Positive = 100.0,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    store_tags: bool = False,
    md: Metadata | None = None,
) -> Measurement:
    """Decays across the line: one event, with its read-back wavelength, at every step.

    Args:
        ins: the instruments.
        start_nm: first centre wavelength.
        stop_nm: last centre wavelength, included.
        step_nm: step of the centre wavelength; independent of the bandwidth.
        dwell_s: time of counting at each wavelength; with `until` the time limit.
        until: stop each wavelength earlier, at so many "seconds", so many "photons", or at a relative "precision"
            of the mean lifetime; whichever comes first.
        order: "interleaved" goes up on even points and back on odd ones, which separates drift and bleaching
            from spectrum.
        binwidth_ps: bin width of the decay histograms.
        lines_per_mm: grating.
        entrance_slit_um: entrance slit.
        exit_slit_um: exit slit; it sets the detected bandwidth.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        store_tags: keep the time tags themselves, in one file per run.
        md: more keys for the start document.
    """
    if stop_nm < start_nm:
        raise LimitError("trpl_map", f"stop_nm={stop_nm:g} is below start_nm={start_nm:g}", "exchange them")
    excitation = excitation_of(ins, intensity_permille, repetition_rate_Hz)
    wavelengths_nm = (start_nm + step_nm * np.arange(int((stop_nm - start_nm) / step_nm + 1e-6) + 1)).tolist()
    if order == "interleaved":
        wavelengths_nm = wavelengths_nm[::2] + wavelengths_nm[1::2][::-1]
    turret = ins.spectrograph.turret_of(lines_per_mm)
    for wavelength_nm in (start_nm, stop_nm):
        check_wavelength(ins, turret, wavelength_nm)
    tags = [ins.hbt.tags] if store_tags else []
    return Measurement(
        path=BeamPath("hbt", l1, "in", lines_per_mm, wavelengths_nm[0], entrance_slit_um, exit_slit_um),
        exposures=Exposures(len(wavelengths_nm), dwell_s, tags=store_tags, step_nm=mean_step_nm(wavelengths_nm)),
        excitation=excitation,
        configure=photon_settings(
            ins, "decay", dwell_s, excitation.repetition_rate_Hz, binwidth_ps, store_tags, until
        ),
        detectors=[ins.cryostat, ins.hbt],
        collecting=tags,
        events=lambda: wavelength_scan(
            ins.spectrograph, wavelengths_nm, [ins.cryostat, ins.hbt], [ins.spectrograph.centre_wavelength_nm], tags
        ),
        md={"num_points": len(wavelengths_nm)},
    )


@measurement_plan
def g2(
    ins: Instruments,
    duration_s: Positive = 60.0,
    until: Until | None = None,
    wavelengths_nm: Annotated[list[Positive], Field(min_length=1)] = [525.0],  # noqa: B006 - never changed
    binwidth_ps: PositiveInt = 1000,
    side_peaks: Annotated[int, Field(ge=1, le=1000)] = 20,
    decay_binwidth_ps: PositiveInt = 100,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 100.0,
    exit_slit_um: Positive = 100.0,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    store_tags: bool = True,
    md: Metadata | None = None,
) -> Measurement:
    """Photon correlation of the two SPADs, spectrally selected; the decays of the same photons come along.

    Args:
        ins: the instruments.
        duration_s: time of counting at each wavelength; with `until` the time limit.
        until: stop each wavelength earlier, at so many "seconds", so many "photons", or at a "precision" (standard
            error) of g2(0), for example {"precision": 0.05}; whichever comes first.
        wavelengths_nm: centres of the detected bands, one event each.
        binwidth_ps: bin width of the delay histogram.
        side_peaks: laser periods on either side of zero delay that the histogram covers.
        decay_binwidth_ps: bin width of the decay histograms.
        lines_per_mm: grating.
        entrance_slit_um: entrance slit.
        exit_slit_um: exit slit; it sets the detected bandwidth.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        store_tags: keep the time tags themselves, in one file per run.
        md: more keys for the start document.
    """
    excitation = excitation_of(ins, intensity_permille, repetition_rate_Hz)
    rate_Hz = excitation.repetition_rate_Hz
    turret = ins.spectrograph.turret_of(lines_per_mm)
    for wavelength_nm in wavelengths_nm:
        check_wavelength(ins, turret, wavelength_nm)
    tags = [ins.hbt.tags] if store_tags else []
    return Measurement(
        path=BeamPath("hbt", l1, "in", lines_per_mm, wavelengths_nm[0], entrance_slit_um, exit_slit_um),
        exposures=Exposures(len(wavelengths_nm), duration_s, tags=store_tags, step_nm=mean_step_nm(wavelengths_nm)),
        excitation=excitation,
        configure=[
            *photon_settings(ins, "decay+g2", duration_s, rate_Hz, decay_binwidth_ps, store_tags, until),
            *_pair_histogram(ins, side_peaks, rate_Hz, binwidth_ps),
        ],
        detectors=[ins.cryostat, ins.hbt],
        collecting=tags,
        events=lambda: wavelength_scan(
            ins.spectrograph, wavelengths_nm, [ins.cryostat, ins.hbt], [ins.spectrograph.centre_wavelength_nm], tags
        ),
    )


@measurement_plan
def channel_delay(
    ins: Instruments,
    duration_s: Positive = 60.0,
    wavelength_nm: Positive = 525.0,
    binwidth_ps: PositiveInt = 50,
    side_peaks: Annotated[int, Field(ge=1, le=1000)] = 5,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 100.0,
    exit_slit_um: Positive = 100.0,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Calibration of the delay between the SPADs, on pulsed light of many emitters (or attenuated laser light).

    `cryopl show` gives the delay and what to write into the profile (`hbt.input_delays_ps`).

    Args:
        ins: the instruments.
        duration_s: time of counting.
        wavelength_nm: centre of the detected band; where the decay is fast, the delay is sharp.
        binwidth_ps: bin width of the delay histogram.
        side_peaks: laser periods on either side of zero delay that the histogram covers; all peaks count.
        lines_per_mm: grating.
        entrance_slit_um: entrance slit.
        exit_slit_um: exit slit; it sets the detected bandwidth.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's. The delay is known up to whole periods.
        md: more keys for the start document.
    """
    excitation = excitation_of(ins, intensity_permille, repetition_rate_Hz)
    rate_Hz = excitation.repetition_rate_Hz
    return Measurement(
        path=BeamPath("hbt", l1, "in", lines_per_mm, wavelength_nm, entrance_slit_um, exit_slit_um),
        exposures=Exposures(1, duration_s),
        excitation=excitation,
        configure=[
            *photon_settings(ins, "g2", duration_s, rate_Hz, binwidth_ps, store_tags=False, until=None),
            *_pair_histogram(ins, side_peaks, rate_Hz, binwidth_ps),
        ],
        detectors=[ins.cryostat, ins.hbt],
        events=lambda: event([ins.cryostat, ins.hbt], [ins.spectrograph.centre_wavelength_nm]),
        calibrates=Reference(SPAD_CHANNELS),
    )
