"""What lies under the objective: the truth that the virtual instruments show and the tests compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from cryopl_bluesky.sim.emission import FWHM_PER_SIGMA, HC_EV_NM, DecayModel, LineModel
from cryopl_bluesky.sim.layout import BeadLayout, EmitterLayout, FloatArray, Layout, PlateLayout, SolutionLayout

_BAND_POINTS = 401
_LINE_REACH_SIGMAS = 8.0


@dataclass(frozen=True)
class Sample:
    """A luminescent sample; all its numbers are defaults to be changed with `dataclasses.replace`.

    Emission is proportional to the average laser power: the rates below hold at `reference_power_uW`, which
    at 2.5 MHz is 0.71 uJ/cm2 (pulse energy over pi wx wy of the 16.5 x 18 um spot). The camera and the
    SPADs have separate scales: attenuators in front of the SPADs are not part of the bench.

    Attributes:
        name: for messages and metadata.
        line: position, width and yield against temperature.
        kinetics: lifetime against temperature and energy.
        layout: where the light comes from.
        extra_lines: further lines of the same width as (energy above the main line in eV, weight relative
            to it).
        emitter_g2_0: g2(0) of one emitter (point emitters), or of the ensemble.
        camera_photons_per_s: on the chip, per emission unit (um^2 or emitter), at yield 1 and full
            excitation.
        spad_detections_per_s: summed over both SPADs, per emission unit, whole spectrum, same conditions.
        camera_background_per_s: scattered photons per camera pixel.
        scattered_detections_per_s: laser light on both SPADs at the reference power when the long pass is out.
        spad_background_ratio: uncorrelated background detections per detected photon of the sample.
        reference_power_uW: average laser power that these rates belong to.
    """

    name: str = "superlattice"
    line: LineModel = field(default_factory=LineModel)
    kinetics: DecayModel = field(default_factory=DecayModel)
    layout: Layout = field(default_factory=PlateLayout)
    extra_lines: tuple[tuple[float, float], ...] = ()
    emitter_g2_0: float = 1.0
    camera_photons_per_s: float = 1.25e9
    spad_detections_per_s: float = 3.5e4
    camera_background_per_s: float = 3.0
    spad_background_ratio: float = 0.002
    scattered_detections_per_s: float = 4.0e4
    reference_power_uW: float = 4.14

    @classmethod
    def superlattice(cls, seed: int = 1) -> Sample:
        """Superlattices of 8 nm CsPbBr3 nanocrystals: square plates, one emission line, Poissonian light."""
        return cls(layout=PlateLayout(seed=seed))

    @classmethod
    def multiline_superlattice(cls, seed: int = 1) -> Sample:
        """A superlattice with three lines; at 5.6 K near 522, 527 and 530 nm."""
        return cls(
            name="multiline_superlattice",
            line=LineModel(gap_eV=2.339, width_eV=0.012),
            layout=PlateLayout(seed=seed),
            extra_lines=((0.0133, 0.8), (0.0358, 0.3)),
        )

    @classmethod
    def nanocrystal_film(cls, seed: int = 1) -> Sample:
        """A dilute film of CsPbBr3 nanocrystals: points with narrow lines, spread in energy."""
        return cls(
            name="nanocrystal_film",
            line=LineModel(gap_eV=2.357, width_eV=0.0008, optical_eV=0.069),
            kinetics=DecayModel(cold_ns=0.35, warm_ns=10.0, funnel_width_eV=0.0, slow_fraction=0.02),
            layout=EmitterLayout(seed=seed),
            emitter_g2_0=0.26,
            camera_photons_per_s=4.0e6,
            spad_detections_per_s=6.5e3,
            camera_background_per_s=0.5,
            spad_background_ratio=0.096,
        )

    @classmethod
    def single_emitter(cls, seed: int = 1) -> Sample:
        """One nanocrystal on the axis, g2(0) = 0.26; raw about 0.40 with background and 30 cps of darks."""
        film = cls.nanocrystal_film(seed)
        return replace(film, name="single_emitter", layout=EmitterLayout(density_um2=0.0, seed=seed))

    @classmethod
    def rhodamine_6g(cls, seed: int = 1) -> Sample:
        """Rhodamine 6G in ethanol: 3.99 ns, mono-exponential, 555 nm, 40 nm wide, at any temperature."""
        return cls(
            name="rhodamine_6g",
            line=LineModel(
                gap_eV=HC_EV_NM / 555.0,
                expansion_eV_K=0.0,
                phonon_coupling_eV=0.0,
                width_eV=HC_EV_NM * 40.0 / 555.0**2,
                acoustic_eV_K=0.0,
                optical_eV=0.0,
                quenching_ratio=0.05 / 0.95,
                quenching_eV=0.0,
            ),
            kinetics=DecayModel(cold_ns=3.99, warm_ns=3.99, funnel_width_eV=0.0, slow_fraction=0.0),
            layout=SolutionLayout(),
            camera_photons_per_s=3.0e8,
            spad_detections_per_s=6.0e3,
        )

    @classmethod
    def beads(cls, seed: int = 1) -> Sample:
        """Fluorescent beads of 2.11 um for the scale: 515 nm, 30 nm wide, 3 ns, at any temperature."""
        dye = cls.rhodamine_6g(seed)
        line = replace(dye.line, gap_eV=HC_EV_NM / 515.0, width_eV=HC_EV_NM * 30.0 / 515.0**2)
        kinetics = replace(dye.kinetics, cold_ns=3.0, warm_ns=3.0)
        return replace(dye, name="beads", line=line, kinetics=kinetics, layout=BeadLayout(seed=seed),
                       camera_photons_per_s=3.0e7)

    @classmethod
    def ink_film(cls, seed: int = 1) -> Sample:
        """A uniform dried film of highlighter ink for the excitation spot: 510 nm, 50 nm wide, 2 ns."""
        dye = cls.rhodamine_6g(seed)
        line = replace(dye.line, gap_eV=HC_EV_NM / 510.0, width_eV=HC_EV_NM * 50.0 / 510.0**2)
        kinetics = replace(dye.kinetics, cold_ns=2.0, warm_ns=2.0)
        return replace(dye, name="ink_film", line=line, kinetics=kinetics, camera_photons_per_s=3.0e7)

    @classmethod
    def named(cls, name: str, seed: int = 1) -> Sample:
        """The sample called `name`.

        Raises:
            ValueError: there is no such sample; the message lists those there are.
        """
        if name not in _NAMED:
            raise ValueError(f"sample={name!r} is unknown; choose one of {', '.join(sorted(_NAMED))}")
        return _NAMED[name](seed)

    def peak_energy_eV(self, temperature_K: float) -> float:
        """Maximum of the main line in photon number per energy interval, without `energy_shift_eV`."""
        return self.line.peak_energy_eV(temperature_K)

    def fwhm_eV(self, temperature_K: float) -> float:
        """FWHM of each line (of one emitter, for point emitters), homogeneous + inhomogeneous."""
        return self.line.fwhm_eV(temperature_K)

    def quantum_yield(self, temperature_K: float) -> float:
        """Brightness relative to 0 K."""
        return self.line.quantum_yield(temperature_K)

    def lines(self, temperature_K: float) -> tuple[tuple[float, float, float], ...]:
        """Gaussian lines as (photon fraction, energy in eV, sigma in eV); the fractions sum to 1."""
        sigma_eV = self.fwhm_eV(temperature_K) / FWHM_PER_SIGMA
        total = 1.0 + sum(weight for _, weight in self.extra_lines)
        peak_eV = self.peak_energy_eV(temperature_K)
        return tuple(
            (weight / total, peak_eV + above_eV, sigma_eV) for above_eV, weight in ((0.0, 1.0),
            *self.extra_lines) )

    def photon_density_per_eV(self, temperature_K: float, energy_eV: ArrayLike) -> FloatArray:
        """S_E, photon number per eV, normalised to 1; in wavelength it is S_E hc / lambda^2."""
        energies_eV = np.asarray(energy_eV, dtype=np.float64)
        density = np.zeros(energies_eV.shape)
        for fraction, centre_eV, sigma_eV in self.lines(temperature_K):
            height = fraction / (sigma_eV * np.sqrt(2.0 * np.pi))
            density += height * np.exp(-0.5 * ((energies_eV - centre_eV) / sigma_eV) ** 2)
        return density

    def energy_range_eV(self, temperature_K: float, shifts_eV: tuple[float, float]) -> tuple[float, float]:
        """Energies between which all light lies, for energy shifts from `shifts_eV[0]` to `shifts_eV[1]`."""
        lines = self.lines(temperature_K)
        reach_eV = _LINE_REACH_SIGMAS * lines[0][2]
        lowest_eV = min(energy_eV for _, energy_eV, _ in lines) - reach_eV + shifts_eV[0]
        return max(lowest_eV, 0.1), max(energy_eV for _, energy_eV, _ in lines) + reach_eV + shifts_eV[1]

    def decay(self, temperature_K: float, energy_eV: float) -> tuple[FloatArray, FloatArray]:
        """Decay of the photons of one energy as a sum of exponentials.

        Returns:
            Photon fractions (sum 1; not amplitudes at t = 0) and lifetimes in ns, both of shape (n,).
        """
        fast_ns = float(self.kinetics.fast_lifetime_ns(self.line, temperature_K, energy_eV))
        slow = self.kinetics.slow_fraction
        if slow == 0.0:
            return np.array([1.0]), np.array([fast_ns])
        return np.array([1.0 - slow, slow]), np.array([fast_ns, self.kinetics.slow_ns])

    def mean_lifetime_ns(
        self, temperature_K: float, wavelength_nm: float, bandwidth_nm: float = 0.0
    ) -> float:
        """Intensity-weighted mean lifetime (mean arrival time), sum N_i tau_i with photon fractions N_i.

        Over a band it is the mean over the photons in it, weighted with S_lambda of the line without energy
        shifts, by the trapezoidal rule on 401 points.

        Args:
            temperature_K: sample temperature.
            wavelength_nm: centre of the band.
            bandwidth_nm: full width of the rectangular band; 0 = that wavelength alone.

        Raises:
            ValueError: the band is so far from the line that it holds no light.
        """
        slow = self.kinetics.slow_fraction
        if bandwidth_nm == 0.0:
            fractions, lifetimes_ns = self.decay(temperature_K, HC_EV_NM / wavelength_nm)
            return float(fractions @ lifetimes_ns)
        half_nm = bandwidth_nm / 2.0
        wavelengths_nm = np.linspace(wavelength_nm - half_nm, wavelength_nm + half_nm, _BAND_POINTS)
        energies_eV = HC_EV_NM / wavelengths_nm
        fast_ns = self.kinetics.fast_lifetime_ns(self.line, temperature_K, energies_eV)
        density = self.photon_density_per_eV(temperature_K, energies_eV) * HC_EV_NM / wavelengths_nm**2
        photons = float(np.trapezoid(density, wavelengths_nm))
        if photons == 0.0:
            raise ValueError(f"no light within {bandwidth_nm} nm of {wavelength_nm} nm at {temperature_K} K")
        mean_fast_ns = float(np.trapezoid(density * fast_ns, wavelengths_nm)) / photons
        return (1.0 - slow) * mean_fast_ns + slow * self.kinetics.slow_ns

    def g2_0(self, temperature_K: float) -> float:
        """Pulsed g2(0) without background: of one emitter for point emitters, else of the ensemble (1)."""
        return self.emitter_g2_0

    def emission(self, x_um: ArrayLike, y_um: ArrayLike) -> FloatArray:
        """Emission units per um^2 on the grid `x_um` (nx,) by `y_um` (ny,), (ny, nx), before any optics."""
        return self.layout.brightness(_positions(x_um), _positions(y_um))[0]

    def energy_shift_eV(self, x_um: ArrayLike, y_um: ArrayLike) -> FloatArray:
        """Shift of the lines to the blue on the grid of `emission`; 0 where nothing emits."""
        return self.layout.brightness(_positions(x_um), _positions(y_um))[1]


def _positions(values_um: ArrayLike) -> FloatArray:
    return np.atleast_1d(np.asarray(values_um, dtype=np.float64))


_NAMED: dict[str, Callable[[int], Sample]] = {
    "superlattice": Sample.superlattice,
    "multiline_superlattice": Sample.multiline_superlattice,
    "nanocrystal_film": Sample.nanocrystal_film,
    "single_emitter": Sample.single_emitter,
    "rhodamine_6g": Sample.rhodamine_6g,
    "beads": Sample.beads,
    "ink_film": Sample.ink_film,
}
