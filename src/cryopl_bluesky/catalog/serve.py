"""What the process of the catalog's server does; started by `CatalogServer` alone.

It reads its key from the standard input, says its port on the standard output, and serves until the standard input
ends: so it ends with the session, even if that is killed.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path

import uvicorn
from tiled.server.app import build_app_from_config

from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.catalog.tiled_config import prepare_databases, tiled_config

GRACE_S = 5.0  # for requests under way when the session is gone, real seconds


class _Server(uvicorn.Server):
    """Says its port once it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(json.dumps({"port": self.servers[0].sockets[0].getsockname()[1]}), flush=True)
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - nobody reads on, and a full pipe would block


def main(root: str) -> None:
    """Serve the data folder at `root` until the standard input ends."""
    logging.getLogger("tiled.server.app").setLevel(logging.WARNING)  # it greets
    api_key = sys.stdin.readline().strip()
    folder = DataFolder.at(root)
    prepare_databases(folder)
    server = _Server(uvicorn.Config(
        build_app_from_config(tiled_config(folder, api_key)), host="127.0.0.1", port=0, loop="asyncio",
        timeout_graceful_shutdown=2, log_config=None, log_level="warning", access_log=False,
    ))
    threading.Thread(target=_end_with_the_session, args=(server,), daemon=True).start()
    server.run()


def _end_with_the_session(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True
    threading.Event().wait(GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
