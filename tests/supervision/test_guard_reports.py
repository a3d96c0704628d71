"""What the guard did is told once."""

import time

from cryopl_bluesky.supervision.guard_reports import GuardReport, add_report, note_opening, opened_since, take_reports

SAFE = GuardReport(1.8e9, "its process was gone", {"laser": 0.41, "spectrograph": 1.2}, [])
NOT_SAFE = GuardReport(1.8e9, "its process was gone", {}, ["laser could not be made safe: no library"])


def test_nothing_to_tell(tmp_path):
    assert take_reports(tmp_path / "guard.jsonl") == []


def test_a_report_is_told_once_and_kept(tmp_path):
    path = tmp_path / "guard.jsonl"
    add_report(path, SAFE)
    add_report(path, NOT_SAFE)
    assert take_reports(path) == [SAFE, NOT_SAFE]
    assert take_reports(path) == []
    add_report(path, NOT_SAFE)
    assert take_reports(path) == [NOT_SAFE]
    assert len(path.read_text().splitlines()) == 5


def test_lines_that_are_no_reports_do_not_hide_the_others(tmp_path, caplog):
    path = tmp_path / "guard.jsonl"
    add_report(path, SAFE)
    with path.open("ab") as file:
        file.write(b'\xff{"half\n[]\n3\n{"told": "many"}\n{"time_s": 1}\n')
    add_report(path, NOT_SAFE)
    assert take_reports(path) == [SAFE, NOT_SAFE]
    assert take_reports(path) == []
    assert "line 2 is no report" in caplog.text


def test_what_the_user_reads():
    assert "made safe: laser after 0.41 s, spectrograph after 1.2 s" in str(SAFE)
    assert "made safe: nothing; PROBLEM: laser could not" in str(NOT_SAFE)


def test_a_guard_sees_that_a_session_takes_over(tmp_path):
    path = tmp_path / "guard.jsonl"
    note_opening(path)
    assert not path.exists()  # no guard has ever acted
    add_report(path, NOT_SAFE)
    began_s = time.time()
    assert not opened_since(path, began_s)
    note_opening(path)
    assert opened_since(path, began_s) and take_reports(path) == [NOT_SAFE]
