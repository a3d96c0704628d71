"""When the guard that outlives the session acts: its pipe, with everything that can be on it."""

import os
import threading
import time

import pytest

from cryopl_bluesky.supervision.heartbeat import GONE, Heartbeat


class Session:
    """The other end of the pipe, and what the guard did because of it."""

    def __init__(self, silence_s=60.0):
        read_end, write_end = os.pipe()
        self.pipe = os.fdopen(write_end, "wb", buffering=0)
        self.causes = []
        self.acted = threading.Event()
        self._heartbeat = Heartbeat(os.fdopen(read_end, "rb"))
        self._thread = threading.Thread(target=self._heartbeat.watch, args=(silence_s, self._act), daemon=True)
        self._thread.start()

    def _act(self, cause):
        self.causes.append(cause)
        self.acted.set()

    def ended(self):
        self._thread.join(10)
        return not self._thread.is_alive()


def test_a_pipe_that_ends_is_a_session_that_is_gone():
    session = Session()
    session.pipe.write(b"beat\nbeat\n")
    session.pipe.close()
    assert session.ended()
    assert session.causes == [GONE]


@pytest.mark.parametrize("last_words", [b"bye\n", b"beat\nbye\n", b"bye\nbeat\n", b"\xff\x00garbage\nbye\n"])
def test_an_orderly_end_is_left_alone(last_words):
    session = Session()
    session.pipe.write(last_words)
    session.pipe.close()
    assert session.ended()
    assert session.causes == []


@pytest.mark.parametrize("last_words", [b"by", b"bye bye\n", b"beat", b"\xff\xfe\n\n", b""])
def test_anything_else_is_no_goodbye(last_words):
    session = Session()
    session.pipe.write(last_words)
    session.pipe.close()
    assert session.ended()
    assert session.causes == [GONE]


def test_a_late_heartbeat_acts_once_and_a_death_after_it_again():
    session = Session(silence_s=1.0)
    for _ in range(6):
        session.pipe.write(b"beat\n")
        time.sleep(0.1)
    assert session.causes == []
    assert session.acted.wait(5)
    time.sleep(1.5)
    assert len(session.causes) == 1 and "1 s" in session.causes[0]
    session.acted.clear()
    session.pipe.write(b"beat\n")
    assert session.acted.wait(5)
    session.pipe.close()
    assert session.ended()
    assert session.causes[2:] == [GONE]


def test_garbage_is_no_sign_of_life():
    session = Session(silence_s=1.0)
    end_s = time.monotonic() + 10.0
    while not session.acted.is_set() and time.monotonic() < end_s:
        session.pipe.write(b"BEAT?\n")
        time.sleep(0.05)
    assert len(session.causes) == 1
    session.pipe.write(b"bye\n")
    assert session.ended()
