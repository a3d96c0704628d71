"""The calibration plans on the virtual lab: what was put in comes out, and what they cannot know they refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators

from cryopl_bluesky import plans
from cryopl_bluesky.analysis.calibration import fit_spot, measure_irf
from cryopl_bluesky.catalog.load import RunData, load_measurement
from cryopl_bluesky.catalog.queries import find_run
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.drivers.operator import OperatorAnswer
from cryopl_bluesky.session import Session
from cryopl_bluesky.session.provenance import Provenance
from cryopl_bluesky.sim.lamp import LAMPS
from cryopl_bluesky.sim.laser_head import optical_power_uW, pulse_fwhm_ps
from cryopl_bluesky.sim.light_path import PSF_SIGMA_UM, WIDE_FIELD_SPOT_UM
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.timetagger import HbtParameters

from .conftest import Recorder, is_safe

PIXEL_UM = 6.5
MAGNIFICATION_1X = 300.0 / 2.87


class Hands:
    """An operator who does what is asked on the bench, and reads the power meter."""

    def __init__(self):
        self.session: Session | None = None
        self.answers: list[OperatorAnswer] = []
        self.willing = True

    @property
    def bench(self):
        assert self.session is not None and self.session.lab is not None
        return self.session.lab.bench

    def ask(self, instrument, question, choices):
        answer = "done" if self.willing else "not possible"
        if self.willing and "long pass" in question:
            self.bench.optics.long_pass_in = "INTO" in question
            self.bench.changed()
        elif self.willing:
            self.bench.lamp = "Hg" if "lamp on" in question else ""
            self.bench.changed()
        self.answers.append(OperatorAnswer(instrument, question, answer, "A. Smith", 1.0))
        return answer

    def ask_number(self, instrument, question, unit):
        reading = self.bench.laser.power_uW
        self.answers.append(OperatorAnswer(instrument, question, f"{reading}", "A. Smith", 1.0))
        return reading


@pytest.fixture(scope="module")
def hands():
    return Hands()


@pytest.fixture(scope="module")
def session(open_session, hands) -> Session:
    opened = open_session(operator=hands, microscope={"relay": "1x"}, speed=1000.0, relay="1x", sample="beads")
    hands.session = opened
    return opened


def take(session: Session, recorder: Recorder, name: str, **arguments) -> RunData:
    """Run a calibration; its documents are valid, it is closed well, and it comes back from the catalog."""
    recorder.clear()
    (uid,) = session.RE(getattr(plans, name)(session.instruments, **arguments))
    for kind, document in recorder.documents:
        validator = schema_validators[DocumentNames[kind]]
        getattr(validator, "full", validator).validate(document)
    assert recorder.of("stop")[-1]["exit_status"] == "success"
    assert is_safe(session)
    assert session.feeder.wait_until_delivered(30)
    run = load_measurement(find_run(session.cat, uid))
    assert run.start["measurement"] == run.start["calibration_of"]["kind"] == name
    return run


def above_baseline(run: RunData) -> np.ndarray:
    return np.asarray(run.frames["camera_image"][0], dtype=float) - run.config["camera_baseline_adu"]


def fwhm(profile: np.ndarray) -> float:
    """Width at half maximum of a peak, with interpolated edges."""
    half, top = profile.max() / 2.0, int(profile.argmax())
    left = top - int(np.argmax(profile[top::-1] < half))
    right = top + int(np.argmax(profile[top:] < half))
    return float(right - (half - profile[right]) / (profile[right - 1] - profile[right])
                 - left - (half - profile[left]) / (profile[left + 1] - profile[left]))


def gaussian_sigma(at: np.ndarray, profile: np.ndarray) -> float:
    """Standard deviation of a Gaussian, by the parabola of its logarithm where it is above a fifth of its maximum."""
    seen = profile > 0.2 * profile.max()
    curvature = np.polynomial.Polynomial.fit(at[seen], np.log(profile[seen]), 2, w=np.sqrt(profile[seen])).convert()
    return float((-0.5 / curvature.coef[2]) ** 0.5)


def refused(session: Session, plan) -> InstrumentError:
    """What the instrument said that ended the plan."""
    with pytest.raises((FailedStatus, InstrumentError)) as caught:
        session.RE(plan)
    assert is_safe(session)
    error = caught.value if isinstance(caught.value, InstrumentError) else caught.value.__cause__
    assert isinstance(error, InstrumentError)
    return error


def test_every_calibration_plan_is_tried_here():
    assert set(calibrations_of_plans()) == {"irf", "laser_power", "scale", "spot", "wavelength_lines"}


def calibrations_of_plans() -> list[str]:
    return [name for name in plans.__all__ if getattr(plans, name).__module__.endswith("calibrations")]


def test_the_beads_on_the_image_have_the_size_that_was_put_in(session, recorder):
    run = take(session, recorder, "scale", exposure_s=0.05)
    radius_um = session.lab.bench.sample.layout.diameter_um / 2.0
    pixel_um = PIXEL_UM / MAGNIFICATION_1X
    rows = above_baseline(run)[1023 - 27:1025 + 27, 1023 - 27:1024 + 27].sum(axis=1)
    at_um = (np.arange(rows.size) - (rows.size - 1) / 2.0) * pixel_um
    rows = rows - rows[[0, -1]].mean()
    variance_um2 = (rows * at_um**2).sum() / rows.sum() - ((rows * at_um).sum() / rows.sum()) ** 2
    # the projection of a ball has the variance R^2/5, the point spread adds its own
    assert variance_um2 == pytest.approx(radius_um**2 / 5.0 + PSF_SIGMA_UM**2, rel=0.03)
    assert run.start["calibration_of"]["valid_for"] == {"relay": "1x"}
    assert run.start["calibration_of"]["reference"] == {
        "bead_diameter_um": 2.11, "bead_diameter_err_um": 0.2, "bead_profile": "ball",
    }


def test_the_film_shows_the_excitation_spot(session, recorder):
    session.lab.bench.sample = Sample.named("ink_film")
    run = take(session, recorder, "spot", exposure_s=0.05)
    assert run.data["camera_saturated_px"][0] == 0
    image, pixel_um = above_baseline(run), PIXEL_UM / MAGNIFICATION_1X
    at_um = (np.arange(2048) - 1023.0) * pixel_um
    inside = np.abs(at_um) < 9.0  # of the slit's 12 um
    widths_um = [4.0 * gaussian_sigma(at_um[inside], image.sum(axis=axis)[inside]) for axis in (0, 1)]
    assert widths_um == pytest.approx(WIDE_FIELD_SPOT_UM, rel=0.01)
    fitted = fit_spot(image, pixel_um * 1e3)
    assert (fitted.diameter_x_um, fitted.diameter_y_um) == pytest.approx(WIDE_FIELD_SPOT_UM, rel=0.01)
    assert run.start["calibration_of"] == {"kind": "spot", "valid_for": {"l1": "in"}, "reference": {}}


def test_the_lines_of_the_lamp_lie_where_the_axis_says_with_the_laser_locked(session, recorder, hands):
    lines_nm = [line_nm for line_nm, _ in LAMPS["Hg"]]
    run = take(session, recorder, "wavelength_lines", lines_nm=lines_nm, source="Hg lamp",
               centre_wavelengths_nm=[450.0, 560.0])
    assert run.start["excitation"] is None
    assert "lamp on" in run.start["operator_answers"][-1]["question"]
    for event, expected_nm in ((0, lines_nm[:1]), (1, lines_nm[1:])):
        axis_nm = run.data["spectrograph_wavelength_nm"][event]
        rows = np.asarray(run.frames["camera_image"][event], float).mean(axis=0) - run.config["camera_baseline_adu"]
        for line_nm in expected_nm:
            near = np.abs(axis_nm - line_nm) < 0.9
            found_nm = (rows * axis_nm)[near].sum() / rows[near].sum()
            assert found_nm == pytest.approx(line_nm, abs=0.01)
    assert run.start["calibration_of"]["valid_for"] == {"lines_per_mm": 600.0}
    assert run.start["calibration_of"]["reference"] == {"lines_nm": lines_nm, "source": "Hg lamp", "medium": "air"}


def test_the_power_meters_readings_are_the_lasers_power(session, recorder, hands):
    intensities = [400.0, 600.0, 800.0]
    run = take(session, recorder, "laser_power", intensities_permille=intensities)
    expected_uW = [optical_power_uW(permille, 2.5e6) for permille in intensities]
    assert run.data["power_meter_power_uW"] == pytest.approx(expected_uW)
    assert run.data["laser_intensity_permille"] == pytest.approx(intensities)
    assert run.start["calibration_of"]["valid_for"] == {
        "repetition_rate_Hz": 2.5e6, "intensity_permille": [400.0, 800.0],
    }
    given = take(session, recorder, "laser_power", intensities_permille=[400.0, 600.0], readings_uW=[0.5, 7.0])
    assert given.data["power_meter_power_uW"] == pytest.approx([0.5, 7.0])
    assert len(given.start["operator_answers"]) == len(hands.answers)


def test_the_response_to_scattered_laser_light_is_as_wide_as_pulse_spad_and_tagger(session, recorder, hands):
    run = take(session, recorder, "irf", duration_s=10.0)
    assert "FELH0425 OUT of" in run.start["operator_answers"][-1]["question"]
    assert run.start["optics"]["filters"] == ["DMLP425R"]
    assert run.start["calibration_of"]["valid_for"] == {
        "repetition_rate_Hz": 2.5e6, "intensity_permille": 443.0, "spad1_channel": -1, "spad2_channel": -2,
        "sync_channel": -3,
    }
    spads = HbtParameters()
    parts_ps = (pulse_fwhm_ps(443.0), spads.jitter_fwhm_ps, 2.3548 * spads.tagger_jitter_ps)
    for spad in ("spad1", "spad2"):
        counts = run.data[f"hbt_decay_{spad}"][0]
        assert counts.sum() > 3e4
        blocks = counts[: counts.size // 2 * 2].reshape(-1, 2).sum(axis=1)  # of 10 ps
        assert 2.0 * run.config["hbt_decay_binwidth_ps"] * fwhm(blocks.astype(float)) == pytest.approx(
            np.sqrt(np.square(parts_ps).sum()), rel=0.06)
        response = measure_irf(counts, run.config["hbt_decay_binwidth_ps"], spad=spad, repetition_rate_Hz=2.5e6,
                               duration_s=float(run.data["hbt_capture_duration_s"][0]))
        assert response.fwhm_ps == pytest.approx(np.sqrt(np.square(parts_ps).sum()), rel=0.06)

    # the next measurement has the filter put back
    (uid,) = session.RE(plans.widefield_image(session.instruments, exposure_s=0.05))
    assert session.lab.bench.optics.long_pass_in
    assert session.feeder.wait_until_delivered(30)
    start = find_run(session.cat, uid).metadata["start"]
    assert start["optics"]["filters"] == ["DMLP425R", "FELH0425"] and "calibration_of" not in start


def test_no_laser_light_goes_to_the_spads_while_the_filter_is_not_known_to_be_out(session, hands):
    hands.willing = False
    try:
        error = refused(session, plans.irf(session.instruments, duration_s=1.0))
    finally:
        hands.willing = True
    assert "long pass FELH0425 OUT" in str(error)
    assert session.instruments.microscope.long_pass.get() == "unknown"
    session.RE(plans.widefield_image(session.instruments, exposure_s=0.05))  # and it is asked for again
    assert session.instruments.microscope.long_pass.get() == "in"


def test_the_response_is_not_measured_with_too_much_light(session, recorder):
    recorder.clear()
    error = refused(session, plans.irf(session.instruments, duration_s=1.0, max_rate_Hz=1000.0))
    assert "above max_rate_Hz=1e+03" in str(error) and "weaken the scattered light" in str(error)
    assert recorder.of("event") == [] or all("hbt_decay_spad1" not in e["data"] for e in recorder.of("event"))
    session.RE(plans.widefield_image(session.instruments, exposure_s=0.05))


def measure(session: Session, recorder: Recorder, **arguments) -> dict:
    """Start document of an image."""
    recorder.clear()
    session.RE(plans.widefield_image(session.instruments, **arguments))
    (start,) = recorder.of("start")
    return start


def test_a_measurement_names_its_calibrations_and_says_what_is_wrong_with_them_once(session, recorder, capsys):
    session.RE(plans.laser_power(session.instruments, [400.0, 600.0], readings_uW=[0.5, 7.0]))
    session.RE(plans.spot(session.instruments, exposure_s=0.03))
    (dark_uid,) = session.RE(plans.dark(session.instruments, exposure_s=0.03, frames=1))
    (scale_uid,) = session.RE(plans.scale(session.instruments, exposure_s=0.03))
    first = measure(session, recorder, exposure_s=0.03)
    assert first["calibration"]["dark"] == dark_uid and first["calibration"]["scale"] == scale_uid
    assert {"dark", "scale", "spot", "laser_power"} == set(first["calibration"]) and not first["calibration_warnings"]

    capsys.readouterr()
    other = measure(session, recorder, exposure_s=0.04, intensity_permille=300.0)
    assert set(other["calibration"]) == {"scale", "spot"}
    dark, power = other["calibration_warnings"]
    assert re.search(r"dark: no calibration matches; .* exposure_s=0\.0\d+ instead of 0\.04", dark)
    assert "laser_power" in power and "intensity_permille=400 to 600 instead of 300" in power
    assert capsys.readouterr().out.count("calibration of widefield_image") == 2
    again = measure(session, recorder, exposure_s=0.04, intensity_permille=300.0)
    assert again["calibration_warnings"] == other["calibration_warnings"]
    assert "calibration" not in capsys.readouterr().out

    session.calibrations()
    lines = [line for line in capsys.readouterr().out.splitlines() if scale_uid[:8] in line]
    assert len(lines) == 1 and lines[0].split()[:2] == ["scale", str(len(session.provenance.known("scale")))]

    # the next session finds the same ones in the catalog
    assert session.feeder.wait_until_delivered(30)
    said = []
    later = Provenance({"scale": 1e-9}, said.append, nothing_before=False)
    later.look_up(lambda: session.cat)
    found = later.keys(first)
    assert found["calibration"] == first["calibration"]
    assert found["calibration_warnings"] == [line.partition(": ")[2] for line in said]
    assert "scale: the calibration of scan" in said[0] and "more than max_age_days=1e-09" in said[0]


def test_a_failed_calibration_is_none(session, recorder):
    before = session.provenance.known("irf")
    refused(session, plans.irf(session.instruments, duration_s=1.0, max_rate_Hz=1000.0))
    assert session.provenance.known("irf") == before
    session.RE(plans.widefield_image(session.instruments, exposure_s=0.03))


def test_a_result_of_a_session_is_numbered_and_delivered(session):
    (source,) = session.RE(plans.dark(session.instruments, exposure_s=0.03, frames=1))
    uid = session.store_result("scale", {"nm_per_px": 62.2, "nm_per_px_err": 6.8}, [source])
    assert session.feeder.wait_until_delivered(30)
    start = find_run(session.cat, "last").metadata["start"]
    assert (start["uid"], start["sources"], start["result"]["nm_per_px"]) == (uid, [source], 62.2)
    assert start["scan_id"] == session.RE.md["scan_id"]
