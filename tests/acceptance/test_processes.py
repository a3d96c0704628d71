"""More than one process: watching a measurement, a session that is killed, an instrument PC without instruments."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cryopl_bluesky.catalog.access import read_catalog
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run, runs_table

from .measuring import measuring, wait_for

CRYOPL = [sys.executable, "-m", "cryopl_bluesky"]


def _cryopl(*arguments: str, environment) -> subprocess.CompletedProcess:
    return subprocess.run([*CRYOPL, *arguments], env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_second_process_lists_and_reads_a_run_while_it_goes_on_and_after_a_kill(tmp_path, environment):
    data = tmp_path / "data"
    process = measuring(data, environment, "spectral_image(session.instruments, exposure_s=0.4, frames=400)", 1.0)
    try:
        wait_for(process, "event 3")
        seen_s = time.monotonic()
        with read_catalog(data) as catalog:
            while True:
                (row,) = runs_table(catalog.client)
                run = load_measurement(find_run(catalog.client, row.uid))
                if run.num_events >= 2:
                    break
                assert time.monotonic() - seen_s < 20
                time.sleep(0.1)
            assert row.exit_status == "running"
            frame = run.frames["camera_image"][1, 1000:1010, :]
            assert frame.shape == (10, 2048)
        listed = _cryopl("runs", "--data", str(data), environment=environment)
        assert "spectral_image" in listed.stdout and "running" in listed.stdout, listed.stderr
    finally:
        process.kill()
        process.wait()

    (journal,) = (data / "journal").glob("*.jsonl")
    written = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    events = [d for d in written if d["name"] == "event" and "camera_mean_adu" in d["doc"]["data"]]

    again = measuring(data, environment, "dark(session.instruments, exposure_s=0.1, frames=1)", 1000.0)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    with read_catalog(data) as catalog:
        run = load_measurement(find_run(catalog.client, row.uid))
    assert run.stop is not None and "interrupted" in run.stop["reason"]
    assert run.num_events == len(events) >= 3
    assert run.data["seq_num"].tolist() == list(range(1, len(events) + 1))


def test_the_lab_profile_says_for_each_instrument_what_is_missing(tmp_path, environment):
    profile = tmp_path / "lab.toml"
    profile.write_text('name = "lab"\n[cryostat]\nhost = "127.0.0.1"\nport = 9\n[l1_flip]\nserial = "37000001"\n')
    found = _cryopl("run", str(_recipe(tmp_path)), "--profile", str(profile), "--data", str(tmp_path / "data"),
                    environment={**environment, "COLUMNS": "200"})
    assert found.returncode == 1
    for instrument in ("camera", "spectrograph", "cryostat", "laser", "hbt", "l1_flip", "l5_flip"):
        assert instrument in found.stderr, found.stderr
    assert "Traceback" not in found.stderr


def _recipe(folder: Path) -> Path:
    path = folder / "night.toml"
    path.write_text('name = "n"\nsample = {name = "A3"}\ntemperatures_K = [8]\n[[steps]]\nplan = "dark"\n'
                    'exposure_s = 0.1\nframes = 1\n')
    return path


@pytest.mark.slow
def test_one_recipe_one_command(tmp_path, environment):
    data = tmp_path / "data"
    found = _cryopl("run", str(_recipe(tmp_path)), "--data", str(data), environment=environment)
    assert found.returncode == 0, found.stderr
    assert "1 of 1 steps" in found.stdout
    shown = _cryopl("show", "last", "--png", str(tmp_path / "dark.png"), "--data", str(data), environment=environment)
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "dark.png").stat().st_size > 10_000
    script = "import databroker; cat = databroker.from_profile('cryopl'); print(cat[-1].metadata['start']['plan_name'])"
    opened = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True,
                            timeout=120)
    assert opened.stdout.strip().endswith("dark"), opened.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs", "--data", "nowhere"], ["no catalog", "--data"]),
        (["session", "--profile", "nowhere"], ["nowhere", "sim, lab"]),
        (["run", "nowhere.toml"], ["nowhere.toml", "cannot be read"]),
    ],
)
def test_a_users_mistake_is_one_message(environment, tmp_path, arguments, words):
    found = subprocess.run([*CRYOPL, *arguments], env=environment, capture_output=True, text=True, timeout=60,
                           cwd=tmp_path)
    assert found.returncode == 1
    for word in words:
        assert word in found.stderr
    assert "Traceback" not in found.stderr


def test_importing_the_package_opens_nothing():
    script = """
        import sys, threading
        opened = []
        sys.addaudithook(lambda event, args: opened.append(event) if event == "socket.__new__" else None)
        import cryopl_bluesky
        loaded = {name.partition(".")[0] for name in sys.modules}
        print(sorted(loaded & {"pylablib", "Swabian", "TimeTagger", "numba", "tiled", "matplotlib", "bluesky"}))
        print(threading.active_count(), opened)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["[]", "1 []"]


@pytest.mark.slow
def test_the_prompt_has_the_names(tmp_path, environment):
    commands = ("RE(dark(exposure_s=0.1, frames=1))\n"
                "print('runs', len(list(cat)), camera.name, spectral_image.__name__)\n%wa\nexit\n")
    found = subprocess.run([*CRYOPL, "session", "--data", str(tmp_path / "data")], input=commands, env=environment,
                           capture_output=True, text=True, timeout=120)
    assert "camera spectral_image" in found.stdout, found.stdout + found.stderr
    assert found.returncode == 0


@pytest.mark.slow
def test_the_start_up_module_holds_the_names(tmp_path, environment):
    script = "import cryopl_bluesky.startup as s; print(s.RE(s.dark(exposure_s=0.1, frames=1))); s.session.close()"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120,
                           env={**environment, "CRYOPL_DATA": str(tmp_path / "data")})
    assert found.returncode == 0, found.stderr
    assert len(list((tmp_path / "data" / "journal").glob("*.jsonl"))) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process on Windows")
def test_control_c_ends_an_unattended_night_safely(tmp_path, environment):
    recipe = _recipe(tmp_path)
    recipe.write_text(recipe.read_text().replace("frames = 1", "frames = 500"))
    data = tmp_path / "data"
    process = subprocess.Popen([*CRYOPL, "run", str(recipe), "--data", str(data)], env=environment, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline_s = time.monotonic() + 60
        while not any('"event"' in path.read_text() for path in (data / "journal").glob("*.jsonl")):
            assert process.poll() is None and time.monotonic() < deadline_s
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "The laser is locked; what was recorded is kept" in err
    assert "Traceback" not in err
    with read_catalog(data) as catalog:
        (row,) = runs_table(catalog.client)
    assert row.exit_status == "abort"
