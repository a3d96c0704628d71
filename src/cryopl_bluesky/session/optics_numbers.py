"""Numbers that follow from the optics of a profile (facts/setup.md section 4)."""

from __future__ import annotations

from cryopl_bluesky.analysis.grating import CzernyTurner, bandwidth_nm, resolution_nm, slit_for_bandwidth_um
from cryopl_bluesky.analysis.optics import (
    FRACTION_INSIDE_1E2_ELLIPSE,
    Imaging,
    airy_fwhm_um,
    beam_at_objective_um,
    clipped_fraction,
    conjugate_mm,
    ellipse_area_cm2,
    fluence,
    focused_spot_um,
    gaussian_fwhm_um,
    imaging,
    power_for_fluence_uW,
    pulse_energy_pJ,
    rayleigh_radius_um,
    spot_diameter_um,
    tan_alpha,
)
from cryopl_bluesky.analysis.units import interval_nm_to_eV, nm_to_eV
from cryopl_bluesky.config import Profile
from cryopl_bluesky.devices.microscope import RELAYS_MM
from cryopl_bluesky.drivers.laser import PowerTable
from cryopl_bluesky.session.optics_terms import Group, Number

NARROWEST_NM = 0.2
"""Narrowest detection bandwidth that the publication states."""
FLUENCE_UJ_CM2 = 0.71
"""Fluence of the publication's Fig. 4."""
RATES_HZ = (2.5e6, 10e6, 40e6)
OBJECT_UM = 5.0


def profile_numbers(profile: Profile) -> tuple[Group, ...]:
    """All groups of numbers of a profile."""
    relays = (_relay(profile, relay) for relay in RELAYS_MM)
    return (_excitation(profile), *relays, _detection(profile), _dispersion(profile), _fluence(profile))


def spectrograph(profile: Profile) -> CzernyTurner:
    """Geometry of the profile's spectrograph."""
    optics = profile.optics
    return CzernyTurner(optics.spectrograph_focal_mm, optics.half_deviation_deg, optics.detector_tilt_deg)


def relay_imaging(profile: Profile, relay: str) -> Imaging:
    """Imaging by the focal lengths of the profile."""
    optics = profile.optics
    return imaging(optics.f_objective_mm, optics.f_l2_mm, RELAYS_MM[relay], optics.pixel_um, optics.pixels)


def point_image_um(profile: Profile, relay: str) -> float:
    """Airy FWHM of the detection wavelength in the plane of slit and chip."""
    optics = profile.optics
    width_um = airy_fwhm_um(optics.detection_nm / 1e3, optics.objective_na)
    return width_um * relay_imaging(profile, relay).magnification


def power_at_setting_uW(profile: Profile) -> float | None:
    """Average power at the profile's own rate and intensity by its power table; None if that says nothing."""
    laser = profile.laser
    table = PowerTable((p.repetition_rate_Hz, p.intensity_permille, p.power_uW) for p in laser.power_table)
    return table.power_uW(laser.repetition_rate_Hz, laser.intensity_permille)


def _excitation(profile: Profile) -> Group:
    o, spot = profile.optics, profile.microscope
    f, a_mm = o.f_objective_mm, 2.0 * o.f_objective_mm  # any a will do: equation 3 does not depend on it
    beam = beam_at_objective_um(o.d_l1_um, o.f_l1_mm, o.l1_to_objective_mm)
    calculated = spot_diameter_um(o.d_l1_um, f, o.f_l1_mm)
    focus = focused_spot_um(profile.laser.wavelength_nm / 1e3, f, o.d_l1_um)
    area_ratio = spot.spot_diameter_x_um * spot.spot_diameter_y_um / focus**2
    return Group("excitation", "excitation (widths are 1/e2 diameters)", (
        Number("eq1_a_mm", "equation 1: a (an example)", a_mm, "mm"),
        Number("eq1_b_mm", "equation 1: b = f_O^2/a", conjugate_mm(a_mm, f), "mm"),
        Number("eq2_tan_alpha", "equation 2: tan(alpha) for this a", tan_alpha(a_mm, f, o.d_l1_um, o.f_l1_mm)),
        Number("d_spot_um", "equation 3: spot with L1 in, d_L1 f_O/f_L1", calculated, "um", "13.7 um"),
        Number("eq3_2a_tan_alpha_um", "equation 3 the long way: 2 a tan(alpha)",
               2e3 * a_mm * tan_alpha(a_mm, f, o.d_l1_um, o.f_l1_mm), "um"),
        Number("spot_x_um", "spot in the profile, x", spot.spot_diameter_x_um, "um", "16.5 um"),
        Number("spot_y_um", "spot in the profile, y", spot.spot_diameter_y_um, "um", "18 um"),
        Number("spot_fwhm_x_um", "its FWHM, x", gaussian_fwhm_um(spot.spot_diameter_x_um), "um"),
        Number("spot_fwhm_y_um", "its FWHM, y", gaussian_fwhm_um(spot.spot_diameter_y_um), "um"),
        Number("ellipticity", "its ellipticity, short over long",
               min(spot.spot_diameter_x_um, spot.spot_diameter_y_um)
               / max(spot.spot_diameter_x_um, spot.spot_diameter_y_um)),
        Number("beam_at_objective_um", "beam at the objective with L1 in", beam, "um"),
        Number("aperture_by_na_mm", "aperture that the NA needs, 2 f_O NA", 2.0 * f * o.objective_na, "mm",
               "clear aperture 4.7 mm"),
        Number("clipped_l1_in", "power clipped by the aperture, L1 in",
               clipped_fraction(beam, 1e3 * o.clear_aperture_mm)),
        Number("clipped_l1_out", "power clipped by the aperture, L1 out",
               clipped_fraction(o.d_l1_um, 1e3 * o.clear_aperture_mm)),
        Number("focused_spot_um", "spot with L1 out, 4 lambda f/(pi d)", focus, "um", "not measured"),
        Number("l1_out_fluence_ratio", "fluence with L1 out over L1 in", area_ratio),
    ))  # fmt: skip


def _relay(profile: Profile, relay: str) -> Group:
    o, spot = profile.optics, profile.microscope
    image = relay_imaging(profile, relay)
    m, airy = image.magnification, airy_fwhm_um(0.55, o.objective_na)
    rayleigh = rayleigh_radius_um(0.55, o.objective_na)
    point = point_image_um(profile, relay)
    dispersion = spectrograph(profile).dispersion_nm_mm(o.grating_lines_per_mm, o.detection_nm)
    per_px_um = image.nm_per_px / 1e3
    f_l3, f_l4 = RELAYS_MM[relay]
    here = " (in the profile)" if relay == spot.relay else ""
    return Group(f"relay_{relay}", f"relay {relay}: L3 {f_l3:g} mm, L4 {f_l4:g} mm{here}", (
        Number("m1", "magnification of objective and L2", o.f_l2_mm / o.f_objective_mm, "", "104.5"),
        Number("magnification", "total magnification", m, "", "about 400" if relay == "4x" else "about 100"),
        Number("nm_per_px", "pixel at the sample, by the lenses", image.nm_per_px, "nm"),
        Number("field_um", f"field of view of {o.pixels} pixels", image.field_um, "um"),
        Number("slit_at_sample_um", f"entrance slit of {o.entrance_slit_um:g} um at the sample",
               image.at_sample_um(o.entrance_slit_um), "um"),
        Number("iris_1mm_at_sample_um", "1 mm at the iris, at the sample", 1e3 * o.f_objective_mm / o.f_l2_mm, "um"),
        Number("object_on_chip_mm", f"object of {OBJECT_UM:g} um on the chip", OBJECT_UM * m / 1e3, "mm"),
        Number("object_on_chip_px", f"object of {OBJECT_UM:g} um on the chip", OBJECT_UM / per_px_um, "px"),
        Number("spot_on_chip_x_mm", "excitation spot on the chip, x", spot.spot_diameter_x_um * m / 1e3, "mm"),
        Number("spot_on_chip_y_mm", "excitation spot on the chip, y", spot.spot_diameter_y_um * m / 1e3, "mm"),
        Number("px_per_rayleigh_radius", "pixels per Rayleigh radius, 550 nm", rayleigh / per_px_um, "px"),
        Number("px_per_airy_fwhm", "pixels per Airy FWHM, 550 nm", airy / per_px_um, "px"),
        Number("binning", "binning that leaves 3 pixels per Rayleigh radius", _binning(rayleigh / per_px_um)),
        Number("point_image_um", f"point image on slit and chip, Airy FWHM, {o.detection_nm:g} nm", point, "um"),
        Number("beam_on_grating_mm", "beam on the grating", o.spectrograph_focal_mm * 2 * o.objective_na / m, "mm"),
        Number("point_resolution_nm",
               f"spectral width of a point, {o.grating_lines_per_mm:g} lines/mm, wide slit: its image x dispersion",
               bandwidth_nm(point, dispersion), "nm"),
        Number("slit_resolution_nm",
               f"the same behind the slit of {o.entrance_slit_um:g} um: the narrower of slit and image",
               resolution_nm(o.entrance_slit_um, point, dispersion), "nm"),
    ))  # fmt: skip


def _binning(px_per_width: float) -> int:
    """Largest binning of the camera that leaves three pixels; 1 if none does."""
    return max([binning for binning in (1, 2, 4, 8) if px_per_width / binning >= 3.0], default=1)


def _detection(profile: Profile) -> Group:
    o = profile.optics
    dispersion = spectrograph(profile).dispersion_nm_mm(o.grating_lines_per_mm, o.detection_nm)
    band = bandwidth_nm(o.exit_slit_um, dispersion)
    at = f"{o.grating_lines_per_mm:g} lines/mm, {o.detection_nm:g} nm"
    return Group("detection", f"spectral selection ({at})", (
        Number("dispersion_nm_mm", "dispersion", dispersion, "nm/mm"),
        Number("exit_bandwidth_nm", f"bandwidth of the exit slit of {o.exit_slit_um:g} um", band, "nm"),
        Number("exit_bandwidth_meV", "the same in energy", 1e3 * interval_nm_to_eV(o.detection_nm, band), "meV"),
        Number("entrance_bandwidth_nm", f"bandwidth of the entrance slit of {o.entrance_slit_um:g} um",
               bandwidth_nm(o.entrance_slit_um, dispersion), "nm"),
        Number("narrowest_slit_um", f"slit for {NARROWEST_NM:g} nm",
               slit_for_bandwidth_um(NARROWEST_NM, dispersion), "um"),
        Number("narrowest_meV", f"{NARROWEST_NM:g} nm in energy",
               1e3 * interval_nm_to_eV(o.detection_nm, NARROWEST_NM), "meV", "0.2 nm"),
        Number("spad_at_exit_slit_um", "SPAD's area at the exit slit, f_L6/f_L7: a wider slit gains nothing",
               o.spad_um * o.f_l6_mm / o.f_l7_mm, "um"),
        Number("detection_eV", "detection wavelength as energy", nm_to_eV(o.detection_nm), "eV"),
    ))  # fmt: skip


def _dispersion(profile: Profile) -> Group:
    o, geometry = profile.optics, spectrograph(profile)
    numbers = []
    for lines in o.gratings_lines_per_mm:
        slope = geometry.dispersion_nm_mm(lines, o.detection_nm)
        numbers += [
            Number(f"g{lines:g}_{key}", text, value, unit, of=f"{lines:g} lines/mm") for key, text, value, unit in (
                ("nm_mm", "dispersion", slope, "nm/mm"),
                ("slit_nm", f"slit {o.entrance_slit_um:g} um", bandwidth_nm(o.entrance_slit_um, slope), "nm"),
                ("slit_for_0p2nm_um", f"slit for {NARROWEST_NM:g} nm",
                 slit_for_bandwidth_um(NARROWEST_NM, slope), "um"),
                ("window_nm", "chip", geometry.window_nm(lines, o.detection_nm, o.pixels * o.pixel_um), "nm"),
                ("pm_px", "pixel", slope * o.pixel_um, "pm"),
            )
        ]  # fmt: skip
    return Group("dispersion", f"gratings at {o.detection_nm:g} nm, f = {geometry.focal_mm:g} mm", tuple(numbers))


def _fluence(profile: Profile) -> Group:
    spot, laser = profile.microscope, profile.laser
    size = spot.spot_diameter_x_um, spot.spot_diameter_y_um
    numbers = [
        Number("area_cm2", "area pi wx wy of the 1/e2 ellipse", ellipse_area_cm2(*size), "cm2"),
        Number("fraction_inside", "power inside of it", FRACTION_INSIDE_1E2_ELLIPSE),
    ]
    power_uW = power_at_setting_uW(profile)
    if power_uW is not None:
        pulse = fluence(
            power_uW, laser.repetition_rate_Hz, *size, laser.wavelength_nm, profile.optics.fraction_at_sample
        )
        at = f"at {laser.repetition_rate_Hz / 1e6:g} MHz, {laser.intensity_permille:g} permille"
        numbers += [
            Number("power_uW", f"measured power {at}", power_uW, "uW"),
            Number("pulse_energy_pJ", "pulse energy at the sample", pulse.pulse_energy_pJ, "pJ"),
            Number("fluence_average_uJ_cm2", "fluence, average: E/(pi wx wy)", pulse.average_uJ_cm2, "uJ/cm2"),
            Number("fluence_peak_uJ_cm2", "fluence, peak: 2E/(pi wx wy)", pulse.peak_uJ_cm2, "uJ/cm2"),
            Number("photons_per_cm2", "photons per area and pulse, average", pulse.photons_per_cm2, "1/cm2"),
        ]
    wanted = f"{FLUENCE_UJ_CM2:g} uJ/cm2"
    for definition in ("average", "peak"):
        numbers.append(Number(
            f"energy_if_{definition}_pJ", f"pulse energy for {wanted}, {definition}",
            pulse_energy_pJ(FLUENCE_UJ_CM2, *size, definition), "pJ",
        ))  # fmt: skip
        for rate_Hz in RATES_HZ:
            numbers.append(Number(
                f"power_if_{definition}_{rate_Hz / 1e6:g}MHz_uW",
                f"power for {wanted}, {definition}, {rate_Hz / 1e6:g} MHz",
                power_for_fluence_uW(FLUENCE_UJ_CM2, rate_Hz, *size, definition), "uW",
            ))  # fmt: skip
    return Group("fluence", "fluence in the profile's spot, L1 in", tuple(numbers))
