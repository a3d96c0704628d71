"""Messages reach the services through apprise; one that fails or hangs hurts nobody, and its password stays secret."""

import base64
import io
import logging
import time

import pytest
from pydantic import SecretStr

from cryopl_bluesky.config import NotifySettings, Profile
from cryopl_bluesky.settings_file import ConfigError, parse_toml
from cryopl_bluesky.supervision.notify import Notifier
from message_server import closed_port, drip, inbox

PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def log_file():
    """All that a log file of the process would hold (pytest's own capture also sees loggers that are cut off)."""
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(before)
    root.removeHandler(handler)


def url(port: int) -> str:
    return f"json://night:{PASSWORD}@127.0.0.1:{port}"


def notifier(*urls: str, **settings) -> Notifier:
    return Notifier(NotifySettings(urls=[SecretStr(url) for url in urls], **settings))


def test_a_message_reaches_its_service_with_the_picture(tmp_path):
    picture = tmp_path / "the night.png"
    picture.write_bytes(b"\x89PNG")
    with inbox() as box:
        messages = notifier(url(box.port))
        messages.send("done", "overnight: done", "5 runs", picture)
        messages.wait()
    (message,) = box.messages
    assert (message["title"], message["message"], message["type"]) == ("overnight: done", "5 runs", "success")
    (attached,) = message["attachments"]
    assert base64.b64decode(attached["base64"]) == b"\x89PNG"


def test_a_picture_that_is_not_there_does_not_keep_the_message_back(tmp_path):
    with inbox() as box:
        messages = notifier(url(box.port))
        messages.send("done", "overnight: done", "5 runs", tmp_path / "missing.png")
        messages.wait()
    assert box.titles == ["overnight: done"]


def test_only_what_the_profile_asks_for_is_sent():
    with inbox() as box:
        messages = notifier(url(box.port), events=["failure"])
        assert messages.wants("failure") and not messages.wants("start")
        messages.send("start", "begun", "x")
        messages.send("failure", "failed", "x")
        messages.wait()
    assert box.titles == ["failed"]
    assert not notifier().wants("failure")


def test_a_trip_is_told_from_its_documents():
    with inbox() as box:
        messages = notifier(url(box.port))
        messages.watch_documents("descriptor", {"uid": "1", "name": "primary"})
        messages.watch_documents("descriptor", {"uid": "2", "name": "spad_guard"})
        messages.watch_documents("event", {"descriptor": "1", "data": {"hbt_guard_cause": "no"}})
        messages.watch_documents("event", {"descriptor": "2", "data": {"hbt_guard_cause": "12.9 MHz on SPAD 1"}})
        messages.watch_documents("stop", {"run_start": "3"})
        messages.wait()
    (message,) = box.messages
    assert message["title"] == "SPAD guard tripped" and "12.9 MHz on SPAD 1" in message["message"]
    assert message["type"] == "failure"


def test_a_service_that_hangs_delays_nothing_for_longer_than_its_limit():
    with drip() as slow, inbox() as box:
        messages = notifier(url(slow), url(box.port), timeout_s=3.0)
        messages.send("start", "warm up", "the first message imports apprise")
        messages.wait()
        box.messages.clear()
        begun_s = time.monotonic()
        messages.send("failure", "failed", "x")
        assert time.monotonic() - begun_s < 0.5
        messages.wait()
        assert time.monotonic() - begun_s < 3.0 + 1.0
        assert box.titles == ["failed"]


def test_a_service_that_is_not_there_is_logged_once_and_without_its_password(log_file):
    messages = notifier(url(closed_port()))
    begun_s = time.monotonic()
    for _ in range(3):
        messages.send("trip", "x", "y")
    messages.wait()
    assert time.monotonic() - begun_s < 16
    written = log_file.getvalue()
    assert written.count("notification service 1 (json): it was not reached") == 1
    assert PASSWORD not in written


def test_the_test_message_says_what_is_wrong_with_each_service(log_file):
    with inbox() as box:
        found = notifier(url(box.port), f"nonsense://night:{PASSWORD}@nowhere", PASSWORD).test()
    assert found["1 (json)"] == ""
    assert "does not understand" in found["2 (nonsense)"] and "does not understand" in found["3 (no URL)"]
    assert PASSWORD not in log_file.getvalue() + repr(found)


def test_a_profile_shows_no_password_even_where_it_is_wrong():
    good = parse_toml(f'name = "x"\n[notify]\nurls = ["{url(1)}"]\n', Profile, "p.toml")
    assert PASSWORD not in repr(good) + good.model_dump_json()
    with pytest.raises(ConfigError) as caught:
        parse_toml(f'name = "x"\n[notify]\nurls = "{url(1)}"\nevents = ["strat"]\n', Profile, "p.toml")
    assert PASSWORD not in str(caught.value)
    assert "p.toml, line 3: urls='...': input should be a valid list" in str(caught.value)
    assert "line 4: events[0]='strat'" in str(caught.value)
