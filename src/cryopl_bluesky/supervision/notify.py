"""Messages to people who are not at the microscope, through apprise (mail, chat, push services).

Every message goes to each service on a daemon thread of its own: a service that hangs or fails delays neither the run
nor the other services, and at the end of a session it is waited for only so long. Their URLs hold passwords: they are
neither logged nor recorded, a service is named by its number in the profile and its kind.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryopl_bluesky.config import NotifyEvent, NotifySettings

log = logging.getLogger(__name__)

_KINDS: Mapping[NotifyEvent, str] = {
    "start": "info", "trip": "failure", "disk": "warning", "failure": "failure", "done": "success",
}


@dataclass(frozen=True)
class _Message:
    title: str
    body: str
    kind: str
    picture: Path | None = None


@dataclass(frozen=True)
class _Service:
    """One service of the profile; `name` is safe to show, `url` is not."""

    name: str
    url: str

    def send(self, message: _Message) -> str:
        """Send a message (blocks for as long as the service takes); what went wrong, "" if nothing did."""
        import apprise

        _silence_apprise()
        # On this very thread: the threads of apprise's own pool would be waited for at the end of the process.
        here = apprise.AppriseAsset(async_mode=False, service_timeout=0)
        sender = apprise.Apprise(asset=here)
        if not sender.add(self.url):
            return "apprise does not understand its URL"
        text: dict[str, Any] = {"title": message.title, "body": message.body, "notify_type": message.kind}
        if message.picture is not None and sender.notify(**text, attach=str(message.picture)):
            return ""
        return "" if sender.notify(**text) else "it was not reached or did not take the message"


class Notifier:
    """Sends what the profile asks for; never raises, never waits (but in `wait` and `test`).

    Args:
        settings: services, events and time limit.
    """

    def __init__(self, settings: NotifySettings):
        self._settings = settings
        urls = [secret.get_secret_value() for secret in settings.urls]
        self._services = [
            _Service(f"{number} ({url.partition('://')[0] if '://' in url else 'no URL'})", url)
            for number, url in enumerate(urls, 1)
        ]
        self._threads: list[threading.Thread] = []
        self._problems: dict[str, str] = {}
        self._problems_lock = threading.Lock()
        self._trips: set[str] = set()

    def wants(self, event: NotifyEvent) -> bool:
        """Whether somebody is told of this kind of event."""
        return bool(self._services) and event in self._settings.events

    def send(self, event: NotifyEvent, title: str, body: str, picture: Path | None = None) -> None:
        """Tell everybody, if the profile wants this event to be told.

        Args:
            event: kind of event.
            title: one line.
            body: the text.
            picture: file to attach where the service takes files.
        """
        if self.wants(event):
            self._send(_Message(title, body, _KINDS[event], picture))

    def watch_documents(self, name: str, document: Mapping[str, Any]) -> None:
        """Tell of trips of the SPADs' guard; called with each document."""
        if name == "descriptor" and document["name"] == "spad_guard":
            self._trips.add(document["uid"])
        elif name == "event" and document["descriptor"] in self._trips:
            cause = next((value for key, value in document["data"].items() if key.endswith("_cause")), "")
            self.send("trip", "SPAD guard tripped", f"{cause}\nThe laser is locked and the light path closed.")

    def wait(self) -> None:
        """Wait until all messages are out, for at most the time limit of the profile (real seconds)."""
        deadline_s = time.monotonic() + self._settings.timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        late = sorted({thread.name for thread in self._threads if thread.is_alive()})
        for name in late:
            self._failed(name, f"no answer after {self._settings.timeout_s:g} s")
        self._threads.clear()

    def test(self) -> dict[str, str]:
        """Send a test message to every service.

        Returns:
            What is wrong with each service, "" where nothing is.
        """
        self._problems.clear()
        self._send(_Message("cryopl", "A test message: this service will be told of nights and trips.", "info"))
        self.wait()
        return {service.name: self._problems.get(service.name, "") for service in self._services}

    def _send(self, message: _Message) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for service in self._services:
            thread = threading.Thread(
                target=self._deliver, args=(service, message), daemon=True, name=service.name
            )
            try:
                thread.start()
            except RuntimeError as error:  # no more threads: the run matters more than the message
                self._failed(service.name, str(error))
            else:
                self._threads.append(thread)

    def _deliver(self, service: _Service, message: _Message) -> None:
        try:
            problem = service.send(message)
        except Exception as error:  # noqa: BLE001 - a plugin's; its text may hold the URL with the password
            problem = f"{type(error).__name__} while sending"
        if problem:
            self._failed(service.name, problem)

    def _failed(self, name: str, problem: str) -> None:
        """Log the first failure of a service; the following ones would say the same."""
        with self._problems_lock:
            first = name not in self._problems
            self._problems[name] = problem
        if first:
            log.warning("notification service %s: %s; check [notify] urls of the profile", name, problem)


def _silence_apprise() -> None:
    """Its log may hold whole URLs, passwords included."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
