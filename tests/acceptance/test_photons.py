"""Photons through the whole path: real ones of a recording, and those of a sample whose g2(0) is known."""

from pathlib import Path

import numpy as np
import pytest

from cryopl_bluesky import plans
from cryopl_bluesky.analysis.channel_delay import channel_delay
from cryopl_bluesky.analysis.g2 import pulsed_g2
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run
from cryopl_bluesky.drivers.operator import OperatorAnswer
from cryopl_bluesky.figures import runs
from cryopl_bluesky.figures.style import save_figure
from cryopl_bluesky.figures.summary import fit_g2
from cryopl_bluesky.sim.light import expected_raw_g2_0, spad_light
from cryopl_bluesky.sim.timetagger import HbtParameters

RECORDED = Path(__file__).parents[1] / "data" / "picoquant" / "hydraharp_v10_t3.ptu"


def _run(session, plan, **arguments):
    (uid,) = session.RE(plan(session.instruments, **arguments))
    assert session.feeder.wait_until_delivered(30)
    return load_measurement(find_run(session.cat, uid))


def _g2_run(session, **arguments):
    return _run(session, plans.g2, **arguments)


def _channel_delay(run):
    data = runs.channel_delay(run)
    found = channel_delay(data.histogram, data.binwidth_ps, data.period_ns, data.singles)
    return found, found.input_delays_ps(data.applied_ps)


def test_the_g2_plan_on_real_photons_of_a_single_emitter(open_session):
    session = open_session(speed=1000.0, replay=RECORDED)
    run = _g2_run(session, duration_s=30.0, side_peaks=1000, binwidth_ps=4000)
    assert run.data["hbt_overflows"][0] == 0
    assert run.data["hbt_spad1_counts"][0] == pytest.approx(48001, rel=0.01)
    assert run.data["hbt_spad2_counts"][0] == pytest.approx(46559, rel=0.01)
    result = pulsed_g2(run.data["hbt_g2_histogram"][0], 4000, 400.0, side_peaks=1000)
    assert result.g2_0_raw == pytest.approx(0.281, abs=0.085)


class Scripted:
    """An operator who does what is asked; records it like the one at the terminal."""

    def __init__(self):
        self.answers: list[OperatorAnswer] = []

    def ask(self, instrument, question, choices):
        answer = "done" if "done" in choices else "out"
        self.answers.append(OperatorAnswer(instrument, question, answer, "A. Smith", 1.0))
        return answer


def test_what_the_operator_did_by_hand_is_in_the_run(open_session):
    session = open_session(operator=Scripted(), flips="manual", speed=1000.0)
    session.lab.bench.optics.l5_in = True  # the operator's hand
    run = _g2_run(session, duration_s=1.0)
    answers = run.start["operator_answers"]
    assert answers[-1]["instrument"] == "l5_flip"
    assert "INTO the beam" in answers[-1]["question"]
    assert answers[-1]["operator"] == "A. Smith"


def test_the_single_emitter_sample_shows_the_antibunching_that_was_put_in(open_session):
    session = open_session(speed=1000.0, sample="single_emitter")
    bench = session.lab.bench
    seen = []

    def take_note():
        light = spad_light(bench)
        if light.rate_Hz > 0:
            seen.append(light)

    bench.on_change(take_note)
    wavelength_nm = 1239.841984 / bench.sample.peak_energy_eV(bench.sample_temperature_K())
    run = _g2_run(session, duration_s=300.0, wavelengths_nm=[wavelength_nm])
    result = pulsed_g2(run.data["hbt_g2_histogram"][0], 1000, 400.0)
    truth = expected_raw_g2_0(seen[-1], dark_Hz=30.0)
    assert truth < 0.5
    assert abs(result.g2_0_raw - truth) < 3 * result.sigma_poisson
    assert np.isclose(run.data["hbt_capture_duration_s"][0], 300.0, rtol=1e-6)


@pytest.mark.slow
def test_the_delay_found_by_calibration_and_put_into_the_profile_is_gone(open_session, tmp_path):
    session = open_session(speed=1000.0, input_delays_ps=(0, 0, 0))
    truth_ps = HbtParameters().cable2_ps
    run = _run(session, plans.channel_delay, duration_s=60.0)
    found, advised_ps = _channel_delay(run)
    assert abs(found.delay_ps - truth_ps) < 4 * found.sigma_ps < 40
    save_figure(runs.draw_run(run), tmp_path / "delay.png", 1000)

    session = open_session(speed=1000.0, input_delays_ps=advised_ps)
    run = _run(session, plans.channel_delay, duration_s=60.0)
    again, unchanged_ps = _channel_delay(run)
    assert run.config["hbt_spad2_delay_ps"] == advised_ps[1]
    assert abs(again.delay_ps) < 4 * np.hypot(found.sigma_ps, again.sigma_ps)
    assert unchanged_ps[1] == pytest.approx(-truth_ps, abs=4 * again.sigma_ps + 1)

    # the same session: many emitters have the pairs that the rates allow
    result = fit_g2(runs.g2(_g2_run(session, duration_s=30.0, wavelengths_nm=[525.0, 527.0])))
    assert abs(result.near_far - 1) < 4 * result.near_far_err < 0.05
    assert abs(result.g2_0_raw - 1) < 4 * result.sigma_poisson
    assert result.dead_time_ok is True
    assert not result.single_emitter
