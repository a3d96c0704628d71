"""The journal keeps every document, every number, and says what is torn or damaged."""

from __future__ import annotations

import math

import filelock
import numpy as np
import pytest

from cryopl_bluesky.catalog.documents import decode, encode
from cryopl_bluesky.catalog.journal import Journal, JournalError, append_stop, is_live, read_journal
from cryopl_bluesky.catalog.metadata import PersistentMetadata
from cryopl_bluesky.catalog.recovery import INTERRUPTED, close_interrupted


def start(uid: str) -> dict:
    return {"uid": uid, "time": 1.0}


def descriptor(uid: str, run: str) -> dict:
    return {"uid": uid, "run_start": run, "time": 2.0, "name": "primary", "data_keys": {}}


def event(uid: str, **data: object) -> dict:
    return {"uid": "e", "descriptor": uid, "seq_num": 1, "time": 3.0, "data": data, "timestamps": {}}


@pytest.mark.parametrize("value", [
    0.1, -0.0, 2**62, 2**70, float("inf"), -math.inf, True, None, "µ", [1.5, math.inf],
    {"a": [1, {"b": 2.5}]},
])
def test_plain_values_come_back_exactly(value):
    assert decode(encode("event", {"value": value})) == ("event", {"value": value})


def test_nan_stays_nan():
    value = decode(encode("event", {"value": [float("nan"), np.float64("nan")]}))[1]["value"]
    assert all(isinstance(number, float) and math.isnan(number) for number in value)


@pytest.mark.parametrize("array", [
    np.arange(6, dtype="<i8").reshape(2, 3) * 2**50, np.linspace(0, 1, 7), np.arange(4, dtype=">i4"),
    np.arange(6).reshape(2, 3).T, np.array([1.0, np.nan, np.inf]), np.array([True, False]),
    np.array(["a", "ö"]), np.arange(5, dtype="<u2")[::2], np.array(3.5), np.array([2**63 + 5], dtype="<u8"),
])
def test_arrays_come_back_exactly(array):
    back = np.array(decode(encode("event", {"value": array}))[1]["value"], dtype=array.dtype)
    np.testing.assert_array_equal(back, array)


def test_numpy_scalars_become_numbers_of_the_same_value():
    value = decode(encode("event", {"v": [np.int64(2**50), np.float32(0.5), np.bool_(True)]}))[1]["v"]
    assert value == [2**50, 0.5, True]


def test_each_document_is_on_disk_before_the_listener_hears_of_it(tmp_path):
    seen: list[tuple[str, str, int]] = []

    def listener(uid: str, name: str) -> None:
        seen.append((uid, name, len(read_journal(tmp_path / f"{uid}.jsonl").documents)))

    journal = Journal(tmp_path, listener)
    journal("start", start("r1"))
    journal("descriptor", descriptor("d1", "r1"))
    journal("event", event("d1", x=np.float64(1)))
    journal("stop", {"uid": "s", "run_start": "r1", "time": 4.0, "exit_status": "success"})
    assert seen == [("r1", "start", 1), ("r1", "descriptor", 2), ("r1", "event", 3), ("r1", "stop", 4)]


def test_runs_open_at_the_same_time_do_not_mix(tmp_path):
    journal = Journal(tmp_path)
    for run in ("a", "b"):
        journal("start", start(run))
        journal("descriptor", descriptor(f"d{run}", run))
    for run in ("b", "a", "b"):
        journal("event", event(f"d{run}", run=run))
    assert journal.open_runs == {"a", "b"}
    for run, events in (("a", 1), ("b", 2)):
        documents = read_journal(journal.path(run)).documents
        assert [d["data"]["run"] for n, d in documents if n == "event"] == [run] * events
    journal.close()


def test_documents_of_external_files_find_their_run(tmp_path):
    journal = Journal(tmp_path)
    journal("start", start("a"))
    journal("descriptor", descriptor("d", "a"))
    journal("stream_resource", {"uid": "sr", "run_start": "a"})
    journal("stream_datum", {"uid": "sr/0", "stream_resource": "sr", "descriptor": "d"})
    journal("resource", {"uid": "res", "run_start": "a"})
    journal("datum", {"datum_id": "res/0", "resource": "res"})
    assert len(read_journal(journal.path("a")).documents) == 6
    journal.close()


def test_a_document_of_no_run_is_an_error(tmp_path):
    with pytest.raises(JournalError, match="never announced"):
        Journal(tmp_path)("event", event("nobody"))


def test_a_torn_last_line_is_reported_and_closing_the_run_sets_it_aside(tmp_path):
    journal = Journal(tmp_path)
    journal("start", start("a"))
    journal.close()
    path = journal.path("a")
    with path.open("ab") as file:
        file.write(b'{"name":"event","doc":{"da')
    run = read_journal(path)
    assert run.torn and [name for name, _ in run.documents] == ["start"]
    append_stop(path, {"uid": "s", "run_start": "a", "time": 1.0, "exit_status": "abort"})
    run = read_journal(path)
    assert not run.torn and [name for name, _ in run.documents] == ["start", "stop"]
    assert path.with_suffix(".torn").read_bytes().startswith(b'{"name":"event"')


def test_damage_in_the_middle_is_an_error_that_names_the_place(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode("start", start("a")) + b"garbage\n" + encode("stop", {"run_start": "a"}))
    with pytest.raises(JournalError, match=r"a\.jsonl: damaged at byte \d+"):
        read_journal(path)


def test_a_failed_write_leaves_no_half_line(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal("start", start("a"))

    class FullDisk:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(bytes(data[:5]))
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(self.file, name)

    run = journal._open["a"]
    run._file, file = FullDisk(run._file), run._file
    with pytest.raises(OSError, match="No space"):
        journal("descriptor", descriptor("d", "a"))
    run._file = file
    journal("descriptor", descriptor("d", "a"))
    assert [name for name, _ in read_journal(journal.path("a")).documents] == ["start", "descriptor"]
    journal.close()


def test_a_run_being_written_is_live_and_is_not_closed_as_interrupted(tmp_path):
    journal = Journal(tmp_path)
    journal("start", start("a"))
    assert is_live(journal.path("a"))
    assert close_interrupted(tmp_path) == []
    journal.close()
    assert not is_live(journal.path("a"))
    assert not list(tmp_path.glob("*.lock"))


def test_interrupted_runs_get_a_stop_document_with_counts_and_last_time(tmp_path):
    journal = Journal(tmp_path)
    journal("start", start("a"))
    journal("descriptor", descriptor("d", "a"))
    journal("event", {**event("d"), "time": 7.5})
    journal("event", {**event("d"), "time": 7.0})
    assert close_interrupted(tmp_path, exclude={"a"}) == []
    journal.close()
    assert [(r.uid, r.what) for r in close_interrupted(tmp_path)] == [("a", "closed")]
    stop = read_journal(journal.path("a")).stop
    assert stop is not None
    assert (stop["exit_status"], stop["reason"], stop["time"]) == ("abort", INTERRUPTED, 7.5)
    assert stop["num_events"] == {"primary": 2}
    assert close_interrupted(tmp_path) == []


def test_a_damaged_journal_is_reported_and_does_not_stop_the_others(tmp_path):
    (tmp_path / "bad.jsonl").write_bytes(b"garbage\n")
    (tmp_path / "good.jsonl").write_bytes(encode("start", start("good")))
    report = {item.uid: item for item in close_interrupted(tmp_path)}
    assert report["bad"].what == "failed" and "damaged" in report["bad"].problem
    assert report["good"].what == "closed"


def test_metadata_is_kept_and_scan_ids_are_never_given_twice(tmp_path):
    path = tmp_path / "metadata.json"
    one, two = PersistentMetadata(path), PersistentMetadata(path)
    ids = []
    for metadata in (one, two, one):
        ids.append(metadata.next_scan_id())
        metadata["scan_id"] = ids[-1]  # as the RunEngine does
    assert ids == [1, 2, 3]
    one["operator"] = "Ada"
    assert dict(PersistentMetadata(path)) == {"scan_id": 3, "operator": "Ada"}
    del one["operator"]
    assert dict(PersistentMetadata(path)) == {"scan_id": 3}


def test_damaged_metadata_is_not_silently_replaced(tmp_path):
    path = tmp_path / "metadata.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="not readable"):
        PersistentMetadata(path)
    assert path.read_text() == "{"


def test_the_same_run_cannot_be_written_by_two_journals(tmp_path):
    first = Journal(tmp_path)
    first("start", start("a"))
    with pytest.raises(filelock.Timeout):
        Journal(tmp_path)("start", start("a"))
    first.close()
