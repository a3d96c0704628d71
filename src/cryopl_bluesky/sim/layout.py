"""Where on the sample light comes from: plates, single emitters, a solution, or beads.

Brightness is counted in emission units: 1 per um^2 for plates and solution, 1 per emitter for emitters; the
sample says how many photons per second a unit gives. The sample plane has its origin on the optical axis, x
along the dispersion, y along the slit. Geometry is fixed by the parameters and the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, ndtr

from cryopl_bluesky.sim.emission import FWHM_PER_SIGMA

FloatArray = NDArray[np.floating[Any]]
_EDGE_FLAT_UP_TO = 0.5
_TAIL_SIGMAS = 5.0


@dataclass(frozen=True)
class Plate:
    """One square plate: centre, side, angle to the x axis, and its own energy offset."""

    x_um: float
    y_um: float
    side_um: float
    angle_rad: float
    offset_eV: float


def _edge_step(distance_um: FloatArray, half_um: float, psf_sigma_um: float) -> FloatArray:
    """1 inside +-half_um, 0 outside, blurred by a Gaussian point spread."""
    if psf_sigma_um == 0.0:
        return (np.abs(distance_um) <= half_um).astype(np.float64)
    return ndtr((distance_um + half_um) / psf_sigma_um) - ndtr((distance_um - half_um) / psf_sigma_um)


@dataclass(frozen=True)
class PlateLayout:
    """Square plates (superlattices): one in the centre of the field, the others scattered by the seed.

    The inner half of each plate has the plate's own energy exactly; from there to the rim the line moves to
    the blue by `edge_shift_eV` with the fourth power of the distance (max norm).

    Attributes:
        central_side_um: side of the plate at the origin, whose energy offset is 0.
        central_angle_rad: its angle.
        sides_um: smallest and largest side of the others.
        count: number of others that are tried; those that would touch another one are left out.
        extent_um: half side of the square that they are scattered over.
        offset_eV: largest energy offset (to the blue) of the others.
        edge_shift_eV: blue shift at the rim.
        seed: of positions, sizes, angles and offsets.
    """

    central_side_um: float = 4.0
    central_angle_rad: float = 0.12
    sides_um: tuple[float, float] = (1.0, 5.0)
    count: int = 250
    extent_um: float = 64.0
    offset_eV: float = 0.006
    edge_shift_eV: float = 0.008
    seed: int = 1

    def plates(self) -> tuple[Plate, ...]:
        """All plates, the central one first."""
        return _plates(self)

    def brightness(
        self, x_um: FloatArray, y_um: FloatArray, psf_sigma_um: float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """Emission units per um^2 and energy shift on the grid `x_um` by `y_um`.

        A square blurred by a Gaussian is a product of error functions along its sides, so the blur is exact.

        Args:
            x_um: ascending x positions, shape (nx,).
            y_um: ascending y positions, shape (ny,).
            psf_sigma_um: standard deviation of the point spread; 0 = as emitted.

        Returns:
            Brightness and energy shift (eV, weighted by brightness where plates overlap), both of shape
            (ny, nx).
        """
        total = np.zeros((y_um.size, x_um.size))
        weighted_eV = np.zeros_like(total)
        for plate in self.plates():
            reach_um = plate.side_um / np.sqrt(2.0) + _TAIL_SIGMAS * psf_sigma_um
            rows = slice(*np.searchsorted(y_um, [plate.y_um - reach_um, plate.y_um + reach_um]))
            columns = slice(*np.searchsorted(x_um, [plate.x_um - reach_um, plate.x_um + reach_um]))
            dx_um, dy_um = x_um[None, columns] - plate.x_um, y_um[rows, None] - plate.y_um
            if dx_um.size == 0 or dy_um.size == 0:
                continue
            cosine, sine = np.cos(plate.angle_rad), np.sin(plate.angle_rad)
            along_um, across_um = cosine * dx_um + sine * dy_um, cosine * dy_um - sine * dx_um
            half_um = plate.side_um / 2.0
            light = _edge_step(along_um, half_um, psf_sigma_um) * _edge_step(across_um, half_um, psf_sigma_um)
            rim = np.minimum(np.maximum(np.abs(along_um), np.abs(across_um)) / half_um, 1.0)
            rise = np.maximum(rim - _EDGE_FLAT_UP_TO, 0.0) / (1.0 - _EDGE_FLAT_UP_TO)
            total[rows, columns] += light
            weighted_eV[rows, columns] += light * (plate.offset_eV + self.edge_shift_eV * rise**4)
        return total, np.divide(weighted_eV, total, out=np.zeros_like(total), where=total > 0.0)


@lru_cache(maxsize=16)
def _plates(layout: PlateLayout) -> tuple[Plate, ...]:
    rng = np.random.default_rng([layout.seed, 1])
    plates = [Plate(0.0, 0.0, layout.central_side_um, layout.central_angle_rad, 0.0)]
    for _ in range(layout.count):
        x_um, y_um = rng.uniform(-layout.extent_um, layout.extent_um, 2)
        side_um = rng.uniform(*layout.sides_um)
        angle_rad, offset_eV = rng.uniform(0.0, np.pi / 2.0), rng.uniform(0.0, layout.offset_eV)
        apart = [
            (p.side_um + side_um) / np.sqrt(2.0) < np.hypot(p.x_um - x_um, p.y_um - y_um) for p in plates
        ]
        if all(apart):
            plates.append(Plate(float(x_um), float(y_um), float(side_um), float(angle_rad), float(offset_eV)))
    return tuple(plates)


@dataclass(frozen=True)
class SolutionLayout:
    """A homogeneous film of liquid (dye solution): one emission unit per um^2 everywhere, no energy shift."""

    def brightness(
        self, x_um: FloatArray, y_um: FloatArray, psf_sigma_um: float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """Emission units per um^2 and energy shift; see `PlateLayout.brightness`."""
        return np.ones((y_um.size, x_um.size)), np.zeros((y_um.size, x_um.size))


@dataclass(frozen=True)
class EmitterLayout:
    """Point emitters, one of them at the origin with strength 1 and energy shift 0, the others from the seed.

    Attributes:
        density_um2: emitters per um^2; 0 = the one at the origin only.
        extent_um: half side of the square that they are scattered over.
        energy_fwhm_eV: Gaussian spread of their energies (inhomogeneous width of the ensemble).
        strength_spread: standard deviation of the logarithm of their brightness.
        seed: of positions, energies and strengths.
    """

    density_um2: float = 0.05
    extent_um: float = 64.0
    energy_fwhm_eV: float = 0.030
    strength_spread: float = 0.3
    seed: int = 1

    def emitters(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Positions x and y (um), strengths (emission units) and energy shifts (eV), each of shape (n,)."""
        return _emitters(self)

    def brightness(
        self, x_um: FloatArray, y_um: FloatArray, psf_sigma_um: float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """Emission units per um^2 and mean energy shift; points without blur are drawn 10 nm wide (sigma)."""
        sigma_um = max(psf_sigma_um, 0.010)
        at_x_um, at_y_um, strengths, shifts_eV = self.emitters()
        profile_x = np.exp(-0.5 * ((x_um[None, :] - at_x_um[:, None]) / sigma_um) ** 2)
        profile_y = np.exp(-0.5 * ((y_um[:, None] - at_y_um[None, :]) / sigma_um) ** 2)
        profile_y *= strengths / (2.0 * np.pi * sigma_um**2)
        total = profile_y @ profile_x
        weighted_eV = (profile_y * shifts_eV) @ profile_x
        return total, np.divide(weighted_eV, total, out=np.zeros_like(total), where=total > 0.0)


@lru_cache(maxsize=16)
def _emitters(layout: EmitterLayout) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng([layout.seed, 2])
    others = round(layout.density_um2 * (2.0 * layout.extent_um) ** 2)
    x_um, y_um = rng.uniform(-layout.extent_um, layout.extent_um, (2, others))
    strengths = np.exp(layout.strength_spread * rng.standard_normal(others))
    shifts_eV = layout.energy_fwhm_eV / FWHM_PER_SIGMA * rng.standard_normal(others)
    columns = ((0.0, x_um), (0.0, y_um), (1.0, strengths), (0.0, shifts_eV))
    x_um, y_um, strengths, shifts_eV = (np.concatenate(([first], rest)) for first, rest in columns)
    for values in (x_um, y_um, strengths, shifts_eV):
        values.flags.writeable = False
    return x_um, y_um, strengths, shifts_eV


@dataclass(frozen=True)
class BeadLayout:
    """Fluorescent spheres of one size, dyed throughout: one on the axis, others scattered by the seed.

    Attributes:
        diameter_um: of every bead.
        count: number of others that are tried; those nearer than `distance_um` to another one are left out.
        distance_um: smallest distance of two centres.
        extent_um: half side of the square that they are scattered over.
        seed: of the positions.
    """

    diameter_um: float = 2.11
    count: int = 4000
    distance_um: float = 4.5
    extent_um: float = 64.0
    seed: int = 1

    def centres_um(self) -> FloatArray:
        """Centres (x, y) of all beads, the one on the axis first, shape (n, 2)."""
        return _bead_centres_um(self)

    def brightness(
        self, x_um: FloatArray, y_um: FloatArray, psf_sigma_um: float = 0.0
    ) -> tuple[FloatArray, FloatArray]:
        """Emission units per um^2 (1 through the middle of a bead) and energy shift 0; see `PlateLayout.brightness`."""
        total = np.zeros((y_um.size, x_um.size))
        reach_um = self.diameter_um / 2.0 + _TAIL_SIGMAS * psf_sigma_um
        radii_um, profile = _bead_profile(self.diameter_um / 2.0, psf_sigma_um)
        for at_x_um, at_y_um in self.centres_um():
            rows = slice(*np.searchsorted(y_um, [at_y_um - reach_um, at_y_um + reach_um]))
            columns = slice(*np.searchsorted(x_um, [at_x_um - reach_um, at_x_um + reach_um]))
            from_centre_um = np.hypot(x_um[None, columns] - at_x_um, y_um[rows, None] - at_y_um)
            total[rows, columns] += np.interp(from_centre_um, radii_um, profile, right=0.0)
        return total, np.zeros_like(total)


@lru_cache(maxsize=16)
def _bead_centres_um(layout: BeadLayout) -> FloatArray:
    rng = np.random.default_rng([layout.seed, 3])
    centres_um = np.zeros((1, 2))
    for candidate_um in rng.uniform(-layout.extent_um, layout.extent_um, (layout.count, 2)):
        if np.hypot(*(centres_um - candidate_um).T).min() >= layout.distance_um:
            centres_um = np.vstack([centres_um, candidate_um])
    centres_um.flags.writeable = False
    return centres_um


@lru_cache(maxsize=16)
def _bead_profile(radius_um: float, sigma_um: float) -> tuple[FloatArray, FloatArray]:
    """Chord of a sphere (1 in the middle) against the distance from its axis, blurred by a Gaussian.

    The two-dimensional Gaussian blur of a radial function f is the integral of f(s) s/sigma^2
    exp(-(r^2 + s^2)/2 sigma^2) I0(r s/sigma^2); with s = R sin(u) the chord R cos(u) has no edge.
    """
    radii_um = np.linspace(0.0, radius_um + _TAIL_SIGMAS * sigma_um, 500)
    if sigma_um == 0.0:
        return radii_um, np.sqrt(np.maximum(1.0 - (radii_um / radius_um) ** 2, 0.0))
    angles = np.linspace(0.0, np.pi / 2.0, 1001)
    from_axis_um = radius_um * np.sin(angles)
    kernel = i0e(radii_um[:, None] * from_axis_um / sigma_um**2)
    kernel *= np.exp(-0.5 * ((radii_um[:, None] - from_axis_um) / sigma_um) ** 2)
    weights = np.cos(angles) * from_axis_um / sigma_um**2 * radius_um * np.cos(angles)
    return radii_um, np.trapezoid(kernel * weights, angles, axis=1)


Layout = PlateLayout | SolutionLayout | EmitterLayout | BeadLayout
