"""Settle times before and after past series were seen."""

import pytest

from cryopl_bluesky.devices.settle_estimate import SettleEstimate, SettleTime
from cryopl_bluesky.devices.settle_rule import rule_for


def test_at_the_set_point_only_window_and_soak_are_waited_for():
    rule = rule_for(200.0)
    assert SettleEstimate().seconds(200.0, 200.0) == rule.window_s + rule.soak_s


def test_the_model_is_right_within_minutes_of_the_fact_sheet():
    # facts/attodry.md, section 6: 8-50 K 2-8 min, 150-300 K 34-39 min; 300 to 5 K takes hours.
    model = SettleEstimate()
    assert 2 < model.seconds(8.0, 50.0) / 60 < 9
    assert 30 < model.seconds(100.0, 150.0) / 60 < 45
    assert 34 < model.seconds(200.0, 300.0) / 60 < 46
    assert 10 < model.seconds(290.0, 8.0) / 60 < 30  # only the sample was warm
    assert model.seconds(300.0, 8.0, plate_K=300.0) > 1.5 * 3600


def test_the_same_step_takes_as_long_as_it_did():
    measured = [SettleTime(40.0, 80.0, seconds) for seconds in (1200.0, 1300.0, 1900.0)]
    assert SettleEstimate(measured=measured).seconds(40.3, 80.0) == 1300.0


def test_a_slower_cryostat_is_slower_everywhere():
    model, rule = SettleEstimate(), rule_for(80.0)
    waiting_s = rule.window_s + rule.soak_s
    twice = waiting_s + 2 * (model.seconds(40.0, 80.0) - waiting_s)
    learned = SettleEstimate(measured=[SettleTime(40.0, 80.0, twice)])
    assert learned.learned == 1
    assert learned.seconds(80.0, 100.0) - waiting_s == pytest.approx(2 * (model.seconds(80.0, 100.0) - waiting_s))
