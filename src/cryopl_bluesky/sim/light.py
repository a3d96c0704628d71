"""What reaches the two SPADs of the interferometer, for the present state of the bench.

Faults (`Bench.set_fault`): `hbt.room_light` (detections per second that each SPAD gets from the room, while the path
to it is open, besides `Bench.room_light_Hz`), `hbt.full_beam` (the sample's light is so many times brighter: an
attenuator fell out).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.collection import Sources, collected_through_slit, collected_with_l5
from cryopl_bluesky.sim.emission import HC_EV_NM
from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.layout import FloatArray
from cryopl_bluesky.sim.light_path import (
    L5_SPOT_UM,
    SPAD_IMAGE_UM,
    SPECTROGRAPH_PSF_SIGMA_UM,
    LightPath,
    slit_pair_transmission,
)
from cryopl_bluesky.sim.sample import Sample

LASER_NM = 405.0
_POINTS = 401
_MOST_LIFETIMES = 24
_LIFETIME_STEP = 0.03


@dataclass(frozen=True)
class SpadLight:
    """Light on the SPADs, as detected before dead time.

    Attributes:
        rate_Hz: detections of the sample's light, both SPADs together (the splitter sends half to each).
        fractions: fraction of these photons in each exponential of the decay, sum 1.
        lifetimes_ns: lifetime of each exponential.
        g2_0: pulsed g2(0) of the sample's light alone; 1 = Poissonian.
        repetition_rate_Hz: of the laser; None = continuous excitation (or no laser).
        pulse_fwhm_ps: of the laser.
        background_Hz: detections per SPAD of uncorrelated light, evenly in time, without the detector's
            darks.
    """

    rate_Hz: float
    fractions: tuple[float, ...]
    lifetimes_ns: tuple[float, ...]
    g2_0: float
    repetition_rate_Hz: float | None
    pulse_fwhm_ps: float
    background_Hz: float

    @property
    def mean_lifetime_ns(self) -> float:
        """Intensity-weighted mean lifetime, sum of fractions x lifetimes (mean arrival time)."""
        return float(np.dot(self.fractions, self.lifetimes_ns))


def expected_raw_g2_0(light: SpadLight, dark_Hz: float) -> float:
    """g2(0) as measured, with uncorrelated background and darks: rho^2 g2 + 1 - rho^2, rho = S / (S + B).

    Args:
        light: light on the SPADs.
        dark_Hz: dark counts per SPAD (the same for both).

    Returns:
        Expectation of the central peak over the side peaks, full-period windows; 1 without any light.
    """
    signal_Hz = light.rate_Hz / 2.0
    total_Hz = signal_Hz + light.background_Hz + dark_Hz
    if total_Hz == 0.0:
        return 1.0
    signal_fraction = signal_Hz / total_Hz
    return 1.0 - signal_fraction**2 * (1.0 - light.g2_0)


def spad_light(bench: Bench) -> SpadLight:
    """Light on the SPADs now.

    Nothing when the port is not "hbt", the shutter is closed or a part is moving; only room light when the
    laser is off. With a grating: the band of the exit slit (at most 75 um, the image of a SPAD) around the
    centre wavelength, blurred by the image of the entrance slit. With the mirror: all wavelengths.
    """
    light = _light(bench.sample, LightPath.of(bench))
    times = bench.fault("hbt.full_beam")
    if times is None:
        return light
    more_Hz = (times - 1.0) * light.rate_Hz
    return replace(
        light,
        rate_Hz=light.rate_Hz + more_Hz,
        background_Hz=light.background_Hz + bench.sample.spad_background_ratio * more_Hz / 2.0,
    )


@lru_cache(maxsize=128)
def _light(sample: Sample, path: LightPath) -> SpadLight:
    luminescence = _luminescence(sample, path)
    if path.long_pass_in or not (path.open and path.port == "hbt" and path.excited):
        return luminescence
    return _with_laser_light(luminescence, _scattered_Hz(sample, path))


def _scattered_Hz(sample: Sample, path: LightPath) -> float:
    """Detections per second of laser light from the sample, both SPADs; the spectrograph selects it as any light."""
    offset_um = 0.0
    if path.lines_per_mm > 0.0:
        nm_per_um = KymeraOptics().nm_per_um(path.lines_per_mm, path.centre_wavelength_nm)
        offset_um = (LASER_NM - path.centre_wavelength_nm) / nm_per_um
    exit_um = min(path.exit_slit_um, SPAD_IMAGE_UM)
    passing = float(slit_pair_transmission(np.array([offset_um]), path.slit_image_um, exit_um)[0])
    return sample.scattered_detections_per_s * path.power_uW / sample.reference_power_uW * passing


def _with_laser_light(light: SpadLight, scattered_Hz: float) -> SpadLight:
    """The light together with Poissonian laser light, which has no lifetime."""
    total_Hz = light.rate_Hz + scattered_Hz
    if scattered_Hz == 0.0:
        return light
    share = light.rate_Hz / total_Hz
    return replace(
        light,
        rate_Hz=total_Hz,
        fractions=(*(share * fraction for fraction in light.fractions), 1.0 - share),
        lifetimes_ns=(*light.lifetimes_ns, 0.0),
        g2_0=1.0 - (1.0 - light.g2_0) * share**2,
    )


def _luminescence(sample: Sample, path: LightPath) -> SpadLight:
    pulsed = path.laser_mode == "pulsed"
    repetition_rate_Hz = path.repetition_rate_Hz if pulsed else None
    pulse_fwhm_ps = path.pulse_fwhm_ps if pulsed else 0.0
    reachable = path.open and path.port == "hbt" and path.exit_slit_um > 0.0
    room_light_Hz = path.room_light_Hz if reachable else 0.0
    if not (reachable and path.excited):
        return SpadLight(0.0, (1.0,), (1.0,), 1.0, repetition_rate_Hz, pulse_fwhm_ps, room_light_Hz)
    sources = (collected_with_l5 if path.l5_in else collected_through_slit)(sample.layout, path)
    energies_eV, detected = _detected(sample, path, sources)
    rates_Hz = detected.sum(axis=1) * _rate_per_unit_Hz(sample, path)
    rate_Hz = float(rates_Hz.sum())
    fractions, lifetimes_ns = _decay(sample, path.temperature_K, energies_eV, detected.sum(axis=0))
    return SpadLight(
        rate_Hz=rate_Hz,
        fractions=fractions,
        lifetimes_ns=lifetimes_ns,
        g2_0=_g2_0(sample, path.temperature_K, sources, rates_Hz),
        repetition_rate_Hz=repetition_rate_Hz,
        pulse_fwhm_ps=pulse_fwhm_ps,
        background_Hz=room_light_Hz + sample.spad_background_ratio * rate_Hz / 2.0,
    )


def _rate_per_unit_Hz(sample: Sample, path: LightPath) -> float:
    """Detections per second of one emission unit whose light all arrives."""
    through_entrance = path.slit_image_um / L5_SPOT_UM if path.l5_in else 1.0
    power = path.power_uW / sample.reference_power_uW
    return sample.spad_detections_per_s * sample.quantum_yield(path.temperature_K) * power * through_entrance


def _detected(sample: Sample, path: LightPath, sources: Sources) -> tuple[FloatArray, FloatArray]:
    """Light that passes the exit slit, by source and photon energy.

    Returns:
        Photon energies (m,) and the light of each source at each of them, shape (n, m), in emission units.
    """
    exit_um = min(path.exit_slit_um, SPAD_IMAGE_UM)
    if path.lines_per_mm == 0.0:
        shifts_eV = (float(sources.shift_eV.min()), float(sources.shift_eV.max()))
        energies_eV = np.linspace(*sample.energy_range_eV(path.temperature_K, shifts_eV), _POINTS)
        density = _density_per_eV(sample, path.temperature_K, energies_eV, sources.shift_eV)
        share = density / density.sum(axis=1, keepdims=True)
        passing = float(slit_pair_transmission(np.zeros(1), path.slit_image_um, exit_um)[0])
        return energies_eV, sources.light[:, None] * share * passing
    half_um = (path.slit_image_um + exit_um) / 2.0 + 6.0 * SPECTROGRAPH_PSF_SIGMA_UM
    offset_um, step_um = np.linspace(-half_um, half_um, _POINTS, retstep=True)
    nm_per_um = KymeraOptics().nm_per_um(path.lines_per_mm, path.centre_wavelength_nm)
    wavelengths_nm = path.centre_wavelength_nm + offset_um * nm_per_um
    energies_eV = HC_EV_NM / wavelengths_nm
    per_um = _density_per_eV(sample, path.temperature_K, energies_eV, sources.shift_eV)
    per_um *= HC_EV_NM / wavelengths_nm**2 * nm_per_um
    passing = slit_pair_transmission(offset_um, path.slit_image_um, exit_um)
    return energies_eV, sources.light[:, None] * per_um * passing * step_um


def _density_per_eV(
    sample: Sample, temperature_K: float, energies_eV: FloatArray, shifts_eV: FloatArray
) -> FloatArray:
    """Photon density at each energy (m,) for lines shifted by each of `shifts_eV` (n,), shape (n, m)."""
    return sample.photon_density_per_eV(temperature_K, energies_eV[None, :] - shifts_eV[:, None])


def _decay(
    sample: Sample, temperature_K: float, energies_eV: FloatArray, photons: FloatArray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Photon fractions and lifetimes of light with `photons` at `energies_eV`.

    Energies are grouped by lifetime, in steps of 3 % or more; each group has the mean lifetime of its
    photons, so the mean of all is kept.
    """
    kinetics = sample.kinetics
    lit = photons > 1e-6 * photons.max()
    if not lit.any():
        energies_eV, photons = energies_eV[photons.size // 2 :][:1], np.ones(1)
    else:
        energies_eV, photons = energies_eV[lit], photons[lit] / photons[lit].sum()
    fast_ns = kinetics.fast_lifetime_ns(sample.line, temperature_K, energies_eV)
    height = np.log(fast_ns / fast_ns.min())
    groups = np.floor(height / max(_LIFETIME_STEP, float(height.max()) / _MOST_LIFETIMES)).astype(np.intp)
    in_group = np.bincount(groups, photons)
    used = in_group > 0.0
    fractions = in_group[used] * (1.0 - kinetics.slow_fraction)
    lifetimes_ns = np.bincount(groups, photons * fast_ns)[used] / in_group[used]
    if kinetics.slow_fraction > 0.0:
        fractions = np.append(fractions, kinetics.slow_fraction)
        lifetimes_ns = np.append(lifetimes_ns, kinetics.slow_ns)
    return tuple((fractions / fractions.sum()).tolist()), tuple(lifetimes_ns.tolist())


def _g2_0(sample: Sample, temperature_K: float, sources: Sources, rates_Hz: FloatArray) -> float:
    """g2(0) of all together: 1 - (1 - g) sum r^2 / (sum r)^2 for emitters of rates r and g2(0) = g."""
    own = sample.g2_0(temperature_K)
    total_Hz = float(rates_Hz.sum())
    if not sources.single or total_Hz == 0.0:
        return own if not sources.single else 1.0
    return 1.0 - (1.0 - own) * float((rates_Hz**2).sum()) / total_Hz**2
