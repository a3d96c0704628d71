"""Room that must remain on the disk: HDF5 cannot even close a file on a disk that is full."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

RESERVE_BYTES = 256 << 20
"""Free space that a writer leaves."""


def check_room(folder: Path, needed_bytes: int, reserve_bytes: int = RESERVE_BYTES) -> None:
    """Refuse to write what would leave too little room.

    Args:
        folder: where the file is.
        needed_bytes: what is to be written.
        reserve_bytes: what must remain.

    Raises:
        OSError: ENOSPC, as if the disk were full.
    """
    if shutil.disk_usage(folder).free < reserve_bytes + needed_bytes:
        raise OSError(errno.ENOSPC, f"less than {reserve_bytes >> 20} MiB would remain free")
