"""Light as it leaves the microscope: at points of the slit plane, or collected over an area.

Amounts of light are emission units (see `layout.py`) times the relative excitation density.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cryopl_bluesky.sim.layout import BeadLayout, EmitterLayout, FloatArray, PlateLayout, SolutionLayout
from cryopl_bluesky.sim.light_path import (
    CHIP_PX,
    PIXEL_UM,
    PSF_SIGMA_UM,
    SPAD_IMAGE_UM,
    LightPath,
    excitation,
    excited_half_width_um,
)

SHIFT_STEP_EV = 2.5e-4
_COLLECTION_POINTS = 600
_FAINTEST = 1e-6
ContinuousLayout = PlateLayout | SolutionLayout | BeadLayout


@dataclass(frozen=True)
class Sources:
    """Light sorted by the energy shift of its lines.

    Attributes:
        light: amount of each source, shape (n,).
        shift_eV: its energy shift, shape (n,).
        single: each source is one emitter (else a class of many).
    """

    light: FloatArray
    shift_eV: FloatArray
    single: bool


def surface_light(
    layout: ContinuousLayout, path: LightPath, x_um: FloatArray, y_um: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Light per um^2 of the slit plane and its energy shift on the grid of positions on the chip.

    Args:
        layout: plates, solution or beads.
        path: state of the optics.
        x_um: positions along the dispersion on the chip, ascending, shape (nx,).
        y_um: positions along the slit on the chip, ascending, shape (ny,).

    Returns:
        Light and energy shift (eV), both of shape (ny, nx).
    """
    at_x_um, at_y_um = x_um / path.magnification, y_um / path.magnification
    brightness, shift_eV = layout.brightness(at_x_um, at_y_um, PSF_SIGMA_UM)
    exciting = excitation(at_x_um[None, :], at_y_um[:, None], path.l1_in)
    return brightness * exciting / path.magnification**2, shift_eV


def emitters_on_chip(
    layout: EmitterLayout, path: LightPath
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Excited emitters: x and y on the chip (um), light and energy shift (eV), each of shape (n,)."""
    x_um, y_um, strengths, shifts_eV = layout.emitters()
    light = strengths * excitation(x_um, y_um, path.l1_in)
    seen = light > _FAINTEST * light.max()
    return x_um[seen] * path.magnification, y_um[seen] * path.magnification, light[seen], shifts_eV[seen]


def collected_with_l5(layout: ContinuousLayout | EmitterLayout, path: LightPath) -> Sources:
    """All light of the field of view (13.3 mm on the chip), as L5 squeezes it into the slit."""
    half_um = CHIP_PX * PIXEL_UM / path.magnification / 2.0
    return _collected(layout, path.l1_in, half_um, half_um)


def collected_through_slit(layout: ContinuousLayout | EmitterLayout, path: LightPath) -> Sources:
    """Light of the image within the entrance slit and the 75 um high spot that a SPAD sees, without L5."""
    chip_um = 2.0 * path.magnification
    return _collected(layout, path.l1_in, path.entrance_slit_um / chip_um, SPAD_IMAGE_UM / chip_um)


@lru_cache(maxsize=32)
def _collected(
    layout: ContinuousLayout | EmitterLayout, l1_in: bool, half_x_um: float, half_y_um: float
) -> Sources:
    reach_um = excited_half_width_um(l1_in)
    half_x_um, half_y_um = min(half_x_um, reach_um), min(half_y_um, reach_um)
    if isinstance(layout, EmitterLayout):
        x_um, y_um, strengths, shifts_eV = layout.emitters()
        inside = _within(x_um, half_x_um) * _within(y_um, half_y_um)
        light = strengths * excitation(x_um, y_um, l1_in) * inside
        seen = light > _FAINTEST * light.max()
        return Sources(light[seen], shifts_eV[seen], single=True)
    x_um, y_um = _midpoints(half_x_um), _midpoints(half_y_um)
    brightness, shifts_eV = layout.brightness(x_um, y_um, PSF_SIGMA_UM)
    light = brightness * excitation(x_um[None, :], y_um[:, None], l1_in)
    light *= 4.0 * half_x_um * half_y_um / light.size
    classes, amounts = shift_classes(light.ravel(), shifts_eV.ravel())
    return Sources(amounts, classes, single=False)


def _midpoints(half_um: float) -> FloatArray:
    """Midpoints of equal intervals, fine enough for the point spread, that cover +-half_um."""
    points = int(np.clip(np.ceil(2.0 * half_um / (PSF_SIGMA_UM / 4.0)), 8, _COLLECTION_POINTS))
    return ((np.arange(points) + 0.5) / points * 2.0 - 1.0) * half_um


def _within(position_um: FloatArray, half_um: float) -> FloatArray:
    """Fraction of the blurred image of a point that lies within +-half_um."""
    return ndtr((half_um - position_um) / PSF_SIGMA_UM) - ndtr((-half_um - position_um) / PSF_SIGMA_UM)


def shift_weights(shift_eV: FloatArray) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
    """Express energy shifts by a common grid of shifts (multiples of `SHIFT_STEP_EV`).

    Returns:
        The grid (k,), the index of the lower neighbour of each shift and the weight of the upper one; the
        mean shift is kept, and the shift 0 stays exactly 0.
    """
    steps = shift_eV / SHIFT_STEP_EV
    first = int(np.floor(steps.min(initial=0.0)))
    lower = np.floor(steps).astype(np.intp)
    grid = np.arange(first, int(lower.max(initial=0)) + 2) * SHIFT_STEP_EV
    return grid, lower - first, steps - lower


def shift_classes(light: FloatArray, shift_eV: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum light by energy shift: the grid of shifts and the amount at each, both of shape (k,)."""
    grid, lower, weight = shift_weights(shift_eV)
    lower_light = np.bincount(lower, light * (1.0 - weight), grid.size)
    upper_light = np.bincount(lower + 1, light * weight, grid.size)
    return grid, np.asarray(lower_light + upper_light, dtype=np.float64)
