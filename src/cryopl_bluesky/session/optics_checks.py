"""Does the optics of a profile fit together? Each check says both values and what to do."""

from __future__ import annotations

from cryopl_bluesky.analysis.calibration.checks import Check, check_length, check_second_order
from cryopl_bluesky.analysis.calibration.dispersion import DispersionSetup, check_known_lines
from cryopl_bluesky.analysis.calibration.spot import compare_with_calculated
from cryopl_bluesky.analysis.lifetimes import timing_fwhm_ps
from cryopl_bluesky.analysis.optics import airy_fwhm_um, beam_at_objective_um, clipped_fraction, spot_diameter_um
from cryopl_bluesky.config import Profile
from cryopl_bluesky.session.optics_article import LASER_FWHM_PS, SPAD_FWHM_PS, TAGGER_RMS_PS
from cryopl_bluesky.session.optics_numbers import (
    point_image_um,
    power_at_setting_uW,
    relay_imaging,
    spectrograph,
)
from cryopl_bluesky.session.optics_terms import Finding, Level

LONG_PASSES = ("FELH0425",)
"""Filters that keep the laser from the detectors."""
ARTICLE_SCALE_REL_ERR = 0.11
CLIPPED_LIMIT = 0.01
APERTURE_LIMIT = 0.02
SPOT_SIGMA_LIMIT = 3.0
FEWEST_PIXELS = 2.0
"""Pixels per Airy FWHM below which an image is undersampled (Nyquist)."""
ENOUGH_PIXELS = 2.5
"""Pixels per Airy FWHM (3 per Rayleigh radius) which a further binning by 2 must leave."""


def findings(profile: Profile) -> tuple[Finding, ...]:
    """All checks of a profile."""
    return (
        _scale(profile), _spot(profile), *_wavelengths(profile), _filters(profile), _aperture(profile),
        _clipping(profile), _sampling(profile), _field(profile), _slit(profile), _exit_slit(profile),
        *_dispersion(profile), _order(profile), _power(profile), _irf(profile),
    )  # fmt: skip


def _from_check(check: Check, name: str = "") -> Finding:
    return Finding("ok" if check.ok else "error", name or check.name, check.message)


def _judge(name: str, text: str, *, ok: bool, remedy: str, level: Level = "warning") -> Finding:
    return Finding("ok", name, text) if ok else Finding(level, name, f"{text}: {remedy}")


def _scale(profile: Profile) -> Finding:
    m = profile.microscope
    lenses = relay_imaging(profile, m.relay).nm_per_px
    name = "length scale"
    if m.scale_nm_per_px == 0:
        text = f"no bead calibration: {lenses:.3f} nm/px by the lenses of relay {m.relay}"
        return Finding("note", name, f"{text}; measure beads, set scale_nm_per_px and scale_rel_err")
    if m.scale_rel_err == 0:
        return Finding("error", name, f"scale_nm_per_px = {m.scale_nm_per_px:g} has no scale_rel_err; give it")
    return _from_check(check_length(m.scale_nm_per_px, m.scale_rel_err, lenses), name)


def _spot(profile: Profile) -> Finding:
    m, o = profile.microscope, profile.optics
    calculated = spot_diameter_um(o.d_l1_um, o.f_objective_mm, o.f_l1_mm)
    rel_err = m.scale_rel_err or ARTICLE_SCALE_REL_ERR
    x, y = (compare_with_calculated(d, rel_err, calculated) for d in (m.spot_diameter_x_um, m.spot_diameter_y_um))
    return _judge(
        "excitation spot",
        f"measured {m.spot_diameter_x_um:g} x {m.spot_diameter_y_um:g} um, calculated {calculated:.2f} um: ratios "
        f"{x.ratio:.2f} and {y.ratio:.2f}, {x.sigma:+.1f} and {y.sigma:+.1f} sigma at {100 * rel_err:.3g} %",
        ok=max(abs(x.sigma), abs(y.sigma)) <= SPOT_SIGMA_LIMIT,
        remedy="measure the spot again, or check f_l1_mm and d_l1_um",
    )


def _wavelengths(profile: Profile) -> tuple[Finding, Finding]:
    o, laser_nm = profile.optics, profile.laser.wavelength_nm
    corrected = f"objective corrected for {o.corrected_from_nm:g} to {o.corrected_to_nm:g} nm"
    inside = [o.corrected_from_nm <= nm <= o.corrected_to_nm for nm in (o.detection_nm, laser_nm)]
    detection = _judge("detection", f"{o.detection_nm:g} nm, {corrected}", ok=inside[0], remedy="refocus there")
    if o.detection_nm < o.long_pass_nm:
        text = f"{o.detection_nm:g} nm lies below the long pass of {o.long_pass_nm:g} nm"
        detection = Finding("error", "detection", f"{text}: no light gets through; choose a longer wavelength")
    excitation = _judge("excitation", f"{laser_nm:g} nm, {corrected}", ok=inside[1], level="note",
                        remedy="excitation and detection focus differ")
    if laser_nm >= o.long_pass_nm:
        text = f"the laser's {laser_nm:g} nm pass the long pass of {o.long_pass_nm:g} nm"
        excitation = Finding("error", "excitation", f"{text} to the detectors; change the filter")
    return detection, excitation


def _filters(profile: Profile) -> Finding:
    names = profile.microscope.filters
    return _judge("filters", ", ".join(names) or "none", ok=any(name in LONG_PASSES for name in names),
                  remedy=f"no long pass ({', '.join(LONG_PASSES)}): the laser may reach the detectors")


def _aperture(profile: Profile) -> Finding:
    o = profile.optics
    needed = 2.0 * o.f_objective_mm * o.objective_na
    off = needed / o.clear_aperture_mm - 1.0
    return _judge("NA", f"2 f NA = {needed:.3f} mm, clear aperture {o.clear_aperture_mm:g} mm ({100 * off:+.1f} %)",
                  ok=abs(off) <= APERTURE_LIMIT,
                  remedy=f"they should agree within {100 * APERTURE_LIMIT:g} %; check the objective")


def _clipping(profile: Profile) -> Finding:
    o = profile.optics
    beam = beam_at_objective_um(o.d_l1_um, o.f_l1_mm, o.l1_to_objective_mm)
    lost = clipped_fraction(beam, 1e3 * o.clear_aperture_mm)
    text = f"with L1 in, {beam / 1e3:.3f} mm of beam in {o.clear_aperture_mm:g} mm of aperture"
    return _judge("clipping", f"{text}: {100 * lost:.3f} % clipped", ok=lost <= CLIPPED_LIMIT,
                  remedy="power and spot are not the calculated ones; move L1")


def _sampling(profile: Profile) -> Finding:
    o, m, binning = profile.optics, profile.microscope, profile.camera.binning
    width = airy_fwhm_um(o.detection_nm / 1e3, o.objective_na)
    pixels = width * 1e3 / (relay_imaging(profile, m.relay).nm_per_px * binning)
    text = f"{pixels:.1f} pixels (binning {binning}) per Airy FWHM of {width:.3f} um, relay {m.relay}"
    if pixels < FEWEST_PIXELS:
        remedy = f"undersampled below {FEWEST_PIXELS:g}; less binning, or relay 4x"
        return Finding("warning", "sampling", f"{text}: {remedy}")
    return _judge("sampling", text, ok=pixels < 2.0 * ENOUGH_PIXELS, level="note",
                  remedy="oversampled; binning would cost no detail")


def _field(profile: Profile) -> Finding:
    m = profile.microscope
    field = relay_imaging(profile, m.relay).field_um
    widest = max(m.spot_diameter_x_um, m.spot_diameter_y_um)
    return _judge("field", f"spot of {widest:g} um in a field of {field:.1f} um", ok=widest <= field,
                  remedy=f"it cannot be measured with relay {m.relay}; use relay 1x")


def _slit(profile: Profile) -> Finding:
    o, relay = profile.optics, profile.microscope.relay
    image = point_image_um(profile, relay)
    text = f"entrance slit {o.entrance_slit_um:g} um, point image {image:.0f} um (Airy FWHM), relay {relay}"
    if o.entrance_slit_um < image:
        remedy = "the slit cuts light of a point away, and sets the resolution"
        return Finding("warning", "entrance slit", f"{text}: {remedy}")
    return Finding("note", "entrance slit", f"{text}: an object's own image sets its spectral resolution")


def _exit_slit(profile: Profile) -> Finding:
    o = profile.optics
    seen = o.spad_um * o.f_l6_mm / o.f_l7_mm
    return _judge("exit slit", f"exit slit {o.exit_slit_um:g} um, SPADs see {seen:g} um of it",
                  ok=o.exit_slit_um <= seen, remedy="the SPADs, not the slit, set the bandwidth")


def _dispersion(profile: Profile) -> list[Finding]:
    o, geometry = profile.optics, spectrograph(profile)
    if not o.known_lines:
        text = f"f = {geometry.focal_mm:g} mm not checked: give two known lines in [[optics.known_lines]]"
        return [Finding("note", "dispersion", text)]
    found = []
    for lines in o.known_lines:
        setup = DispersionSetup(geometry, lines.lines_per_mm, lines.centre_nm, o.pixels, o.pixel_um)
        checks = check_known_lines(
            lines.position_px, lines.reference_nm, setup, position_err_px=lines.position_err_px
        )
        found += [_from_check(check, f"dispersion, {check.name}") for check in checks]
    return found


def _order(profile: Profile) -> Finding:
    o, geometry = profile.optics, spectrograph(profile)
    half = geometry.window_nm(o.grating_lines_per_mm, o.detection_nm, o.pixels * o.pixel_um) / 2.0
    check = check_second_order(o.detection_nm + half, 2.0 * o.long_pass_nm)
    return Finding("ok" if check.ok else "warning", check.name, check.message)


def _power(profile: Profile) -> Finding:
    laser = profile.laser
    setting = f"{laser.repetition_rate_Hz / 1e6:g} MHz, {laser.intensity_permille:g} permille"
    if power_at_setting_uW(profile) is None:
        return Finding("note", "laser power", f"power_table does not hold {setting}: the fluence is not known")
    return Finding("ok", "laser power", f"power_table holds {setting}")


def _irf(profile: Profile) -> Finding:
    fwhm, shortest = profile.microscope.irf_fwhm_ps, timing_fwhm_ps(LASER_FWHM_PS, SPAD_FWHM_PS, TAGGER_RMS_PS)
    text = (f"irf_fwhm_ps = {fwhm:g}, shortest of laser ({LASER_FWHM_PS:g} ps), SPAD ({SPAD_FWHM_PS:g} ps) and tagger "
            f"({TAGGER_RMS_PS:g} ps rms) {shortest:.1f} ps")
    return _judge("IRF", text, ok=fwhm >= shortest, remedy="it cannot be shorter; measure it")
