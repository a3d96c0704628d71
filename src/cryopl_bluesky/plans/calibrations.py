"""Calibrations that need a hand at the microscope, each a run of its own; docs/calibrating.md says in which order.

Their start documents say what they are valid for (`calibration_of`); measurements name the ones they use. The dark
frames and the delay between the SPADs are among the other plans (`imaging.dark`, `photon_counting.channel_delay`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from bluesky import plan_stubs as bps
from bluesky.utils import Msg, MsgGenerator
from pydantic import Field

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.devices.power_meter import PowerMeter
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError
from cryopl_bluesky.plans.arguments import Lens, Permille, Positive, PositiveInt, excitation_of
from cryopl_bluesky.plans.beam_path import SHORTEST_DETECTION_NM, BeamPath, check_wavelength
from cryopl_bluesky.plans.exposures import event, wavelength_scan
from cryopl_bluesky.plans.imaging import WIDE_OPEN_UM, camera_settings, image_of_the_sample
from cryopl_bluesky.plans.measurement import Exposures, Measurement, Metadata, Reference, measurement_plan
from cryopl_bluesky.plans.photon_counting import SPAD_CHANNELS, mean_step_nm, photon_settings

RAMP_STEPS = 20
"""Steps in which the laser comes up from zero while the SPADs look at its own light."""
LOOK_S = 0.1
"""Counting time at each of them."""
HIGHEST_RATE_PER_PULSE = 0.02
"""Clicks of one SPAD per laser pulse above which pile-up bends the response [a setting: `max_rate_Hz`]."""
READING_S = 30.0
"""What a reading of the power meter takes, for estimates."""

RelativeError = Annotated[float, Field(gt=0, lt=1)]


@measurement_plan
def irf(
    ins: Instruments,
    duration_s: Positive = 30.0,
    wavelength_nm: Positive | None = None,
    binwidth_ps: PositiveInt = 5,
    max_rate_Hz: Positive | None = None,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 100.0,
    exit_slit_um: Positive = 100.0,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Instrument response: a histogram per SPAD of scattered laser light, with the long pass out.

    The operator takes the long pass out, or has said so before; without that nothing is measured. The laser comes up
    from zero in steps, and the plan gives up where a SPAD counts too fast. The next measurement has the long pass put
    back. Bins should be fine: they can be added up to those of any decay, but not split.

    Args:
        ins: the instruments.
        duration_s: time of counting.
        wavelength_nm: centre of the detected band; None = the laser's.
        binwidth_ps: bin width of the histogram; it covers one laser period.
        max_rate_Hz: highest count rate of one SPAD; None = 2 clicks per 100 laser pulses.
        lines_per_mm: grating.
        entrance_slit_um: entrance slit.
        exit_slit_um: exit slit.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; the pulse depends on it, so take that of the measurements (None = the
            profile's) and weaken the light by other means if it is too much.
        repetition_rate_Hz: laser rate, likewise; None = the profile's.
        md: more keys for the start document.
    """
    excitation = excitation_of(ins, intensity_permille, repetition_rate_Hz)
    rate_Hz = excitation.repetition_rate_Hz
    centre_nm = float(ins.laser.wavelength_nm.get()) if wavelength_nm is None else wavelength_nm
    highest_Hz = HIGHEST_RATE_PER_PULSE * rate_Hz if max_rate_Hz is None else max_rate_Hz

    def raised_and_counted() -> MsgGenerator[None]:
        yield from _raise_power(ins, excitation.intensity_permille, highest_Hz, duration_s)
        yield from event([ins.cryostat, ins.hbt], [ins.spectrograph.centre_wavelength_nm])

    return Measurement(
        path=BeamPath("hbt", l1, "in", lines_per_mm, centre_nm, entrance_slit_um, exit_slit_um, long_pass="out"),
        exposures=Exposures(1, duration_s + RAMP_STEPS * LOOK_S),
        excitation=excitation,
        begin_permille=0.0,
        configure=photon_settings(ins, "decay", duration_s, rate_Hz, binwidth_ps, store_tags=False, until=None),
        detectors=[ins.cryostat, ins.hbt],
        events=raised_and_counted,
        calibrates=Reference(
            ("repetition_rate_Hz", "intensity_permille", *SPAD_CHANNELS, "sync_channel"),
            values={"wavelength_nm": centre_nm, "max_rate_Hz": highest_Hz},
        ),
    )


def _raise_power(ins: Instruments, permille: float, highest_Hz: float, duration_s: float) -> MsgGenerator[None]:
    """Bring the laser up from zero, and look at the SPADs at each step.

    Raises:
        InstrumentError: a SPAD counts faster than `highest_Hz`.
    """
    yield from bps.mv(ins.hbt.duration_s, LOOK_S)
    for step in range(1, RAMP_STEPS + 1):
        reached = permille * step / RAMP_STEPS
        yield from bps.mv(ins.laser.intensity_permille, reached)
        yield Msg("trigger", ins.hbt, group="look")
        yield Msg("wait", None, group="look")
        for spad in ("spad1", "spad2"):
            found_Hz = getattr(ins.hbt, f"{spad}_rate_Hz").get()
            if found_Hz > highest_Hz:
                raise InstrumentError(
                    "hbt", f"{spad} counts {found_Hz:.3g} Hz of laser light at {reached:.0f} of {permille:.0f} "
                    f"permille, above max_rate_Hz={highest_Hz:.3g}",
                    "weaken the scattered light, for example by a narrower slit",
                )
    yield from bps.mv(ins.hbt.duration_s, duration_s)


@measurement_plan
def scale(
    ins: Instruments,
    exposure_s: Positive = 0.2,
    frames: PositiveInt = 1,
    bead_diameter_um: Positive = 2.11,
    bead_diameter_err_um: Positive = 0.2,
    bead_profile: Literal["ball", "disc"] = "ball",
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Length scale of the present relay: an image of fluorescent beads of known diameter on the sample plane.

    Args:
        ins: the instruments.
        exposure_s: exposure of one frame.
        frames: number of frames.
        bead_diameter_um: diameter of the beads.
        bead_diameter_err_um: its standard error, by the maker; all lengths measured later carry it.
        bead_profile: "ball" for beads that are dyed throughout, brighter in the middle; "disc" for evenly bright
            ones. The wrong one makes the scale wrong by up to a fifth.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        md: more keys for the start document.
    """
    reference = Reference(("relay",), values={
        "bead_diameter_um": bead_diameter_um, "bead_diameter_err_um": bead_diameter_err_um,
        "bead_profile": bead_profile,
    })
    return image_of_the_sample(ins, exposure_s, frames, l1, intensity_permille, repetition_rate_Hz, reference)


@measurement_plan
def spot(
    ins: Instruments,
    exposure_s: Positive = 0.2,
    frames: PositiveInt = 1,
    l1: Lens = "in",
    intensity_permille: Permille | None = None,
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Excitation spot: an image of a uniform fluorescent film on the sample plane.

    Args:
        ins: the instruments.
        exposure_s: exposure of one frame; no pixel may be saturated.
        frames: number of frames.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        intensity_permille: laser intensity; None = the profile's.
        repetition_rate_Hz: laser rate; None = the profile's.
        md: more keys for the start document.

    Raises:
        LimitError: the widest slit cuts the image of the spot; the other relay is needed.
    """
    microscope = ins.microscope
    slit_um = WIDE_OPEN_UM / microscope.magnification.get()
    spot_um = microscope.spot_diameter_x_um.get()
    if l1 == "in" and slit_um < spot_um:
        raise LimitError(
            "spot", f"the slit shows {slit_um:.1f} um of the sample, the spot is about {spot_um:.1f} um wide "
            f"(relay {microscope.relay.get()})", "build in the relay 1x and name it in the profile",
        )
    return image_of_the_sample(
        ins, exposure_s, frames, l1, intensity_permille, repetition_rate_Hz, Reference(("l1",))
    )


@measurement_plan
def wavelength_lines(
    ins: Instruments,
    lines_nm: Annotated[list[Positive], Field(min_length=1)],
    source: str = "lamp",
    centre_wavelengths_nm: Annotated[list[Positive], Field(min_length=1)] = [525.0],  # noqa: B006 - never changed
    exposure_s: Positive = 0.5,
    lines_per_mm: Positive = 600.0,
    entrance_slit_um: Positive = 20.0,
    md: Metadata | None = None,
) -> Measurement:
    """Spectra of a lamp, or of alignment lasers, whose wavelengths are known; the excitation laser stays locked.

    The operator switches the lamp on first; the next measurement has it switched off.

    Args:
        ins: the instruments.
        lines_nm: reference wavelengths of the lines in the spectra, in the medium of the profile's calibration (air).
        source: what shines, for the record, for example "Hg lamp".
        centre_wavelengths_nm: wavelengths at the centre of the chip, one frame each.
        exposure_s: exposure of one frame.
        lines_per_mm: grating.
        entrance_slit_um: width of the slit; narrow, so that a line is narrow.
        md: more keys for the start document.
    """
    blocked = [line_nm for line_nm in lines_nm if line_nm < SHORTEST_DETECTION_NM]
    if blocked:
        raise LimitError("wavelength_lines", f"lines_nm={blocked} are blocked by the long pass",
                         f"name lines above {SHORTEST_DETECTION_NM:g} nm")
    turret = ins.spectrograph.turret_of(lines_per_mm)
    for centre_nm in centre_wavelengths_nm:
        check_wavelength(ins, turret, centre_nm)
    centres, exposures = centre_wavelengths_nm, len(centre_wavelengths_nm)
    readings = [ins.spectrograph.centre_wavelength_nm, ins.spectrograph.wavelength_axis]
    return Measurement(
        path=BeamPath("camera", "in", "out", lines_per_mm, centres[0], entrance_slit_um, lamp="on"),
        exposures=Exposures(exposures, exposure_s, frames=True, step_nm=mean_step_nm(centres)),
        excitation=None,
        shutter_open=True,
        configure=camera_settings(ins, exposure_s, frames=1),  # one at a time: the grating moves in between
        detectors=[ins.cryostat, ins.camera],
        events=lambda: wavelength_scan(ins.spectrograph, centres, [ins.cryostat, ins.camera], readings),
        md={"spectrum": "lamp"},
        calibrates=Reference(("lines_per_mm",), values={
            "lines_nm": list(lines_nm), "source": source, "medium": ins.microscope.wavelength_medium.get(),
        }),
    )


@measurement_plan
def laser_power(
    ins: Instruments,
    intensities_permille: Annotated[list[Permille], Field(min_length=2)],
    readings_uW: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = None,
    meter_rel_err: RelativeError = 0.05,
    l1: Lens = "in",
    repetition_rate_Hz: Positive | None = None,
    md: Metadata | None = None,
) -> Measurement:
    """Average laser power at the sample against the intensity setting, read from a power meter by the operator.

    Args:
        ins: the instruments.
        intensities_permille: intensity settings, one reading each, in this order.
        readings_uW: the readings, if they are known already (same order); None = the operator is asked.
        meter_rel_err: relative error of a reading, by the meter's specification.
        l1: "in" for wide-field excitation, "out" for the focused spot.
        repetition_rate_Hz: laser rate; power depends on it. None = the profile's.
        md: more keys for the start document.
    """
    number = len(intensities_permille)
    if readings_uW is not None and len(readings_uW) != number:
        raise LimitError("laser_power", f"{len(readings_uW)} readings_uW for {number} intensities_permille",
                         "give one reading for each intensity")
    for permille in intensities_permille:
        ins.laser.intensity_permille.check_value(permille)
    excitation = excitation_of(ins, intensities_permille[0], repetition_rate_Hz)
    meter = PowerMeter(ins.operator, name="power_meter", readings_uW=readings_uW or (), rel_err=meter_rel_err)

    def read_at_each() -> MsgGenerator[None]:
        try:
            for permille in intensities_permille:
                yield from bps.mv(ins.laser.intensity_permille, permille)
                yield from event([ins.laser, meter])
        finally:
            meter.shutdown()

    detectors: list[Any] = [meter]
    return Measurement(
        path=BeamPath(port="camera", l1=l1),
        exposures=Exposures(number, 0.0 if readings_uW else READING_S),
        excitation=excitation,
        shutter_open=False,
        detectors=detectors,
        events=read_at_each,
        calibrates=Reference(
            ("repetition_rate_Hz",),
            ranges={"intensity_permille": (min(intensities_permille), max(intensities_permille))},
            values={"meter_rel_err": meter_rel_err},
        ),
    )
