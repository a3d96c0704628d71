"""The only place that wires things: a profile becomes instruments, a RunEngine, a catalog and supervision."""

from cryopl_bluesky.session.connect import ConnectionFailedError
from cryopl_bluesky.session.session import Session

__all__ = ["ConnectionFailedError", "Session"]
