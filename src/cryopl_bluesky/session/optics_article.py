"""The publication's numbers recomputed, and where they do not fit together (facts/setup.md sections 6 and 7).

These are the publication's own settings, whatever the profile says.
"""

from __future__ import annotations

import numpy as np

from cryopl_bluesky.analysis._g2_formulas import without_background
from cryopl_bluesky.analysis.calibration.spot import compare_with_calculated
from cryopl_bluesky.analysis.lifetimes import laser_fwhm_for_ps, timing_fwhm_ps
from cryopl_bluesky.analysis.optics import (
    airy_fwhm_um,
    ellipse_area_cm2,
    focused_spot_um,
    gaussian_fwhm_um,
    imaging,
    optimal_magnification,
    other_relative_error,
    photon_energy_J,
    pulse_energy_pJ,
    rayleigh_radius_um,
    spot_diameter_um,
)
from cryopl_bluesky.analysis.units import K_B_EV_K, interval_nm_to_eV, nm_to_eV
from cryopl_bluesky.session.optics_terms import Group, Inconsistency, Number

F_O_MM, F_L1_MM, F_L2_MM, NA = 2.87, 125.4, 300.0, 0.82
D_L1_UM, SPOT_UM, SCALE_REL_ERR = 600.0, (16.5, 18.0), 0.11
BEAD_REL_ERR = 0.2 / 2.11
FLUENCE_UJ_CM2, LASER_NM = 0.71, 405.0
PIXEL_UM, PIXEL_IN_M_OPT_UM, PSF_IN_M_OPT_UM = 6.5, 6.3, 0.4
LASER_FWHM_PS, SPAD_FWHM_PS, TAGGER_RMS_PS, IRF_FWHM_PS = 49.0, 27.0, 8.0, 200.0
FIBRE_MODE_FIELD_UM, COLLIMATOR_MM = 2.4, 4.6


def article_numbers() -> Group:
    """What the publication states, recomputed from its own settings."""
    near, far = (imaging(F_O_MM, F_L2_MM, relay, PIXEL_UM) for relay in ((100.0, 100.0), (50.0, 200.0)))
    calculated = spot_diameter_um(D_L1_UM, F_O_MM, F_L1_MM)
    compared = [compare_with_calculated(measured, SCALE_REL_ERR, calculated) for measured in SPOT_UM]
    grid_nm = np.arange(466, 547)
    energy_pJ = pulse_energy_pJ(FLUENCE_UJ_CM2, *SPOT_UM)
    lines_eV = {nm: nm_to_eV(float(nm)) for nm in (522, 527, 530)}
    return Group("article", "the publication's numbers, recomputed from its own settings", (
        Number("d_spot_um", "calculated spot", calculated, "um", "13.7 um"),
        Number("m1", "magnification of objective and L2", near.magnification, "", "104.5"),
        Number("magnification_4x", "total magnification, 4x", far.magnification, "", "about 400"),
        Number("magnification_1x", "total magnification, 1x", near.magnification, "", "about 100"),
        Number("chip_mm", "chip", 2048 * PIXEL_UM / 1e3, "mm", "13.3 mm"),
        Number("rayleigh_550_um", "0.61 lambda/NA, 550 nm", rayleigh_radius_um(0.55, NA), "um", "0.4 um, called FWHM"),
        Number("airy_fwhm_550_um", "0.514 lambda/NA, 550 nm: the FWHM", airy_fwhm_um(0.55, NA), "um"),
        Number("m_opt_6p5", "optimal magnification, 6.5 um and 0.4 um",
               optimal_magnification(PIXEL_UM, PSF_IN_M_OPT_UM), "", "about 50"),
        Number("m_opt_6p3", "optimal magnification, 6.3 um and 0.4 um",
               optimal_magnification(PIXEL_IN_M_OPT_UM, PSF_IN_M_OPT_UM), "", "about 50"),
        Number("m_opt_airy", "optimal magnification, 6.5 um and Airy FWHM",
               optimal_magnification(PIXEL_UM, airy_fwhm_um(0.55, NA))),
        Number("w_x_um", "1/e2 radius of the spot, x", SPOT_UM[0] / 2, "um"),
        Number("w_y_um", "1/e2 radius of the spot, y", SPOT_UM[1] / 2, "um"),
        Number("fwhm_x_um", "FWHM of the spot, x", gaussian_fwhm_um(SPOT_UM[0]), "um"),
        Number("fwhm_y_um", "FWHM of the spot, y", gaussian_fwhm_um(SPOT_UM[1]), "um"),
        Number("ellipticity", "ellipticity of the spot", SPOT_UM[0] / SPOT_UM[1]),
        Number("spot_ratio_x", "measured over calculated spot, x", compared[0].ratio, "", "reasonable"),
        Number("spot_ratio_y", "measured over calculated spot, y", compared[1].ratio, "", "reasonable"),
        Number("spot_sigma_x", "their difference at 11 %, x", compared[0].sigma, "sigma"),
        Number("spot_sigma_y", "their difference at 11 %, y", compared[1].sigma, "sigma"),
        Number("bead_rel_err", "relative error of the beads", BEAD_REL_ERR, "", "2.11 +- 0.2 um"),
        Number("other_rel_err", "what is left of 11 %", other_relative_error(SCALE_REL_ERR, BEAD_REL_ERR)),
        Number("area_cm2", "area pi wx wy", ellipse_area_cm2(*SPOT_UM), "cm2"),
        Number("energy_if_average_pJ", "pulse energy for 0.71 uJ/cm2, average", energy_pJ, "pJ"),
        Number("energy_if_peak_pJ", "pulse energy for 0.71 uJ/cm2, peak",
               pulse_energy_pJ(FLUENCE_UJ_CM2, *SPOT_UM, "peak"), "pJ"),
        Number("photons_per_cm2", "photons for 0.71 uJ/cm2",
               FLUENCE_UJ_CM2 * 1e-6 / photon_energy_J(LASER_NM), "1/cm2"),
        *(Number(f"power_{rate_MHz:g}MHz_uW", f"power for 0.71 uJ/cm2, average, {rate_MHz:g} MHz", energy_pJ * rate_MHz,
                 "uW") for rate_MHz in (2.5, 10.0, 40.0)),
        Number("r6g_off", "Rhodamine 6G, measured 3.87 over reference 3.99 ns, minus 1", 3.87 / 3.99 - 1.0),
        Number("irf_nominal_ps", "IRF of 49 ps pulse, 27 ps SPAD, 8 ps rms tagger",
               timing_fwhm_ps(LASER_FWHM_PS, SPAD_FWHM_PS, TAGGER_RMS_PS), "ps", "about 200 ps"),
        Number("laser_for_200_ps", "pulse that gives an IRF of 200 ps",
               laser_fwhm_for_ps(IRF_FWHM_PS, SPAD_FWHM_PS, TAGGER_RMS_PS), "ps", "49 ps nominal"),
        Number("two_spads_factor", "jitter of the difference of two SPADs over that of one", float(np.sqrt(2.0))),
        Number("trpl_points", "TRPL map, 466 to 546 nm in steps of 1 nm", grid_nm.size),
        Number("trpl_first_eV", "its first point", nm_to_eV(float(grid_nm[0])), "eV"),
        Number("trpl_last_eV", "its last point", nm_to_eV(float(grid_nm[-1])), "eV"),
        Number("narrowest_meV", "0.2 nm at 525 nm", 1e3 * interval_nm_to_eV(525.0, 0.2), "meV", "0.2 nm"),
        *(Number(f"line_{nm}_eV", f"line at {nm} nm", energy, "eV") for nm, energy in lines_eV.items()),
        Number("line_522_530_meV", "522 to 530 nm", 1e3 * (lines_eV[522] - lines_eV[530]), "meV"),
        Number("g2_corrected", "g2(0) of 0.40 with signal fraction 0.9, corrected",
               without_background(0.40, 0.0, (0.9, 0.9), (0.0, 0.0))[0], "", "0.4 raw"),
        Number("kT_294_meV", "kT at 294 K", 1e3 * K_B_EV_K * 294.0, "meV"),
        Number("kT_5p6_meV", "kT at 5.6 K", 1e3 * K_B_EV_K * 5.6, "meV"),
    ))  # fmt: skip


def article_inconsistencies() -> tuple[Inconsistency, ...]:
    """The thirteen points of facts/setup.md section 7, each with both values."""
    v = {number.key: number.value for number in article_numbers().numbers}
    # A fibre's mode field of diameter m becomes a collimated beam of 4 lambda f/(pi m).
    beams_um = [focused_spot_um(um, COLLIMATOR_MM, FIBRE_MODE_FIELD_UM) for um in (0.350, 0.405)]
    wide_um = spot_diameter_um(beams_um[1], F_O_MM, F_L1_MM)
    return tuple(Inconsistency(number, *texts) for number, texts in enumerate((
        ("pixel in the formula of M_opt", f"{PIXEL_IN_M_OPT_UM} um: {v['m_opt_6p3']:.2f}",
         f"Table 1: {PIXEL_UM} um: {v['m_opt_6p5']:.2f}", "6.5 um everywhere"),
        ("0.61 lambda/NA called FWHM", f"{v['rayleigh_550_um']:.4f} um, the radius of the first zero",
         f"FWHM is 0.514 lambda/NA: {v['airy_fwhm_550_um']:.3f} um", "both, by name"),
        ("600 um called a waist diameter", "600 um, spot 13.7 um; the published code uses radii",
         f"Gaussian optics: {beams_um[0] / 1e3:.2f} to {beams_um[1] / 1e3:.2f} mm (FWHM "
         f"{gaussian_fwhm_um(beams_um[0]) / 1e3:.2f} to {gaussian_fwhm_um(beams_um[1]) / 1e3:.2f} mm), "
         f"spot {wide_um:.1f} um",
         "d_l1_um is a 1/e2 diameter; every width names its definition"),
        ("fluence without rate, power, definition", "0.71 uJ/cm2",
         f"average: {v['energy_if_average_pJ']:.3f} pJ a pulse; peak: {v['energy_if_peak_pJ']:.3f} pJ",
         "average, by name"),
        ("IRF and laser pulse", "about 200 ps, 'limited by the laser pulse'; pulse 49 ps",
         f"49 ps give {v['irf_nominal_ps']:.1f} ps; 200 ps need a pulse of {v['laser_for_200_ps']:.1f} ps",
         "the IRF is measured"),
        ("magnification", "about 400 and 100",
         f"{v['magnification_4x']:.1f} and {v['magnification_1x']:.1f}, {v['magnification_1x'] - 100:.1f} % more",
         "lens values, or the beads"),
        ("one part number for two focal lengths", "L3 LA4148-AB and L4 LA4102-AB in both relays",
         "L3 50 or 100 mm, L4 200 or 100 mm", "a relay is a pair of focal lengths"),
        ("wavelength of g2 in Fig. 4", "caption: 530 nm", "text: different spectral components",
         "a g2 plan takes its own wavelength"),
        ("word in the caption of Fig. 2", "slip plane", "slit plane", "slit plane"),
        ("dark counts and jitter of the SPADs", "'<100 dark counts', 27 ps jitter, no unit and definition",
         "100 counts/s; 27 ps FWHM, or 27 ps rms = 64 ps FWHM", "counts/s, FWHM"),
        ("measured and calculated spot", f"{SPOT_UM[0]:g} x {SPOT_UM[1]:g} um, 'reasonable'",
         f"{v['d_spot_um']:.2f} um: ratios {v['spot_ratio_x']:.2f}, {v['spot_ratio_y']:.2f}, "
         f"{v['spot_sigma_x']:.1f} and {v['spot_sigma_y']:.1f} sigma at 11 %",
         "the measured spot for fluence, the calculated one for design"),
        ("jitter of the tagger", f"{TAGGER_RMS_PS:g} ps rms", "other values for other editions",
         "the device's own figure"),
        ("bunching or antibunching", "abstract: photon bunching, g2(0) > 1",
         "validation: antibunching, g2(0) about 0.4", "g2 below, at and above 1"),
    ), start=1))  # fmt: skip
