"""Stubs that send the light somewhere: set, verify, switch on, and leave safe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bluesky import plan_stubs as bps
from bluesky.utils import Msg, MsgGenerator, short_uid

from cryopl_bluesky.devices.base import Instrument
from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError

MIRROR = 0.0
SLIT_TOLERANCE_UM = 1.0
WAVELENGTH_TOLERANCE_NM = 0.05
"""Slack between what was asked and what is read back: the vendor's 32-bit micrometres and one motor step."""
SHORTEST_DETECTION_NM = 425.0
"""The dichroic and the long pass block everything below (setup.md, section 2)."""


@dataclass(frozen=True)
class BeamPath:
    """Where every movable part of the path must stand.

    Attributes:
        port: exit port, "camera" or "hbt".
        l1: "in" for wide-field excitation, "out" for a focused spot.
        l5: "in" sends the whole image into the slit, "out" puts the image on the slit.
        lines_per_mm: grating; 0 = mirror.
        centre_wavelength_nm: centre wavelength; ignored with the mirror.
        entrance_slit_um: entrance slit.
        exit_slit_um: exit slit; None leaves it where it is.
        long_pass: "out" lets laser light through; the operator moves it.
        lamp: "on" for light of a lamp; the operator switches it.
    """

    port: Literal["camera", "hbt"]
    l1: Literal["in", "out"] = "in"
    l5: Literal["in", "out"] = "out"
    lines_per_mm: float = MIRROR
    centre_wavelength_nm: float = 0.0
    entrance_slit_um: float = 50.0
    exit_slit_um: float | None = None
    long_pass: Literal["in", "out"] = "in"
    lamp: Literal["on", "off"] = "off"

    @property
    def dispersed(self) -> bool:
        """Whether a grating is in the beam."""
        return self.lines_per_mm != MIRROR


@dataclass(frozen=True)
class Excitation:
    """How the sample is excited.

    Attributes:
        repetition_rate_Hz: pulse rate of the laser.
        intensity_permille: intensity setting of the laser driver.
    """

    repetition_rate_Hz: float
    intensity_permille: float


def check_beam_path(ins: Instruments, path: BeamPath) -> None:
    """Refuse a path that the instruments cannot take, before anything moves.

    Raises:
        LimitError: no such grating, wavelength beyond it, or a slit outside its range.
    """
    spectrograph = ins.spectrograph
    turret = spectrograph.turret_of(path.lines_per_mm)
    if path.dispersed:
        check_wavelength(ins, turret, path.centre_wavelength_nm, path.long_pass)
    spectrograph.entrance_slit_um.check_value(path.entrance_slit_um)
    if path.exit_slit_um is not None:
        spectrograph.exit_slit_um.check_value(path.exit_slit_um)
    if path.port == "hbt" and path.l5 == "out":
        raise LimitError("l5_flip", "l5='out' at the hbt port: the image does not fit the SPAD's 50 um",
                         "use l5='in'")


def check_wavelength(
    ins: Instruments, turret: int, wavelength_nm: float, long_pass: Literal["in", "out"] = "in"
) -> None:
    """Refuse a centre wavelength that the filters block or the grating cannot reach.

    Args:
        ins: the instruments.
        turret: place of the grating.
        wavelength_nm: wanted centre.
        long_pass: whether the long pass is in the detection path.

    Raises:
        LimitError: names the limit and the grating.
    """
    low_nm, high_nm = ins.spectrograph.wavelength_limits_nm(turret)
    blocked = f"; the long pass blocks below {SHORTEST_DETECTION_NM:g} nm" if long_pass == "in" else ""
    shortest_nm = max(low_nm, SHORTEST_DETECTION_NM) if long_pass == "in" else low_nm
    if not shortest_nm <= wavelength_nm <= high_nm:
        raise LimitError(
            "spectrograph",
            f"centre_wavelength_nm={wavelength_nm:g} is outside {shortest_nm:g}..{high_nm:g} nm "
            f"(grating at turret {turret}{blocked})",
            "choose a wavelength inside, or another grating",
        )


def set_beam_path(ins: Instruments, path: BeamPath) -> MsgGenerator[None]:
    """Move every part of the path to where it must be, in the dark, and verify it.

    Where the parts stand is read from the instruments before and after, because somebody may have moved one by
    hand. Parts that stand right already do not move. The laser is locked and the shutter closed meanwhile.

    Raises:
        InstrumentError: a part does not report what was asked of it.
    """
    movable = (ins.spectrograph, ins.l1_flip, ins.l5_flip, ins.laser)
    yield from darken(ins)
    yield from _read_state(*movable)
    yield from _set_by_hand(ins, path)
    spectrograph = ins.spectrograph
    yield from _move_if_needed(
        (ins.l1_flip.lens, path.l1),
        (ins.l5_flip.lens, path.l5),
        (spectrograph.turret_position, spectrograph.turret_of(path.lines_per_mm)),
        (spectrograph.entrance_slit_um, path.entrance_slit_um),
        *([] if path.exit_slit_um is None else [(spectrograph.exit_slit_um, path.exit_slit_um)]),
        (spectrograph.port, path.port),
    )
    if path.dispersed:
        yield from _move_if_needed((spectrograph.centre_wavelength_nm, path.centre_wavelength_nm))
    yield from _read_state(*movable)
    verify_beam_path(ins, path)


def _set_by_hand(ins: Instruments, path: BeamPath) -> MsgGenerator[None]:
    """Have the operator do what is not as the path needs it, one request after the other.

    A long pass that nobody has named or moved is taken to be in, where it always is.
    """
    long_pass, lamp = ins.microscope.long_pass, ins.microscope.lamp
    if long_pass.get() != path.long_pass and not (path.long_pass == "in" and long_pass.get() == "not named"):
        yield from bps.mv(long_pass, path.long_pass)
    yield from _move_if_needed((lamp, path.lamp))


def _read_state(*instruments: Instrument) -> MsgGenerator[None]:
    group = short_uid("read_state")
    for instrument in instruments:
        yield Msg("trigger", instrument, group=group)
    yield Msg("wait", None, group=group)


def _move_if_needed(*moves: tuple) -> MsgGenerator[None]:
    wanted = [part for signal, target in moves if signal.get() != target for part in (signal, target)]
    if wanted:
        yield from bps.mv(*wanted)


def verify_beam_path(ins: Instruments, path: BeamPath) -> None:
    """Compare the read-backs with what the path needs.

    Raises:
        InstrumentError: names the part, where it should stand and where it does.
    """
    spectrograph = ins.spectrograph
    checks = [
        (ins.l1_flip.lens, path.l1, 0.0),
        (ins.l5_flip.lens, path.l5, 0.0),
        (spectrograph.port, path.port, 0.0),
        (spectrograph.turret_position, spectrograph.turret_of(path.lines_per_mm), 0.0),
        (spectrograph.entrance_slit_um, path.entrance_slit_um, SLIT_TOLERANCE_UM),
    ]
    if path.exit_slit_um is not None:
        checks.append((spectrograph.exit_slit_um, path.exit_slit_um, SLIT_TOLERANCE_UM))
    if path.dispersed:
        checks.append((spectrograph.centre_wavelength_nm, path.centre_wavelength_nm, WAVELENGTH_TOLERANCE_NM))
    for signal, wanted, tolerance in checks:
        found = signal.get()
        right = found == wanted if isinstance(wanted, str) else abs(found - wanted) <= tolerance
        if not right:
            raise InstrumentError(signal.root.name, f"{signal.attr_name} should be {wanted!r} but reads {found!r}",
                                  "check the part by hand; nothing was exposed")


def light_on(ins: Instruments, excitation: Excitation, shutter_open: bool = True) -> MsgGenerator[None]:
    """Switch the laser on at the given rate and intensity and open the shutter.

    The laser's own safe order (dark, set, unlock, verify, ramp) is the laser device's business.

    Args:
        ins: the instruments.
        excitation: rate and intensity.
        shutter_open: False leaves the spectrograph dark: light on the sample only.
    """
    laser = ins.laser
    yield from _move_if_needed((laser.repetition_rate_Hz, excitation.repetition_rate_Hz))
    yield from bps.mv(laser.intensity_permille, excitation.intensity_permille)
    yield from bps.mv(laser.emission, "on")
    if shutter_open:
        yield from bps.mv(ins.spectrograph.shutter, "open")


def verify_light(ins: Instruments) -> MsgGenerator[None]:
    """Make sure that the laser is still on, so that no run succeeds in the dark.

    Raises:
        InstrumentError: key, interlock, supply or the guard of the SPADs locked it meanwhile.
    """
    yield from _read_state(ins.laser)
    if ins.laser.emission.get() != "on":
        ins.hbt.guard.check()
        raise InstrumentError("laser", "locked itself during the run: the last events may be dark",
                              "check key switch and interlock, then repeat the measurement")


def darken(ins: Instruments) -> MsgGenerator[None]:
    """Lock the laser and close the shutter, both at once."""
    yield from bps.mv(ins.laser.emission, "off", ins.spectrograph.shutter, "closed")


def leave_safe(ins: Instruments) -> MsgGenerator[None]:
    """Laser off, shutter closed, SPADs dark (exit port at the camera); all three are tried even if one fails."""
    yield from bps.mv(
        ins.laser.emission, "off", ins.spectrograph.shutter, "closed", ins.spectrograph.port, "camera"
    )
