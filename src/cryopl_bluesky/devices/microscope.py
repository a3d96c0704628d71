"""The parts of the microscope that nothing drives: lenses, filters, iris, and the calibration they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt

from cryopl_bluesky.analysis.optics import imaging
from cryopl_bluesky.devices.base import Instrument, Quantity
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, NotConnectedError
from cryopl_bluesky.drivers.operator import Operator

RELAYS_MM = {"1x": (100.0, 100.0), "4x": (50.0, 200.0)}
"""Focal lengths of L3 and L4 (Tallarini et al., Nanoscale 2026, 18, 1474, Table 1)."""

BY_HAND_S = 3600.0
"""Longest wait for a person who moves a part."""


class Microscope(Instrument):
    """What a person set up, recorded with every run; defaults are those of the publication.

    Setting `long_pass` ("in" or "out") or `lamp` ("on" or "off") has the operator do it; what they confirmed is
    recorded. `long_pass` is "not named" until then when the filters given do not name it.

    Args:
        name: device name.
        operator: who moves the parts; None = nobody is here.
        long_pass: name of the filter that keeps the laser light from the detectors.
        relay: "4x" or "1x": which pair of lenses L3, L4 is in.
        filters: names in the order of the beam.
        iris_mm: diameter of the iris, 0 = open.
        scale_nm_per_px: bead calibration of this relay; 0 = none, then the lens values are used.
        scale_rel_err: relative error of that calibration.
        lens_scale_rel_err: relative error of the scale by lens values (the publication rounds the
            magnification by 4.5 %; a setting, not a measurement).
        irf_fwhm_ps: width of the instrument response.
        spot_diameter_x_um: 1/e2 diameter of the wide-field excitation spot.
        spot_diameter_y_um: the same in y.
        pixel_um: pixel pitch of the camera.
        f_objective_mm: focal length of the objective.
        f_l2_mm: focal length of the tube lens.
        objective_na: numerical aperture of the objective.
        fraction_at_sample: part of the measured laser power that reaches the sample.
        wavelength_medium: "air" or "vacuum": which wavelengths the calibration gives.

    Raises:
        LimitError: an unknown relay, or a calibration without its error.
    """

    relay = Cpt(Quantity, dtype=str, kind="config")
    magnification = Cpt(Quantity, precision=3, kind="config")
    nm_per_px = Cpt(Quantity, units="nm/px", precision=3, kind="config")
    scale_rel_err = Cpt(Quantity, precision=4, kind="config")
    scale_source = Cpt(Quantity, dtype=str, kind="config")
    filters = Cpt(Quantity, dtype=str, kind="config")
    long_pass = Cpt(Quantity, dtype=str, value="not named", choices=("in", "out"), kind="config",
                    write="_apply_long_pass", timeout_s=BY_HAND_S)
    lamp = Cpt(Quantity, dtype=str, value="off", choices=("on", "off"), kind="config", write="_apply_lamp",
               timeout_s=BY_HAND_S)
    pixel_um = Cpt(Quantity, units="um", precision=2, kind="config")
    f_objective_mm = Cpt(Quantity, units="mm", precision=2, kind="config")
    objective_na = Cpt(Quantity, precision=2, kind="config")
    iris_mm = Cpt(Quantity, units="mm", precision=2, kind="config")
    irf_fwhm_ps = Cpt(Quantity, units="ps", precision=1, kind="config")
    spot_diameter_x_um = Cpt(Quantity, units="um", precision=2, kind="config")
    spot_diameter_y_um = Cpt(Quantity, units="um", precision=2, kind="config")
    spot_definition = Cpt(Quantity, dtype=str, value="1/e2_diameter", kind="config")
    fraction_at_sample = Cpt(Quantity, precision=3, kind="config")
    wavelength_medium = Cpt(Quantity, dtype=str, kind="config")

    def __init__(
        self, *, name: str, relay: str = "4x", filters: Sequence[str] = (), iris_mm: float = 0.0,
        scale_nm_per_px: float = 0.0, scale_rel_err: float = 0.0, irf_fwhm_ps: float = 200.0,
        spot_diameter_x_um: float = 16.5, spot_diameter_y_um: float = 18.0, pixel_um: float = 6.5,
        f_objective_mm: float = 2.87, f_l2_mm: float = 300.0, objective_na: float = 0.82,
        fraction_at_sample: float = 1.0, wavelength_medium: str = "air", lens_scale_rel_err: float = 0.05,
        long_pass: str = "FELH0425", operator: Operator | None = None, **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self._operator, self._long_pass_name = operator, long_pass
        self._filter_names = list(filters)
        if relay not in RELAYS_MM:
            raise LimitError(name, f"relay={relay!r} does not exist", f"choose one of {', '.join(RELAYS_MM)}")
        if scale_nm_per_px > 0 and not scale_rel_err > 0:
            raise LimitError(name, f"scale_nm_per_px={scale_nm_per_px:g} has no error (scale_rel_err=0)",
                             "give the relative error of the calibration")
        lenses = imaging(f_objective_mm, f_l2_mm, RELAYS_MM[relay], pixel_um)
        calibrated = scale_nm_per_px > 0
        self.relay.put(relay)
        self.magnification.put(lenses.magnification)
        self.nm_per_px.put(scale_nm_per_px if calibrated else lenses.nm_per_px)
        self.scale_rel_err.put(scale_rel_err if calibrated else lens_scale_rel_err)
        self.scale_source.put("calibration" if calibrated else "lenses")
        self.filters.put(", ".join(filters))
        if long_pass in filters:
            self.long_pass.put("in")
        self.pixel_um.put(pixel_um)
        self.f_objective_mm.put(f_objective_mm)
        self.objective_na.put(objective_na)
        self.fraction_at_sample.put(fraction_at_sample)
        self.wavelength_medium.put(wavelength_medium)
        self.iris_mm.put(iris_mm)
        self.irf_fwhm_ps.put(irf_fwhm_ps)
        self.spot_diameter_x_um.put(spot_diameter_x_um)
        self.spot_diameter_y_um.put(spot_diameter_y_um)

    def _apply_long_pass(self, position: str) -> str:
        where = "INTO" if position == "in" else "OUT of"
        self.long_pass.put("unknown")  # until it was confirmed
        self._have_done(f"Please take the long pass {self._long_pass_name} {where} the detection path.")
        others = [name for name in self._filter_names if name != self._long_pass_name]
        self.filters.put(", ".join(self._filter_names if position == "in" else others))
        return position

    def _apply_lamp(self, state: str) -> str:
        self._have_done("Please switch the lamp on; its light must fall on the sample plane." if state == "on"
                        else "Please switch the lamp off, or take it away.")
        return state

    def _have_done(self, request: str) -> None:
        if self._operator is None:
            raise NotConnectedError(self.name, f"an operator is needed ({request!r}) but there is none",
                                    "run attended at a terminal")
        if self._operator.ask(self.name, request, ("done", "not possible")) != "done":
            raise InstrumentError(self.name, f"the operator could not do it: {request}", "nothing was exposed")

    def left_by_hand(self) -> list[str]:
        """What the operator has changed and not put back."""
        changed = []
        if self.long_pass.get() in ("out", "unknown"):
            changed.append(f"the long pass {self._long_pass_name} is not known to be in the detection path")
        if self.lamp.get() == "on":
            changed.append("the lamp is on")
        return changed

    def optics_record(self) -> dict[str, Any]:
        """What of this belongs into the `optics` key of a start document."""
        return {
            "relay": self.relay.get(),
            "filters": [name for name in self.filters.get().split(", ") if name],
            "iris_mm": self.iris_mm.get(),
            "scale_nm_per_px": self.nm_per_px.get(),
            "scale_rel_err": self.scale_rel_err.get(),
            "scale_source": self.scale_source.get(),
            "irf_fwhm_ps": self.irf_fwhm_ps.get(),
        }
