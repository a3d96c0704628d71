"""The demo as a user runs it; then the truth that was put in must come out of the catalog alone."""

import io
import json
import os
import re
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import chi2, norm

from cryopl_bluesky.catalog.access import read_catalog
from cryopl_bluesky.catalog.load import RunData, load_target
from cryopl_bluesky.catalog.queries import find_run
from cryopl_bluesky.catalog.results import results_of
from cryopl_bluesky.config import load_profile
from cryopl_bluesky.figures.runs import temperatures
from cryopl_bluesky.figures.summary import SummaryRow, summarise
from cryopl_bluesky.plans.recipe import Recipe, load_recipe
from cryopl_bluesky.reports import analyse_run, analyse_series
from cryopl_bluesky.reports.correlations import G2Report
from cryopl_bluesky.reports.decays import TrplMapReport
from cryopl_bluesky.session.dry_run import dry_run
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
    (work / "printed.txt").write_text(found.stdout)
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


def _minutes(text: str) -> float:
    """Minutes of a duration as it is printed."""
    hours, minutes = re.search(r"(?:(\d+) h )?(\d+) min", text).groups()  # pyright: ignore
    return 60 * int(hours or 0) + int(minutes)


def test_it_took_as_long_as_forecast(folder):
    took, expected = re.search(r"The night took (.*); (.*) were expected", _printed(folder)).groups()  # pyright: ignore
    assert abs(_minutes(expected) / _minutes(took) - 1) < 0.15
    learned = dry_run(load_profile("sim"), _recipe(), folder, Console(file=io.StringIO()), start_K=8.0)
    assert learned.learned >= 5
    assert abs(learned.duration_s / 60 / _minutes(took) - 1) < 0.10


def test_it_took_as_much_room_as_forecast(folder):
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "night.png")
    expected = dry_run(load_profile("sim"), _recipe(), folder, Console(file=io.StringIO())).disk_bytes
    assert abs(expected / used - 1) < 0.20


def _printed(folder: Path) -> str:
    return (folder.parent / "printed.txt").read_text()


def _recipe() -> Recipe:
    with as_file(files("cryopl_bluesky") / "profiles" / "sim" / "demo.toml") as path:
        return load_recipe(path)


def _agree(pulls: list[float]) -> None:
    """All temperatures together agree within 3 sigma (each alone would fail one night in thirty by chance)."""
    assert max(map(abs, pulls)) < 4, pulls
    assert chi2.sf(np.square(pulls).sum(), len(pulls)) > 2 * norm.sf(3), pulls


def test_the_peak_energy_is_the_samples_own(night):
    pulls = []
    for row in night[1]:
        assert "spectral_map" not in row.problems, row.problems
        assert row.mean_K and row.peak_eV and row.peak_eV_err
        off_eV = row.peak_eV - Sample.named("superlattice").peak_energy_eV(row.mean_K)
        assert abs(off_eV) < 1e-3, row
        pulls.append(off_eV / row.peak_eV_err)
    _agree(pulls)


def test_the_mean_lifetime_is_the_samples_own(night):
    pulls = []
    for row in night[1]:
        assert row.decay is not None and row.decay.good, (row.problems, row.decay)
        assert row.mean_K and row.tau_ns and row.tau_err_ns and row.tau_nm
        true_ns = Sample.named("superlattice").mean_lifetime_ns(row.mean_K, row.tau_nm, BAND_NM)
        assert abs(row.tau_ns / true_ns - 1) < 0.05, row
        pulls.append((row.tau_ns - true_ns) / row.tau_err_ns)
    _agree(pulls)


def test_the_ensemble_shows_no_correlation(night):
    pulls = []
    for row in night[1]:
        assert row.g2 is not None and row.g2_0 is not None, row.problems
        # The error that g2(0) = 1 would have: with few pairs the error of the observed number depends on it.
        pulls.append((row.g2_0 - 1) * float(np.sqrt(row.g2.n_side / len(row.g2.k))))
    _agree(pulls)


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


def test_the_reports_laws_are_the_samples_own(night):
    """All parameters of a law together within 3 sigma would need their covariance; here each one alone is."""
    line = Sample.named("superlattice").line
    report = analyse_series(night[0])
    truths = {
        "peak_eV": {"E0_eV": line.gap_eV, "A_TE_eV_K": line.expansion_eV_K, "A_EP_eV": line.phonon_coupling_eV,
                    "hw_eV": line.phonon_eV},
        "fwhm_eV": {"G0_eV": line.width_eV, "g_LO_eV": line.optical_eV, "E_LO_eV": line.optical_phonon_eV},
        "intensity": {"a1": line.quenching_ratio, "Ea1_eV": line.quenching_eV},
    }  # fmt: skip
    for quantity, parameters in truths.items():
        law = report.laws[quantity]
        assert law.good, law
        for name, truth in parameters.items():
            found = law.parameters[name]
            assert found.error and abs(found.value - truth) < 3 * found.error, (quantity, name, found, truth)
    assert [row.setpoint_K for row in report.rows] == [8, 40, 80, 150, 290]
    assert len(report.origin.runs) == 20


def test_the_reports_say_that_the_blue_side_decays_faster(night):
    kinetics = Sample.named("superlattice").kinetics
    for run in night[0]:
        if run.start["measurement"] == "trpl_map":
            report = analyse_run(run)
            assert isinstance(report, TrplMapReport)
            assert report.blue_is_faster, report.slope_ns_per_nm
            assert report.law is not None, report.notes
            found = report.law.parameters["tau_r_ns"]
            truth_ns = kinetics.red_lifetime_ns(run.start["temperature_K"])
            assert found.error and abs(found.value - truth_ns) < 3 * found.error, (found, truth_ns)


def test_the_reports_g2_has_errors_by_blocks_and_claims_no_emitter(night):
    for run in night[0]:
        if run.start["measurement"] == "g2":
            report = analyse_run(run)
            assert isinstance(report, G2Report) and report.g2 is not None
            assert report.g2.g2_0_raw.error and abs(report.g2.g2_0_raw.value - 1) < 4 * report.g2.g2_0_raw.error
            assert report.g2.sigma_bootstrap is not None
            assert not report.g2.single_emitter


def test_cryopl_analyse_prints_the_series_and_keeps_it_beside_its_runs(folder, night):
    environment = {**os.environ, "HOME": str(folder.parent), "TILED_PROFILES": str(folder.parent)}
    command = [sys.executable, "-m", "cryopl_bluesky", "analyse", "demo", "--json", "--save", "--png", "demo.png"]
    found = subprocess.run([*command, "--data", str(folder)], cwd=folder.parent, env=environment, capture_output=True,
                           text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    printed = json.loads(found.stdout)
    assert printed["laws"]["peak_eV"]["parameters"]["E0_eV"]["unit"] == "eV"
    assert (folder.parent / "demo.png").read_bytes().startswith(b"\x89PNG")
    uids = [run.start["uid"] for run in night[0]]
    with read_catalog(folder) as catalog:
        (kept,) = results_of(catalog.client, uids[3])
        assert kept["sources"] == uids
        assert kept["result"] == printed
        assert find_run(catalog.client, kept["uid"]).metadata["stop"]["exit_status"] == "success"
