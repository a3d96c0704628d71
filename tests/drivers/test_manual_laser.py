"""The PDL 800-D by hand: nothing is believed that the operator did not say."""

import pytest

from cryopl_bluesky.drivers.errors import InstrumentError, LimitError
from cryopl_bluesky.drivers.laser import LaserDriver
from cryopl_bluesky.drivers.manual_laser import ManualLaser


class Scripted:
    """Answers from a list of (beginning of the question, answer); otherwise the first choice."""

    def __init__(self, **answers):
        self.answers, self.questions, self._script = (), [], answers

    def ask(self, instrument, question, choices):
        self.questions.append(question)
        fitting = (answer for start, answer in self._script.items() if question.startswith(start))
        return next(fitting, choices[0])


def opened(**answers):
    operator = Scripted(**{"Repetition": "2.5", **answers})
    laser = ManualLaser(operator, power_table=[(2.5e6, 600, 16.0)])
    laser.open()
    operator.questions.clear()
    return laser, operator


def test_is_a_laser_driver():
    assert isinstance(ManualLaser(Scripted()), LaserDriver)


def test_on_and_off_are_what_the_operator_confirmed():
    laser, operator = opened()
    assert laser.is_locked() and laser.power_uW() == 0.0
    laser.set_intensity(600)
    assert operator.questions == []  # the key is off: only noted
    laser.switch_on()
    assert operator.questions == [
        "Turn the intensity knob to 0.00 turns (0 permille).",
        "Mode switch at PULSED, trigger internal, 2.5 MHz, then key switch ON.",
        "Turn the intensity knob to 6.00 turns (600 permille).",
    ]
    assert laser.is_emitting() and laser.power_uW() == 16.0
    laser.switch_off()
    assert laser.is_locked()
    laser.switch_off()
    assert len(operator.questions) == 4  # a confirmed key is not asked for again


def test_a_laser_that_was_found_on_is_not_off():
    laser, _ = opened(Is="no")
    assert laser.is_emitting() and laser.power_uW() is None


def test_before_anything_was_said_the_laser_counts_as_on():
    laser = ManualLaser(Scripted())
    assert not laser.is_locked() and laser.is_emitting()
    assert laser.power_uW() is None and laser.repetition_rate_Hz() == 0.0


def test_off_is_not_inferred_when_the_operator_refuses():
    laser, operator = opened()
    laser.switch_on()
    operator._script["Turn the intensity knob to 0 and the key"] = "refuse"
    with pytest.raises(InstrumentError, match="did not confirm"):
        laser.switch_off()
    assert not laser.is_locked() and laser.power_uW() is None


def test_refused_switching_on_leaves_the_state_unknown_not_off():
    laser, operator = opened()
    operator._script["Mode switch"] = "refuse"
    with pytest.raises(InstrumentError):
        laser.switch_on()
    assert laser.is_emitting() and laser.power_uW() is None


def test_rate_is_changed_with_the_knob_at_zero():
    laser, operator = opened()
    laser.set_intensity(600)
    laser.switch_on()
    operator.questions.clear()
    laser.set_repetition_rate(40e6)
    assert [question[:31] for question in operator.questions] == [
        "Turn the intensity knob to 0.00", "Set the repetition rate to 40 M",
        "Turn the intensity knob to 6.00"]
    assert laser.repetition_rate_Hz() == 40e6 and laser.power_uW() is None


def test_a_refused_rate_is_not_known():
    laser, operator = opened()
    operator._script["Set the"] = "refuse"
    with pytest.raises(InstrumentError):
        laser.set_repetition_rate(5e6)
    assert laser.repetition_rate_Hz() == 0.0
    with pytest.raises(InstrumentError, match="set repetition_rate_Hz first"):
        laser.switch_on()


def test_a_rate_without_a_switch_position_is_refused_unasked():
    laser, operator = opened()
    with pytest.raises(LimitError, match="choose one of"):
        laser.set_repetition_rate(3e6)
    with pytest.raises(LimitError):
        laser.set_intensity(1200)
    assert operator.questions == []


def test_emergency_does_not_wait_for_an_answer_and_does_not_claim_to_be_safe():
    laser, operator = opened()
    laser.emergency_off()  # confirmed off: nothing to do
    laser.switch_on()
    operator.questions.clear()
    with pytest.raises(InstrumentError, match="may be ON"):
        laser.emergency_off()
    assert operator.questions == []
