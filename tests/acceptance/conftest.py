"""A user's session on the virtual lab, and what its documents and its bench say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cryopl_bluesky.config import Profile, load_profile
from cryopl_bluesky.session import Session


def sim_profile(**bench: Any) -> Profile:
    """The sim profile with another bench, for example another sample."""
    profile = load_profile("sim")
    assert profile.bench is not None
    return profile.model_copy(update={"bench": profile.bench.model_copy(update=bench)})


class Recorder:
    """Keeps all documents of a session."""

    def __init__(self, session: Session):
        self.documents: list[tuple[str, dict]] = []
        session.RE.subscribe(lambda name, document: self.documents.append((name, document)))

    def of(self, name: str) -> list[dict]:
        """All documents of one kind since the last `clear`."""
        return [document for kind, document in self.documents if kind == name]

    def clear(self) -> None:
        """Forget what was recorded."""
        self.documents.clear()


@pytest.fixture(scope="module")
def open_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Session]]:
    """Opens sessions on the virtual lab, one at a time; the last is closed at the end of the module."""
    opened: list[Session] = []

    def open_one(
        operator: Any = None, flips: str = "mff", input_delays_ps: tuple[int, int, int] | None = None,
        data: Path | None = None, disk: dict[str, Any] | None = None, notify: dict[str, Any] | None = None,
        microscope: dict[str, Any] | None = None, **bench: Any,
    ) -> Session:
        while opened:  # the Andor libraries are one per process, as on the real PC
            opened.pop().close()
        profile = sim_profile(**bench)
        if flips != "mff":
            settings = profile.l5_flip.model_copy(update={"driver": flips})
            profile = profile.model_copy(update={"l5_flip": settings})
        if input_delays_ps is not None:
            hbt = profile.hbt.model_copy(update={"input_delays_ps": input_delays_ps})
            profile = profile.model_copy(update={"hbt": hbt})
        for section, changed in (("disk", disk), ("notify", notify), ("microscope", microscope)):
            if changed is not None:
                settings = getattr(profile, section).model_copy(update=changed)
                profile = profile.model_copy(update={section: settings})
        opened.append(Session(profile, data or tmp_path_factory.mktemp("data"), operator))
        return opened[-1]

    yield open_one
    while opened:
        opened.pop().close()


@pytest.fixture(scope="module")
def session(open_session: Callable[..., Session]) -> Session:
    return open_session(speed=1000.0)


@pytest.fixture
def recorder(session: Session) -> Recorder:
    return Recorder(session)


def is_safe(session: Session) -> bool:
    """Whether the bench itself (not a read-back) shows no beam and a dark path to the SPADs."""
    assert session.lab is not None
    bench = session.lab.bench
    with bench.lock:
        return bench.laser.mode == "off" and not bench.optics.shutter_open and bench.optics.port == "camera"


def data_of(session: Session) -> Path:
    """The session's data folder."""
    return session.folder.root


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a process with a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    return {**os.environ, "HOME": str(home), "USERPROFILE": str(home), "TILED_PROFILES": str(home / "profiles")}
