"""`cryopl optics`: the numbers of facts/setup.md, its inconsistencies, and a profile that does not fit together."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cryopl_bluesky.cli import app
from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.config import Profile, load_profile
from cryopl_bluesky.drivers.operator import ConsoleOperator
from cryopl_bluesky.drivers.vendors import Vendors
from cryopl_bluesky.session.connect import _Connector
from cryopl_bluesky.session.optics_report import optics_report
from cryopl_bluesky.settings_file import ConfigError, parse_toml

# Columns at which a Kymera 328i with 600 lines/mm at 560 nm shows two Hg lines on a ZL41
# (computed with the virtual lab's geometry: KymeraOptics().axis_nm(600, 560)).
HG = "reference_nm = [546.074, 576.960]\nposition_px = [569.92, 1576.19]\nlines_per_mm = 600\ncentre_nm = 560\n"
KNOWN_LINES = f"[[optics.known_lines]]\n{HG}"


def report_of(text):
    return optics_report(parse_toml(f'name = "test"\n{text}', Profile, "test.toml"))


def finding(report, name):
    (found,) = [f for f in report.findings if f.name == name]
    return found


def invoke(*arguments):
    return CliRunner().invoke(app, ["optics", *arguments], env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def sim():
    result = invoke("--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_table_of_section_4(sim):
    near, far = sim["numbers"]["relay_1x"], sim["numbers"]["relay_4x"]
    expected = {
        "magnification": (104.530, 418.118, 5e-6),
        "nm_per_px": (62.183, 15.546, 3e-5),
        "field_um": (127.35, 31.84, 1e-4),
        "slit_at_sample_um": (0.4783, 0.1196, 2e-4),
        "object_on_chip_mm": (0.523, 2.09, 1e-3),
        "object_on_chip_px": (80, 322, 6e-3),
        "spot_on_chip_x_mm": (1.72, 6.90, 3e-3),
        "spot_on_chip_y_mm": (1.88, 7.53, 1e-3),
        "px_per_rayleigh_radius": (6.58, 26.3, 1e-3),
        "px_per_airy_fwhm": (5.55, 22.2, 2e-3),
        "point_image_um": (34, 138, 0.015),
        "beam_on_grating_mm": (5.1, 1.3, 0.011),
    }
    for key, (first, second, rel) in expected.items():
        assert near[key]["value"] == pytest.approx(first, rel=rel), key
        assert far[key]["value"] == pytest.approx(second, rel=rel), key
    assert (near["binning"]["value"], far["binning"]["value"]) == (2, 8)
    assert far["point_resolution_nm"]["value"] == pytest.approx(0.65, abs=0.005)
    assert near["iris_1mm_at_sample_um"]["value"] == pytest.approx(9.57, abs=5e-3)


def test_vectors_come_out_exactly(sim):
    path = Path(__file__).parents[1] / "data" / "test_vectors.json"
    vectors = json.loads(path.read_text())
    optics, fluence = vectors["optics"], vectors["fluence"]
    numbers = {(g, k): n["value"] for g, group in sim["numbers"].items() for k, n in group.items()}
    for place, wanted in {
        ("excitation", "d_spot_um"): optics["d_spot_um"],
        ("excitation", "eq3_2a_tan_alpha_um"): optics["d_spot_um"],
        ("relay_4x", "magnification"): optics["M_x4"],
        ("relay_1x", "field_um"): optics["fov_um_x1"],
        ("article", "m_opt_6p5"): optics["M_opt_6p5um_0p4um"],
        ("article", "m_opt_6p3"): optics["M_opt_paper_6p3um"],
        ("article", "rayleigh_550_um"): optics["fwhm_0p61_550_um"],
        ("fluence", "area_cm2"): fluence["area_pi_wx_wy_cm2"],
        ("fluence", "energy_if_average_pJ"): fluence["E_pulse_pJ_if_average"],
        ("fluence", "energy_if_peak_pJ"): fluence["E_pulse_pJ_if_peak"],
        ("fluence", "fraction_inside"): fluence["fraction_inside_waist_ellipse"],
        ("article", "photons_per_cm2"): fluence["photons_per_cm2"],
        ("article", "bead_rel_err"): vectors["scale_calibration"]["rel_bead"],
        ("article", "other_rel_err"): vectors["scale_calibration"]["other_rel_implied"],
        ("article", "line_522_eV"): vectors["nm_eV"]["522"],
        ("article", "narrowest_meV"): vectors["jacobian"]["width_0p2nm_at_525_meV"],
        ("article", "irf_nominal_ps"): vectors["timing"]["quadrature_ps"]["total_fwhm"],
        ("article", "laser_for_200_ps"): vectors["timing"]["laser_fwhm_needed_for_200ps"],
    }.items():
        assert numbers[place] == pytest.approx(wanted, rel=1e-6), place
    a, b = numbers["excitation", "eq1_a_mm"], numbers["excitation", "eq1_b_mm"]
    assert a * b == pytest.approx(2.87**2, rel=1e-9)


def test_table_of_section_6(sim):
    article, fluence = sim["numbers"]["article"], sim["numbers"]["fluence"]
    for key, wanted, tolerance in (
        ("d_spot_um", 13.732, 0.05), ("m1", 104.530, 0.05), ("magnification_4x", 418.12, 0.4),
        ("chip_mm", 13.312, 0.013), ("m_opt_airy", 56.5, 0.1), ("w_x_um", 8.25, 1e-9), ("w_y_um", 9.0, 1e-9),
        ("fwhm_x_um", 9.714, 5e-4), ("fwhm_y_um", 10.597, 5e-4), ("ellipticity", 0.917, 5e-4),
        ("spot_ratio_x", 1.20, 0.005), ("spot_ratio_y", 1.31, 0.005), ("spot_sigma_x", 1.5, 0.05),
        ("spot_sigma_y", 2.2, 0.05), ("bead_rel_err", 0.09479, 1e-5), ("energy_if_average_pJ", 1.656, 1e-3),
        ("energy_if_peak_pJ", 0.828, 1e-3), ("power_2.5MHz_uW", 4.14, 4e-3), ("power_10MHz_uW", 16.6, 0.05),
        ("power_40MHz_uW", 66.2, 0.07), ("r6g_off", -0.030, 5e-4), ("irf_nominal_ps", 59.0, 0.05),
        ("laser_for_200_ps", 197.3, 0.05), ("two_spads_factor", 2**0.5, 1e-9), ("trpl_points", 81, 0),
        ("trpl_first_eV", 2.66061, 5e-6), ("trpl_last_eV", 2.27077, 5e-6), ("narrowest_meV", 0.90, 0.005),
        ("line_522_eV", 2.37518, 5e-6), ("line_527_eV", 2.35264, 5e-6), ("line_530_eV", 2.33932, 5e-6),
        ("line_522_530_meV", 35.9, 0.05), ("g2_corrected", 0.259, 5e-4), ("kT_294_meV", 25.33, 0.01),
        ("kT_5p6_meV", 0.4826, 5e-5),
    ):  # fmt: skip
        assert article[key]["value"] == pytest.approx(wanted, abs=tolerance), key
    assert fluence["power_if_peak_2.5MHz_uW"]["value"] == pytest.approx(4.14 / 2, rel=1e-3)
    # the virtual lab's power table is set to the publication's fluence
    assert fluence["fluence_average_uJ_cm2"]["value"] == pytest.approx(0.71, rel=1e-3)
    assert fluence["fluence_peak_uJ_cm2"]["value"] == pytest.approx(1.42, rel=1e-3)
    assert sim["numbers"]["excitation"]["beam_at_objective_um"]["value"] == pytest.approx(548, abs=1)
    assert sim["numbers"]["excitation"]["focused_spot_um"]["value"] == pytest.approx(2.47, abs=5e-3)
    assert sim["numbers"]["excitation"]["aperture_by_na_mm"]["value"] == pytest.approx(4.707, abs=5e-4)
    assert sim["numbers"]["detection"]["spad_at_exit_slit_um"]["value"] == pytest.approx(75.0)
    assert sim["numbers"]["dispersion"]["g600_nm_mm"]["value"] == pytest.approx(4.74, abs=5e-3)


@pytest.mark.parametrize(
    ("number", "values"),
    [
        (1, ["47.25", "48.75"]), (2, ["0.4091", "0.345"]),
        (3, ["600 um", "0.85 to 0.99 mm", "0.50 to 0.58 mm", "22.6"]),
        (4, ["0.71", "1.656", "0.828"]), (5, ["49", "197.3"]), (6, ["about 400", "418.1", "104.5", "4.5 %"]),
        (7, ["50 or 100", "200 or 100"]), (8, ["530 nm", "different"]), (9, ["slip", "slit"]),
        (10, ["counts/s", "FWHM"]), (11, ["16.5 x 18", "13.73", "1.20", "1.31", "1.5 and 2.2 sigma"]),
        (12, ["8 ps"]), (13, ["bunching", "antibunching"]),
    ],
)  # fmt: skip
def test_each_inconsistency_is_reported_with_both_values(sim, number, values):
    (item,) = [item for item in sim["inconsistencies"] if item["number"] == number]
    text = " ".join(str(value) for value in item.values())
    assert all(value in text for value in values), text
    assert item["article"] and item["computed"] and item["used"]


@pytest.mark.parametrize("profile", ["sim", "lab"])
def test_people_read_tables(profile):
    result = invoke("--profile", profile)
    assert result.exit_code == 0
    for text in ("104.53", "418.12", "13.732", "slip plane", "600 lines/mm", f"does profile {profile} fit together?"):
        assert text in result.stdout


def test_the_packaged_profiles_hold_no_error():
    for name in ("sim", "lab"):
        assert optics_report(load_profile(name)).errors == 0


def test_right_focal_length_passes_two_known_lines():
    report = report_of(KNOWN_LINES)
    assert report.errors == 0
    assert finding(report, "dispersion, known pair").level == "ok"


@pytest.mark.parametrize(("focal_mm", "suspect"), [(500, "focal length 328 mm"), (334.6, "328 mm instead of 335 mm")])
def test_a_profile_with_the_wrong_focal_length_is_flagged(tmp_path, focal_mm, suspect):
    path = tmp_path / "profile.toml"
    path.write_text(f'name = "wrong"\n[optics]\nspectrograph_focal_mm = {focal_mm}\n{KNOWN_LINES}')
    result = invoke("--profile", str(path), "--json")
    assert result.exit_code == 1
    found = [f for f in json.loads(result.stdout)["findings"] if f["name"] == "dispersion, known pair"]
    assert found[0]["level"] == "error" and suspect in found[0]["text"]


@pytest.mark.parametrize(
    ("text", "name", "level", "words"),
    [
        ("[microscope]\nscale_nm_per_px = 62.2\nscale_rel_err = 0.11\n", "length scale", "error", "another relay"),
        ("[microscope]\nscale_nm_per_px = 16.0\nscale_rel_err = 0.11\n", "length scale", "ok", "0.3 sigma"),
        ("[microscope]\nscale_nm_per_px = 16.0\n", "length scale", "error", "no scale_rel_err"),
        ("[microscope]\nspot_diameter_x_um = 40\n", "excitation spot", "warning", "sigma"),
        ("[microscope]\nspot_diameter_x_um = 40\n", "field", "warning", "use relay 1x"),
        ("[microscope]\nfilters = []\n", "filters", "warning", "no long pass"),
        ("[microscope]\nirf_fwhm_ps = 40\n", "IRF", "warning", "cannot be shorter"),
        ("[microscope]\nrelay = '1x'\n", "entrance slit", "note", "own image"),
        ("[microscope]\nrelay = '1x'\n[camera]\nbinning = 4\n", "sampling", "warning", "undersampled"),
        ("[optics]\ndetection_nm = 420\n", "detection", "error", "no light"),
        ("[optics]\ndetection_nm = 700\n", "detection", "warning", "465 to 590"),
        ("[optics]\ndetection_nm = 840\n", "second order", "warning", "425 nm"),
        ("[optics]\nobjective_na = 0.65\n", "NA", "warning", "check the objective"),
        ("[optics]\nl1_to_objective_mm = 1400\n", "clipping", "warning", "clipped"),
        ("[optics]\nexit_slit_um = 100\n", "exit slit", "warning", "75 um"),
        ("[laser]\nwavelength_nm = 450\n", "excitation", "error", "long pass"),
        ("", "entrance slit", "warning", "138 um"),
        ("", "dispersion", "note", "not checked"),
        ("", "laser power", "note", "fluence is not known"),
    ],
)
def test_what_does_not_fit_is_said_with_both_values(text, name, level, words):
    found = finding(report_of(text), name)
    assert (found.level, words in found.text) == (level, True), found.text


def test_numbers_that_no_optics_has_are_one_message():
    with pytest.raises(ConfigError, match=r"section \[optics\].*beyond what 1800 lines/mm can reach"):
        report_of("[optics]\ndetection_nm = 1100\n")
    with pytest.raises(ConfigError, match="position_px has 3 entries"):
        report_of(KNOWN_LINES.replace("[569.92,", "[1.0, 569.92,"))
    with pytest.raises(ConfigError, match="did you mean 'spectrograph_focal_mm'"):
        report_of("[optics]\nspectrograph_focal = 328\n")


def test_what_runs_record_follows_the_section_optics(tmp_path):
    profile = load_profile("sim")
    halved = profile.model_copy(update={"optics": profile.optics.model_copy(update={"f_l2_mm": 150.0})})
    microscope = _Connector(halved, Vendors(), SystemClock(), tmp_path, ConsoleOperator(SystemClock())).microscope()
    assert microscope.magnification.get() == pytest.approx(418.118 / 2, rel=1e-5)
    microscope.shutdown()
    report = optics_report(halved)
    assert report.value("relay_4x", "magnification") == pytest.approx(418.118 / 2, rel=1e-5)
