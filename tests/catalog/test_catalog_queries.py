"""Finding runs by what a user types."""

from __future__ import annotations

import pytest

from cryopl_bluesky.catalog.access import open_catalog
from cryopl_bluesky.catalog.journal import Journal
from cryopl_bluesky.catalog.queries import RunNotFoundError, find_run, runs_table, series_runs
from cryopl_bluesky.catalog.recovery import recover

SERIES = {"old": "1111aaaa-0000-4000-8000-000000000000", "new": "2222bbbb-0000-4000-8000-000000000000"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two series of one recipe with 2 temperatures x (image, g2), a repeated step, and a dark frame."""
    with open_catalog(tmp_path_factory.mktemp("data")) as catalog:
        journal = Journal(catalog.folder.journal)
        number = 0

        def add(measurement: str, temperature_K: float | None, exit_status="success", **start: object):
            nonlocal number
            number += 1
            uid = f"{number:08d}-aaaa-4000-8000-000000000000"
            temperature = {} if temperature_K is None else {"temperature_K": temperature_K}
            journal("start", {"uid": uid, "time": 1000.0 + number, "scan_id": number,
                              "plan_name": measurement, "measurement": measurement,
                              "sample": {"name": "A3"}, **temperature, **start})
            journal("stop", {"uid": f"s{number}", "run_start": uid, "time": 1000.5 + number,
                             "exit_status": exit_status, "num_events": {"primary": 2}})

        for name in ("old", "new"):
            for index, (temperature, measurement) in enumerate(
                [(4.0, "widefield_image"), (4.0, "g2"), (10.0, "widefield_image"), (10.0, "g2")]
            ):
                series = {"uid": SERIES[name], "recipe": "night", "index": index, "of": 4}
                add(measurement, temperature, series=series, exit_status="fail" if index == 1 else "success")
        add("g2", 4.0, series={"uid": SERIES["new"], "recipe": "night", "index": 1, "of": 4, "step": "g2"})
        add("dark", None, sample={"name": "B7"})
        report = recover(catalog.folder.journal, catalog.client)
        assert [item.what for item in report] == ["delivered"] * 10
        yield catalog.client


def scan_ids(runs) -> list[int]:
    return [run.metadata["start"]["scan_id"] for run in runs]


def test_table_newest_first(client):
    rows = runs_table(client)
    assert [row.scan_id for row in rows] == list(range(10, 0, -1))
    row = rows[1]
    assert (row.measurement, row.sample, row.temperature_K, row.series) == ("g2", "A3", 4.0, "night")
    assert (row.exit_status, row.num_events, row.time) == ("success", 2, 1009.0)
    assert (rows[0].temperature_K, rows[0].series, rows[0].sample) == (None, "", "B7")
    assert [row.scan_id for row in runs_table(client, 3)] == [10, 9, 8]


@pytest.mark.parametrize(("conditions", "expected"), [
    ({"measurement": "g2"}, [9, 8, 6, 4, 2]),
    ({"measurement": "g2", "max_temperature_K": 5}, [9, 6, 2]),
    ({"min_temperature_K": 10.0}, [8, 7, 4, 3]),
    ({"sample": "B7"}, [10]),
    ({"series": SERIES["old"]}, [4, 3, 2, 1]),
    ({"since": 1009.0}, [10, 9]),
    ({"until": 1002.0}, [1]),
    ({"sample": "nobody"}, []),
])
def test_table_with_conditions(client, conditions, expected):
    assert [row.scan_id for row in runs_table(client, **conditions)] == expected


@pytest.mark.parametrize(("text", "scan_id"), [
    ("last", 10), ("-1", 10), (-2, 9), ("3", 3), (7, 7), ("00000005", 5), ("00000006-aaaa", 6),
])
def test_find_run(client, text, scan_id):
    run = find_run(client, f"{text}-aaaa-4000-8000-000000000000" if text == "00000005" else text)
    assert run.metadata["start"]["scan_id"] == scan_id


@pytest.mark.parametrize("text", ["99", "abcdef12", "-11", "abc", "0000000", ""])
def test_no_such_run(client, text):
    with pytest.raises(RunNotFoundError):
        find_run(client, text)


@pytest.mark.parametrize(("series", "expected"), [
    ("last", [5, 6, 9, 7, 8]), ("night", [5, 6, 9, 7, 8]),
    (SERIES["old"], [1, 2, 3, 4]), ("1111aaaa", [1, 2, 3, 4]),
])
def test_series_in_the_order_of_the_recipe(client, series, expected):
    assert scan_ids(series_runs(client, series)) == expected


def test_no_such_series(client):
    with pytest.raises(RunNotFoundError, match="no series 'day'"):
        series_runs(client, "day")
