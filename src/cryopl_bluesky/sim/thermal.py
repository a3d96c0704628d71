"""Temperatures of cold plate and sample: two heat capacities, one link, a cryocooler and two heater loops.

The model, its tables and its controller are section 6 of the fact sheet (`facts/attodry.md`), fitted there to
published logs of a real attoDRY800. Nothing here has noise; the read-out adds that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

CONTROL_STEP_S = 0.5
_SUBSTEPS = 10
_GRID_STEP_K = 0.05
_GRID_MAX_K = 400.0
_PLATE_MIN_K = 2.9
_COMPRESSOR_TRIP_K_PER_S = 1.0 / 60.0
FULL_SCALE_W = 4.992
CURRENT_STEPS = 1000
_W_PER_STEP2 = FULL_SCALE_W / CURRENT_STEPS**2

_G_KNOTS_K = (3, 5, 8, 12, 16, 20, 30, 40, 52.5, 62.5, 75, 85, 145, 195, 245, 320)
_G_KNOTS_MW_PER_K = (1.2, 3.5, 9, 16, 21, 25, 25, 20, 14.8, 11.6, 9.1, 8.2, 7.0, 7.4, 8.4, 9.5)
_COOLING_KNOTS_K = (
    3.6, 3.97, 4.38, 5.02, 6.17, 7.17, 8.26, 9.24, 10.35, 13.25, 17.0, 19.2, 22.5, 25.7,
    42, 75, 145, 245, 320,
)
_COOLING_KNOTS_W = (
    0, 0.012, 0.045, 0.115, 0.265, 0.436, 0.675, 0.90, 1.11, 1.80, 2.19, 2.36, 2.62, 2.84,
    3.0, 3.5, 3.6, 3.9, 4.2,
)
_BACKGROUND_KNOTS_K = (200.0, 250.0)
_BACKGROUND_KNOTS_W = (0.011, 0.003)

_OFF, _CLOSED, _OPEN = 0.0, 1.0, 2.0
_MODES = {"off": _OFF, "closed": _CLOSED, "zone": _CLOSED, "open": _OPEN}
# Columns of a packed loop.
_MODE, _SETPOINT, _WORKING, _RAMP, _INTEGRAL, _OPEN_W, _MAX_W, _POWER, _QUANTISED = range(9)


@lru_cache(maxsize=1)
def _tables() -> NDArray[np.float64]:
    """Rows on a uniform temperature grid: c_Cu in J/(g K), G in W/K, its integral in W, Q_c and Q_bg in W."""
    grid_K = np.arange(0.0, _GRID_MAX_K + _GRID_STEP_K / 2, _GRID_STEP_K)
    conductance = np.interp(grid_K, _G_KNOTS_K, np.array(_G_KNOTS_MW_PER_K) * 1e-3)
    integral = np.concatenate([[0.0], np.cumsum((conductance[1:] + conductance[:-1]) / 2 * _GRID_STEP_K)])
    return np.ascontiguousarray([
        copper_heat_capacity(grid_K),
        conductance,
        integral,
        np.interp(grid_K, _COOLING_KNOTS_K, _COOLING_KNOTS_W),
        np.interp(grid_K, _BACKGROUND_KNOTS_K, _BACKGROUND_KNOTS_W),
    ])


def copper_heat_capacity(temperature_K: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Specific heat of copper in J/(g K): Debye lattice (343 K) plus electrons (section 6)."""
    temperature_K = np.maximum(np.atleast_1d(np.asarray(temperature_K, float)), 1.0)
    y = np.linspace(1e-9, 345.0, 69_001)
    integrand = y**4 / (4.0 * np.sinh(np.minimum(y, 300.0) / 2) ** 2)
    debye = np.concatenate([[0.0], np.cumsum((integrand[1:] + integrand[:-1]) / 2 * np.diff(y))])
    lattice = 9 * 8.314 * (temperature_K / 343) ** 3 * np.interp(343 / temperature_K, y, debye)
    return (lattice + 0.695e-3 * temperature_K) / 63.546


@njit(cache=True, nogil=True)
def _look_up(row, temperature_K):
    position = min(max(temperature_K, 0.0), _GRID_MAX_K - _GRID_STEP_K) / _GRID_STEP_K
    i = int(position)
    return row[i] + (position - i) * (row[i + 1] - row[i])


@njit(cache=True, nogil=True)
def _control(loop, temperature_K, capacity_J_K, tau_s, step_s):
    """One step of a heater loop: moves the working set point and stores the power in the loop."""
    if loop[_RAMP] > 0:
        gap = loop[_SETPOINT] - loop[_WORKING]
        loop[_WORKING] += min(max(gap, -loop[_RAMP] * step_s), loop[_RAMP] * step_s)
    else:
        loop[_WORKING] = loop[_SETPOINT]
    power = 0.0
    if loop[_MODE] == _OPEN:
        power = loop[_OPEN_W]
    elif loop[_MODE] == _CLOSED:
        gain = capacity_J_K / max(6.0, tau_s / 6.0)
        error = loop[_WORKING] - temperature_K
        wanted = gain * error + loop[_INTEGRAL]
        if (wanted < loop[_MAX_W] or error < 0) and (wanted > 0 or error > 0):
            loop[_INTEGRAL] += gain * error * step_s / max(12.0, tau_s / 1.5)
            loop[_INTEGRAL] = min(max(loop[_INTEGRAL], 0.0), loop[_MAX_W])
        power = gain * error + loop[_INTEGRAL]
    power = min(max(power, 0.0), loop[_MAX_W])
    if loop[_QUANTISED] > 0:
        n = np.round(CURRENT_STEPS * np.sqrt(power / FULL_SCALE_W))
        power = (n / CURRENT_STEPS) ** 2 * FULL_SCALE_W
    loop[_POWER] = power


@njit(cache=True, nogil=True)
def _rates(tables, sample_K, plate_K, sample_W, plate_W, masses, k_link, compressor_on, plate_drift):
    """Rates of change in K/s of sample and cold plate."""
    flow = k_link * (_look_up(tables[2], sample_K) - _look_up(tables[2], plate_K))
    background = _look_up(tables[4], sample_K)
    sample_rate = (sample_W + background - flow) / (masses[0] * _look_up(tables[0], sample_K))
    plate_rate = (flow + plate_W - _look_up(tables[3], plate_K)) / (masses[1] * _look_up(tables[0], plate_K))
    if not compressor_on:
        plate_rate = _COMPRESSOR_TRIP_K_PER_S if plate_K < 295.0 else 0.0
    if plate_drift != 0.0:
        plate_rate = plate_drift
    return sample_rate, plate_rate


@njit(cache=True, nogil=True)
def _integrate(tables, state, sample_loop, plate_loop, masses, k_link, compressor_on, plate_drift, steps):
    """Advance `state` (sample and cold plate, K) by control steps; midpoint rule, substeps of 0.05 s."""
    dt = CONTROL_STEP_S / _SUBSTEPS
    sample_K, plate_K = state[0], state[1]
    for _ in range(steps):
        target_K = sample_loop[_WORKING]
        capacity = masses[0] * _look_up(tables[0], target_K)
        tau_s = capacity / (k_link * _look_up(tables[1], target_K))
        _control(sample_loop, sample_K, capacity, tau_s, CONTROL_STEP_S)
        target_K = max(plate_loop[_WORKING], 4.0)
        capacity = masses[1] * _look_up(tables[0], target_K)
        slope = (_look_up(tables[3], target_K + 1.0) - _look_up(tables[3], target_K - 1.0)) / 2.0
        _control(plate_loop, plate_K, capacity, capacity / max(slope, 0.01), CONTROL_STEP_S)
        for _ in range(_SUBSTEPS):
            a, b = _rates(tables, sample_K, plate_K, sample_loop[_POWER], plate_loop[_POWER], masses, k_link,
                          compressor_on, plate_drift)
            a, b = _rates(tables, sample_K + a * dt / 2, max(plate_K + b * dt / 2, _PLATE_MIN_K),
                          sample_loop[_POWER], plate_loop[_POWER], masses, k_link, compressor_on, plate_drift)
            sample_K = max(sample_K + a * dt, _PLATE_MIN_K)
            plate_K = max(plate_K + b * dt, _PLATE_MIN_K)
    state[0], state[1] = sample_K, plate_K


@dataclass
class HeaterLoop:
    """One heater and its controller.

    Attributes:
        mode: "off", "closed", "zone" (closed loop with gains by zone) or "open".
        setpoint_K: where the loop shall go.
        ramp_on: the working set point moves at `ramp_K_min` instead of jumping.
        ramp_K_min: ramp rate, K/min.
        working_K: the set point that the loop regulates to now.
        open_loop_W: power applied in mode "open".
        max_power_W: limit of the power.
        power_W: power applied now.
        quantised: power moves in steps of 0.1 % of full-scale current, not only its read-out.
        integral_W: integral part of the controller.
    """

    setpoint_K: float
    max_power_W: float
    mode: str = "off"
    ramp_on: bool = False
    ramp_K_min: float = 2.0
    working_K: float = 0.0
    open_loop_W: float = 0.0
    power_W: float = 0.0
    quantised: bool = False
    integral_W: float = 0.0

    def start(self, temperature_K: float, *, mode: str = "closed") -> None:
        """Regulate from the present temperature; a ramp starts there."""
        if self.mode == "off":
            self.working_K, self.integral_W = temperature_K, 0.0
        self.mode = mode

    def stop(self) -> None:
        """Switch the heater off."""
        self.mode, self.power_W, self.integral_W = "off", 0.0, 0.0

    def pack(self) -> NDArray[np.float64]:
        """The loop as the array that the integrator works on."""
        ramp_K_s = self.ramp_K_min / 60.0 if self.ramp_on else 0.0
        return np.array([_MODES[self.mode], self.setpoint_K, self.working_K, ramp_K_s, self.integral_W,
                         self.open_loop_W, self.max_power_W, self.power_W, float(self.quantised)])

    def unpack(self, packed: NDArray[np.float64]) -> None:
        """Take over what the integrator changed."""
        self.working_K, self.integral_W = float(packed[_WORKING]), float(packed[_INTEGRAL])
        self.power_W = float(packed[_POWER])


class ThermalModel:
    """Cold plate and sample of a cryostat with their heaters.

    Args:
        temperature_K: sample temperature at the start.
        cold_plate_K: cold plate temperature at the start; default: where it is with the sample held there.
        k_link: strength of the thermal link relative to mount A of the fact sheet (mount B: about 1.8).
        sample_mass_g: copper equivalent of sample and holder (bare 14.5; with positioners 50-150).
        plate_mass_g: copper equivalent of the cold plate.
        max_power_W: limit of the sample heater.
        plate_max_power_W: limit of the cold plate heater.
        start_s: time on the clock at which the model starts.
        quantised: the applied heater power moves in steps of 0.1 % of full-scale current too, not only its
            read-out. One step is 0.8 mW = 60 mK at 10 K, so the loop then cycles by 25 mK there, whereas the
            logged cryostat (whose *reported* power has these steps) stayed within 0.8 mK.

    Attributes:
        sample_loop: sample heater and its controller.
        plate_loop: cold plate heater and its controller.
        compressor_on: False lets the cold plate warm at 1 K/min.
        plate_drift_K_min: if not 0, the cold plate moves at this rate, whatever its balance of heat.
    """

    def __init__(
        self, temperature_K: float = 300.0, *, cold_plate_K: float | None = None, k_link: float = 1.0,
        sample_mass_g: float = 14.5, plate_mass_g: float = 430.0, max_power_W: float = FULL_SCALE_W,
        plate_max_power_W: float = 10.0, start_s: float = 0.0, quantised: bool = False,
    ):
        self.k_link = k_link
        self._masses_g = np.array([sample_mass_g, plate_mass_g])
        if cold_plate_K is None:
            cold_plate_K = min(equilibrium_plate_K(temperature_K, k_link), temperature_K)
        self._state = np.array([temperature_K, cold_plate_K], float)
        self._time_s = start_s
        self.sample_loop = HeaterLoop(temperature_K, max_power_W, quantised=quantised)
        self.plate_loop = HeaterLoop(cold_plate_K, plate_max_power_W)
        self.compressor_on = True
        self.plate_drift_K_min = 0.0

    @property
    def sample_K(self) -> float:
        """Sample temperature."""
        return float(self._state[0])

    @property
    def cold_plate_K(self) -> float:
        """Cold plate temperature."""
        return float(self._state[1])

    @property
    def heater_W(self) -> float:
        """Power of the sample heater as reported: in steps of 0.1 % of full-scale current."""
        return round(CURRENT_STEPS * (self.sample_loop.power_W / FULL_SCALE_W) ** 0.5) ** 2 * _W_PER_STEP2

    def hold(self) -> None:
        """Control at the present temperature, heater at what it takes: long at rest there."""
        loop, tables = self.sample_loop, _tables()
        flow_W = link_flow_W(self.sample_K, self.cold_plate_K, self.k_link)
        needed_W = flow_W - _look_up(tables[4], self.sample_K)
        loop.setpoint_K = self.sample_K
        loop.start(self.sample_K)
        loop.power_W = loop.integral_W = min(max(float(needed_W), 0.0), loop.max_power_W)

    def advance_to(self, time_s: float) -> None:
        """Integrate up to the last whole control step (0.5 s) before `time_s`; the past is ignored."""
        steps = int((time_s - self._time_s) / CONTROL_STEP_S)
        if steps < 1:
            return
        sample_loop, plate_loop = self.sample_loop.pack(), self.plate_loop.pack()
        _integrate(_tables(), self._state, sample_loop, plate_loop, self._masses_g, self.k_link,
                   self.compressor_on, self.plate_drift_K_min / 60.0, steps)
        self.sample_loop.unpack(sample_loop)
        self.plate_loop.unpack(plate_loop)
        self._time_s += steps * CONTROL_STEP_S


def link_flow_W(sample_K: float, plate_K: float, k_link: float) -> float:
    """Heat that flows from sample to cold plate: `k_link` times the integral of G(T)."""
    tables: Any = _tables()
    return float(k_link * (_look_up(tables[2], sample_K) - _look_up(tables[2], plate_K)))


def equilibrium_plate_K(sample_K: float, k_link: float = 1.0) -> float:
    """Cold plate temperature at which the cooler takes what flows from a sample at `sample_K` (bisection)."""
    tables: Any = _tables()
    low_K, high_K = _PLATE_MIN_K, _GRID_MAX_K - 1.0
    for _ in range(60):
        plate_K = (low_K + high_K) / 2
        if link_flow_W(sample_K, plate_K, k_link) > _look_up(tables[3], plate_K):
            low_K = plate_K
        else:
            high_K = plate_K
    return low_K
