"""Runs on their way from the RunEngine to the catalog, in one process and across processes."""

from __future__ import annotations

import time
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from catalog_rig import Rig, assert_whole, measure

from cryopl_bluesky.catalog.journal import Journal, read_journal
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run, runs_table
from cryopl_bluesky.catalog.recovery import delivered_list
from cryopl_bluesky.catalog.writer import Feeder

MEASURING = Path(__file__).with_name("measuring_process.py")


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("data"))
    yield rig
    rig.close()


def test_everything_comes_back_with_dtype_and_shape(rig):
    uid = measure(rig, 5)
    assert rig.feeder.wait_until_delivered(20)
    assert_whole(rig.catalog.client, uid, 5)
    run = load_measurement(rig.catalog.client[uid])
    assert run.config == {"camera_exposure_s": 0.1, "tagger_binwidth_ps": 16}
    assert run.stop is not None and run.stop["num_events"] == {"primary": 5}
    status = rig.feeder.status()
    assert (status.pending_runs, status.pending_documents, status.last_error) == (0, 0, None)
    assert uid in delivered_list(rig.folder).read()


def test_documents_come_back_from_the_catalog(rig):
    uid = measure(rig, 2)
    assert rig.feeder.wait_until_delivered(20)
    names = [name for name, _ in rig.catalog.client[uid].documents()]
    assert names[0] == "start" and names[-1] == "stop" and "descriptor" in names


def test_a_run_that_fails_says_so_in_the_catalog(rig):
    @bpp.run_decorator(md={"measurement": "g2"})
    def plan():
        yield from bps.trigger_and_read([rig.tagger])
        raise RuntimeError("the cryostat is warm")

    rig.tagger.index = 0
    with pytest.raises(RuntimeError, match="warm"):
        rig.RE(plan())
    assert rig.feeder.wait_until_delivered(20)
    stop = find_run(rig.catalog.client, "last").metadata["stop"]
    assert stop["exit_status"] == "fail" and "warm" in stop["reason"]


def test_a_run_before_its_first_event_and_while_it_goes_on(rig):
    client = rig.catalog.client
    seen = []

    @bpp.run_decorator(md={"measurement": "decay"})
    def plan():
        yield from bps.null()
        for _events in range(3):
            rig.feeder.wait_until_delivered(20)
            run = find_run(client, "-1")
            loaded = load_measurement(run)
            row = runs_table(client, 1)[0]
            seen.append((loaded.stop, loaded.num_events, row.exit_status, row.num_events))
            yield from bps.trigger_and_read([rig.tagger])

    rig.tagger.index = 0
    rig.RE(plan())
    assert seen == [(None, 0, "running", 0), (None, 1, "running", 1), (None, 2, "running", 2)]


def test_a_run_the_catalog_refuses_does_not_hold_up_the_others(rig, tmp_path):
    class Odd:
        name, parent = "odd", None

        def read(self):
            return {"odd(key)": {"value": 1.0, "timestamp": 1.0}}

        def describe(self):
            return {"odd(key)": {"source": "test", "dtype": "number", "shape": []}}

    bad = measure(rig, 1, detectors=[Odd()])
    good = measure(rig, 2)
    assert not rig.feeder.wait_until_delivered(3)
    status = rig.feeder.status()
    assert status.pending_runs == 1 and status.last_error
    del rig.feeder._pending[bad]  # the next tests want a feeder that is up to date
    assert_whole(rig.catalog.client, good, 2)
    assert read_journal(rig.journal.path(bad)).stop is not None


def test_rows_that_may_be_doubled_by_a_retry_are_written_again(rig, monkeypatch):
    """The server stores the rows but its answer is lost: TiledWriter repeats the request."""
    import httpx
    from tiled.client.dataframe import DataFrameClient

    append = DataFrameClient.append_partition
    lost = []

    def lose_one_answer(self, *args, **kwargs):
        result = append(self, *args, **kwargs)
        if not lost:
            lost.append(True)
            raise httpx.ReadTimeout("the answer was lost")
        return result

    monkeypatch.setattr(DataFrameClient, "append_partition", lose_one_answer)
    uid = measure(rig, 4)
    assert rig.feeder.wait_until_delivered(30) and lost
    assert_whole(rig.catalog.client, uid, 4)


def test_feeder_without_any_server_keeps_quiet_and_ends_quickly(tmp_path):
    def nobody():
        raise ConnectionError("no server")

    feeder = Feeder(tmp_path, nobody, period_s=0.02)
    journal = Journal(tmp_path, feeder.notify)
    journal("start", {"uid": "a", "time": 1.0})
    assert not feeder.wait_until_delivered(0.2)
    status = feeder.status()
    assert (status.pending_runs, status.pending_documents) == (1, 1)
    assert status.last_error == "ConnectionError: no server"
    begin = time.monotonic()
    assert not feeder.close()
    assert time.monotonic() - begin < 5
    journal.close()
