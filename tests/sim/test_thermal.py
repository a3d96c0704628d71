"""The thermal model gives the check values of section 6 of the fact sheet."""

import numpy as np
import pytest

from cryopl_bluesky.sim.thermal import ThermalModel, copper_heat_capacity, equilibrium_plate_K


def _hold(temperature_K, start_K, *, hours=1.5, **model_options) -> ThermalModel:
    model = ThermalModel(start_K, **model_options)
    model.sample_loop.setpoint_K = temperature_K
    model.sample_loop.start(model.sample_K)
    model.advance_to(hours * 3600)
    return model


@pytest.mark.parametrize(
    ("temperature_K", "expected"),
    [(5, 1.49e-4), (10, 8.67e-4), (20, 6.28e-3), (50, 7.90e-2), (100, 0.2335), (200, 0.3425), (300, 0.3713)],
)
def test_heat_capacity_of_copper(temperature_K, expected):
    assert copper_heat_capacity(temperature_K)[0] == pytest.approx(expected, rel=4e-3)


def test_base_temperature():
    model = ThermalModel(10.0)
    model.advance_to(3600)
    assert model.sample_K == pytest.approx(6.6, abs=0.05)
    assert model.cold_plate_K == pytest.approx(3.94, abs=0.01)
    assert model.heater_W == 0


@pytest.mark.parametrize(("temperature_K", "power_W"), [(10, 0.031), (20, 0.218), (30, 0.461), (50, 0.847)])
def test_hold_power(temperature_K, power_W):
    model = _hold(temperature_K, 8.0)
    assert model.sample_K == pytest.approx(temperature_K, abs=1e-3)
    assert model.heater_W == pytest.approx(power_W, rel=0.02)


@pytest.mark.parametrize(("temperature_K", "power_W"), [(100, 2.20), (150, 2.62)])
def test_hold_power_of_the_better_link(temperature_K, power_W):
    model = _hold(temperature_K, temperature_K - 10.0, k_link=1.8)
    assert model.heater_W == pytest.approx(power_W, rel=0.01)


def test_reported_heater_power_is_a_square_of_whole_current_steps():
    steps = np.sqrt(_hold(20.0, 15.0, hours=0.1).heater_W) / 2.234255e-3
    assert steps == pytest.approx(round(steps), abs=0.01)
    assert steps > 0


def test_applied_power_in_steps_makes_the_loop_cycle_at_10_K():
    model = _hold(10.0, 8.0, quantised=True)
    temperatures_K = []
    for time_s in range(5400, 6000):
        model.advance_to(time_s)
        temperatures_K.append(model.sample_K)
    assert 0.005 < np.ptp(temperatures_K) < 0.06


def test_free_cooling_of_the_plate():
    model = ThermalModel(300.0, cold_plate_K=300.0)
    model.advance_to(9000)
    assert 3.5 < model.cold_plate_K < 60
    model.advance_to(4 * 3600)
    assert model.cold_plate_K < 4.5


def test_result_does_not_depend_on_how_often_it_is_asked():
    one, many = ThermalModel(8.0), ThermalModel(8.0)
    for model in (one, many):
        model.sample_loop.setpoint_K = 20.0
        model.sample_loop.start(model.sample_K)
    one.advance_to(100.0)
    for time_s in np.arange(0, 100.01, 0.17):
        many.advance_to(float(time_s))
    many.advance_to(100.0)
    assert (one.sample_K, one.cold_plate_K) == (many.sample_K, many.cold_plate_K)


def test_ramp_moves_the_working_setpoint():
    model = ThermalModel(10.0)
    loop = model.sample_loop
    loop.setpoint_K, loop.ramp_on, loop.ramp_K_min = 20.0, True, 2.0
    loop.start(model.sample_K)
    model.advance_to(60.0)
    assert loop.working_K == pytest.approx(12.0, abs=0.05)


def test_plate_held_by_its_own_heater():
    model = ThermalModel(60.0)
    model.plate_loop.setpoint_K = 45.0
    model.plate_loop.start(model.cold_plate_K)
    model.sample_loop.start(model.sample_K)
    model.advance_to(3 * 3600)
    assert model.cold_plate_K == pytest.approx(45.0, abs=0.05)
    assert model.sample_K == pytest.approx(60.0, abs=0.05)
    assert model.heater_W == pytest.approx(0.222, rel=0.2)  # log of October, section 5


def test_compressor_trip_warms_the_plate_by_1_K_per_min():
    model = ThermalModel(10.0)
    model.compressor_on = False
    before_K = model.cold_plate_K
    model.advance_to(600.0)
    assert model.cold_plate_K - before_K == pytest.approx(10.0, abs=0.1)


def test_equilibrium_plate_at_base():
    assert equilibrium_plate_K(6.6) == pytest.approx(3.94, abs=0.02)


def test_hold_stays():
    model = ThermalModel(80.0)
    model.hold()
    model.advance_to(600.0)
    assert model.sample_K == pytest.approx(80.0, abs=1e-3)
