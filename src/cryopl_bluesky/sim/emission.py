"""What temperature does to the light of a sample: line position, width, yield and lifetime, in closed form.

The forms are the usual ones for lead halide perovskites (thermal expansion + one oscillator, acoustic +
optical phonon broadening, thermal quenching, energy-dependent apparent lifetime). They are the truth that
the tests compare the analysis with, so nothing in here is random or fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

HC_EV_NM = 1239.841984
BOLTZMANN_EV_K = 8.617333262e-5
FWHM_PER_SIGMA = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
_WARM_K = 294.0


def phonon_number(energy_eV: float, temperature_K: float) -> float:
    """Bose-Einstein occupation of a phonon of `energy_eV`; 0 at 0 K."""
    if temperature_K <= 0.0:
        return 0.0
    return float(1.0 / np.expm1(energy_eV / (BOLTZMANN_EV_K * temperature_K)))


@dataclass(frozen=True)
class LineModel:
    """Emission line against temperature; the defaults are a CsPbBr3 superlattice.

    Peak: E0 + A_TE T + 2 A_EP n(hw). Width: G0 + sigma_ac T + g_LO n(E_LO).
    Yield: 1 / (1 + a exp(-E_a/kT)), so 1 at 0 K.

    Attributes:
        gap_eV: E0.
        expansion_eV_K: A_TE.
        phonon_coupling_eV: A_EP.
        phonon_eV: hw.
        width_eV: G0, FWHM at 0 K.
        acoustic_eV_K: sigma_ac.
        optical_eV: g_LO.
        optical_phonon_eV: E_LO.
        quenching_ratio: a.
        quenching_eV: E_a.
    """

    gap_eV: float = 2.345
    expansion_eV_K: float = 1.2e-4
    phonon_coupling_eV: float = 0.012
    phonon_eV: float = 0.020
    width_eV: float = 0.018
    acoustic_eV_K: float = 8e-6
    optical_eV: float = 0.055
    optical_phonon_eV: float = 0.018
    quenching_ratio: float = 30.0
    quenching_eV: float = 0.060

    def peak_energy_eV(self, temperature_K: float) -> float:
        """Maximum of the photon number per energy interval S_E."""
        coupling_eV = 2.0 * self.phonon_coupling_eV * phonon_number(self.phonon_eV, temperature_K)
        return self.gap_eV + self.expansion_eV_K * temperature_K + coupling_eV

    def fwhm_eV(self, temperature_K: float) -> float:
        """Full width at half maximum of S_E."""
        optical_eV = self.optical_eV * phonon_number(self.optical_phonon_eV, temperature_K)
        return self.width_eV + self.acoustic_eV_K * temperature_K + optical_eV

    def quantum_yield(self, temperature_K: float) -> float:
        """Brightness relative to 0 K at constant excitation."""
        if temperature_K <= 0.0:
            return 1.0
        return 1.0 / (
            1.0 + self.quenching_ratio * float(np.exp(-self.quenching_eV / (BOLTZMANN_EV_K * temperature_K)))
        )


@dataclass(frozen=True)
class DecayModel:
    """Apparent lifetime against temperature and emission energy; the defaults are a superlattice.

    tau_r(T) = cold_ns + (warm_ns - cold_ns) (T / 294 K)^exponent is the lifetime far on the red side.
    tau(E, T) = tau_r / (1 + exp((E - E_m) / E_0)): energy funnels from blue to red, so the blue side is
    faster. E_m lies `funnel_offset_eV` above the peak, and offset and E_0 = `funnel_width_eV` grow with the
    line width.

    Attributes:
        cold_ns: tau_r at 0 K.
        warm_ns: tau_r at 294 K.
        exponent: of the rise with temperature.
        funnel_offset_eV: E_m - peak at 0 K.
        funnel_width_eV: E_0 at 0 K; 0 = lifetime independent of energy (tau = tau_r).
        slow_fraction: fraction of the photons in the slow tail.
        slow_ns: lifetime of the slow tail.
    """

    cold_ns: float = 0.6
    warm_ns: float = 9.2
    exponent: float = 1.5
    funnel_offset_eV: float = 0.0093
    funnel_width_eV: float = 0.020
    slow_fraction: float = 0.03
    slow_ns: float = 10.0

    def red_lifetime_ns(self, temperature_K: float) -> float:
        """tau_r(T), the lifetime at the red end of the line."""
        return self.cold_ns + (self.warm_ns - self.cold_ns) * (temperature_K / _WARM_K) ** self.exponent

    def fast_lifetime_ns(
        self, line: LineModel, temperature_K: float, energy_eV: ArrayLike
    ) -> NDArray[np.float64]:
        """tau(E, T) of all photons but the slow tail, for photon energies of any shape."""
        energies_eV = np.asarray(energy_eV, dtype=np.float64)
        red_ns = self.red_lifetime_ns(temperature_K)
        if self.funnel_width_eV == 0.0:
            return np.full(energies_eV.shape, red_ns)
        broadening = line.fwhm_eV(temperature_K) / line.fwhm_eV(0.0)
        middle_eV = line.peak_energy_eV(temperature_K) + self.funnel_offset_eV * broadening
        steps = (energies_eV - middle_eV) / (self.funnel_width_eV * broadening)
        return red_ns / (1.0 + np.exp(np.clip(steps, -60.0, 60.0)))
