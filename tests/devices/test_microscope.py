"""The manual parts: the publication's numbers from its lenses, and where a scale comes from."""

import pytest

from cryopl_bluesky.config import MicroscopeSettings
from cryopl_bluesky.devices.microscope import Microscope
from cryopl_bluesky.drivers.errors import InstrumentError, LimitError, NotConnectedError


@pytest.mark.parametrize(("relay", "magnification", "nm_per_px"), [
    ("1x", 104.530, 62.183), ("4x", 418.118, 15.546)])
def test_magnification_and_scale_of_the_publication(relay, magnification, nm_per_px):
    microscope = Microscope(name="microscope", relay=relay)
    assert microscope.magnification.get() == pytest.approx(magnification, abs=1e-3)
    assert microscope.nm_per_px.get() == pytest.approx(nm_per_px, abs=1e-3)
    assert microscope.scale_source.get() == "lenses" and microscope.scale_rel_err.get() > 0


def test_a_calibration_replaces_the_lens_values():
    microscope = Microscope(name="microscope", scale_nm_per_px=15.9, scale_rel_err=0.11)
    assert (microscope.nm_per_px.get(), microscope.scale_rel_err.get()) == (15.9, 0.11)
    assert microscope.scale_source.get() == "calibration"


def test_what_cannot_be_right_is_refused():
    with pytest.raises(LimitError, match="relay='2x' does not exist"):
        Microscope(name="microscope", relay="2x")
    with pytest.raises(LimitError, match="has no error"):
        Microscope(name="microscope", scale_nm_per_px=15.9)


def test_everything_is_recorded_as_configuration():
    microscope = Microscope(name="microscope", **MicroscopeSettings().model_dump())
    recorded = microscope.read_configuration()
    assert set(recorded) == set(microscope.describe_configuration())
    values = {key.removeprefix("microscope_"): reading["value"] for key, reading in recorded.items()}
    assert values["filters"] == "DMLP425R, FELH0425" and values["objective_na"] == 0.82
    assert (values["spot_diameter_x_um"], values["spot_definition"]) == (16.5, "1/e2_diameter")
    assert values["irf_fwhm_ps"] == 200.0 and values["pixel_um"] == 6.5
    assert microscope.describe_configuration()["microscope_nm_per_px"]["units"] == "nm/px"


def test_optics_record_for_the_start_document():
    record = Microscope(name="microscope", filters=["DMLP425R", "FELH0425"], iris_mm=1.0).optics_record()
    assert record["filters"] == ["DMLP425R", "FELH0425"] and record["iris_mm"] == 1.0
    assert Microscope(name="microscope").optics_record()["filters"] == []


class Answering:
    def __init__(self, answer):
        self.answer, self.asked = answer, []

    @property
    def answers(self):
        return ()

    def ask(self, instrument, question, choices):
        self.asked.append(question)
        return self.answer

    def ask_number(self, instrument, question, unit):
        raise AssertionError("no number is asked for")


def test_the_long_pass_is_out_when_the_operator_says_so():
    operator = Answering("done")
    microscope = Microscope(name="microscope", filters=["DMLP425R", "FELH0425"], operator=operator)
    assert microscope.long_pass.get() == "in"
    microscope.long_pass.set("out").wait(5)
    assert "FELH0425 OUT of" in operator.asked[-1]
    assert microscope.long_pass.get() == "out" and microscope.optics_record()["filters"] == ["DMLP425R"]
    assert "FELH0425 is not known to be in" in microscope.left_by_hand()[0]
    microscope.long_pass.set("in").wait(5)
    assert microscope.optics_record()["filters"] == ["DMLP425R", "FELH0425"]
    microscope.lamp.set("on").wait(5)
    assert microscope.lamp.get() == "on" and microscope.left_by_hand() == ["the lamp is on"]


@pytest.mark.parametrize(("operator", "error", "state"), [
    (Answering("not possible"), InstrumentError, "unknown"), (None, NotConnectedError, "unknown")])
def test_a_filter_that_was_not_moved_for_sure_is_nowhere(operator, error, state):
    microscope = Microscope(name="microscope", filters=["FELH0425"], operator=operator)
    with pytest.raises(error, match="long pass FELH0425 OUT"):
        microscope.long_pass.set("out").wait(5)
    assert microscope.long_pass.get() == state


def test_a_long_pass_that_the_profile_does_not_name_is_not_taken_to_be_out():
    assert Microscope(name="microscope", filters=["DMLP425R"]).long_pass.get() == "not named"
