"""The eight instruments that every plan works with, by the names that every profile uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from cryopl_bluesky.devices.base import Instrument
from cryopl_bluesky.drivers.operator import Operator

if TYPE_CHECKING:
    from cryopl_bluesky.devices.camera import Camera
    from cryopl_bluesky.devices.cryostat import Cryostat
    from cryopl_bluesky.devices.flip_mount import FlipMount
    from cryopl_bluesky.devices.hbt import Hbt
    from cryopl_bluesky.devices.laser import Laser
    from cryopl_bluesky.devices.microscope import Microscope
    from cryopl_bluesky.devices.spectrograph import Spectrograph


@dataclass(frozen=True)
class Instruments:
    """The microscope as plans see it.

    Attributes:
        camera: ZL41 Wave at the image port.
        spectrograph: Kymera 328i with slits, turret, exit-port mirror and shutter.
        cryostat: attoDRY800.
        laser: 405 nm excitation.
        hbt: Time Tagger with two SPADs.
        l1_flip: wide field or focused excitation.
        l5_flip: whole image into the slit, or image on the slit.
        microscope: manual optics and calibration.
        operator: who moves the manual parts; the answers given go into every start document.
        default_repetition_rate_Hz: laser rate of a plan that does not name one.
        default_intensity_permille: laser intensity of a plan that does not name one.
    """

    camera: Camera
    spectrograph: Spectrograph
    cryostat: Cryostat
    laser: Laser
    hbt: Hbt
    l1_flip: FlipMount
    l5_flip: FlipMount
    microscope: Microscope
    operator: Operator
    default_repetition_rate_Hz: float
    default_intensity_permille: float

    def __iter__(self) -> Iterator[Instrument]:
        """The instruments in the order of this class."""
        values = (getattr(self, field.name) for field in fields(self))
        return (value for value in values if isinstance(value, Instrument))
