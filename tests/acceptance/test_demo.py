"""The demo as a user runs it; then the truth that was put in must come out of the catalog alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryopl_bluesky.catalog.access import read_catalog
from cryopl_bluesky.catalog.load import RunData, load_target
from cryopl_bluesky.figures.runs import temperatures
from cryopl_bluesky.figures.summary import SummaryRow, summarise
from cryopl_bluesky.sim.sample import Sample

STEPS = ["widefield_image", "spectral_image", "trpl_map", "g2"]
BAND_NM = 0.5
"""Detected band of the demo's TRPL map: 100 um slits at 600 lines/mm."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "HOME": str(work), "USERPROFILE": str(work), "TILED_PROFILES": str(work)}
    found = subprocess.run([sys.executable, "-m", "cryopl_bluesky", "demo"], cwd=work, env=environment,
                           capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "[ 20/20]" in found.stdout
    return work / "cryopl-demo"


@pytest.fixture(scope="module")
def night(folder: Path) -> tuple[list[RunData], list[SummaryRow]]:
    with read_catalog(folder) as catalog:
        runs = load_target(catalog.client, "demo")
        return runs, summarise(temperatures(runs))


def test_it_leaves_a_night_and_its_picture(folder, night):
    runs, rows = night
    assert len(rows) >= 5
    assert [run.start["measurement"] for run in runs] == STEPS * len(rows)
    assert [run.start["series"]["index"] for run in runs] == list(range(len(runs)))
    assert (folder / "night.png").read_bytes().startswith(b"\x89PNG")
    for run in runs:
        assert abs(np.mean(run.data["cryostat_temperature_K"]) - run.start["temperature_K"]) < 0.1
        assert run.data["cryostat_in_band"].all()
        if "camera_saturated_px" in run.data:
            assert run.data["camera_saturated_px"].max() < 10


def test_peak_energy_lifetime_and_g2_are_the_samples_own(night):
    _, rows = night
    sample = Sample.named("superlattice")
    for row in rows:
        assert not row.problems, row.problems
        assert row.mean_K and row.peak_eV and row.peak_eV_err and row.tau_ns and row.tau_err_ns and row.tau_nm
        off_eV = abs(row.peak_eV - sample.peak_energy_eV(row.mean_K))
        assert off_eV < 1e-3 and off_eV < 3 * row.peak_eV_err, row
        true_ns = sample.mean_lifetime_ns(row.mean_K, row.tau_nm, BAND_NM)
        assert abs(row.tau_ns / true_ns - 1) < 0.05 and abs(row.tau_ns - true_ns) < 3 * row.tau_err_ns, row
        assert row.g2_0 and row.g2_0_err and abs(row.g2_0 - 1) < 3 * row.g2_0_err, row


def test_the_blue_side_decays_faster(night):
    runs, rows = night
    for night_row, temperature in zip(rows, temperatures(runs), strict=True):
        trpl = temperature.trpl_map
        assert trpl is not None and night_row.line is not None
        blue_nm, red_nm = night_row.line.peak_nm - 4.0, night_row.line.peak_nm + 3.0
        mean_ns = {}
        for name, wavelength_nm in (("blue", blue_nm), ("red", red_nm)):
            counts = np.asarray(trpl.row(wavelength_nm).counts, float)
            top = int(np.argmax(counts))
            gate = counts[top : top + 200] - counts[2000:].mean()
            mean_ns[name] = float((gate * np.arange(gate.size)).sum() / gate.sum())
        assert mean_ns["blue"] < mean_ns["red"], night_row.setpoint_K
