"""`cryopl analyse` on files: what it prints, writes and refuses. On runs and series: tests/acceptance/test_demo.py."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cryopl_bluesky import cli
from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.catalog.access import NoCatalogError
from cryopl_bluesky.files import FileReadError

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def analyse(*arguments):
    return CliRunner().invoke(cli.app, ["analyse", *map(str, arguments)])


def test_a_table_and_the_picture_beside_it(here):
    found = analyse(DATA / "andor" / "measurement.sif")
    assert found.exit_code == 0, found.output
    for text in ("file measurement.sif", "line.peak_eV", "2.254352 ± 0.000016 eV", "KY328i", "sha256 306c02d2f31b"):
        assert text in found.output
    assert (here / "measurement.sif.analysis.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_all_that_is_printed_and_no_picture_is_written(here):
    found = analyse(DATA / "lifefit" / "Atto550_DNA.txt", "--irf", DATA / "lifefit" / "irf.txt", "--json")
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert report["decay"]["tau_int_ns"]["value"] == pytest.approx(3.694, rel=0.005)
    assert report["decay"]["tau_int_ns"]["unit"] == "ns"
    assert report["tau_int_unweighted_ns"]["value"] == pytest.approx(3.61, rel=0.003)
    assert list(here.iterdir()) == []


def test_where_the_picture_goes(here):
    assert analyse(DATA / "andor" / "image.sif", "--png", "mine.png", "--json").exit_code == 0
    assert [path.name for path in here.iterdir()] == ["mine.png"]
    assert analyse(DATA / "andor" / "raman1.asc", "--no-png").exit_code == 0
    assert [path.name for path in here.iterdir()] == ["mine.png"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["garbage.ptu"], FileReadError, "not a PicoQuant .ptu file"),
        (["none.sif"], FileReadError, "there is no file none.sif"),
        ([str(DATA / "andor" / "c0rrupt.sif")], FileReadError, "corrupt"),
        ([str(DATA / "andor" / "image.sif"), "--period-ns", "12.5"], AnalysisError, "period_ns cannot be used"),
        ([str(DATA / "andor" / "raman1.asc"), "--save"], AnalysisError, "in no catalog"),
        (["last", "--irf", "irf.txt"], AnalysisError, "belong to files"),
        (["last", "--data", "nowhere"], NoCatalogError, "no catalog"),
    ],
)
def test_what_it_refuses(here, arguments, kind, message):
    (here / "garbage.ptu").write_bytes(b"garbage" * 100)
    found = analyse(*arguments)
    assert isinstance(found.exception, kind)
    assert message in str(found.exception)


def test_mistakes_are_one_line_not_a_traceback(here, monkeypatch, capsys):
    (here / "garbage.ptu").write_bytes(b"garbage" * 100)
    monkeypatch.setattr("sys.argv", ["cryopl", "analyse", "garbage.ptu"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: garbage.ptu is not a PicoQuant .ptu file")
    assert "Traceback" not in said


def test_a_file_that_ends_too_early_can_be_recovered(here):
    found = analyse(DATA / "andor" / "c0rrupt.sif", "--recover", "--no-png")
    assert found.exit_code == 0
    assert "warning: c0rrupt.sif is corrupt" in found.output
