"""The process that parses one file: `python -m cryopl_bluesky.files.child PATH ARRAYS RECOVER`.

It writes the arrays to ARRAYS (.npz) and says the rest in one JSON object on its standard output.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from cryopl_bluesky.files import asc, decay_text, ptu, sif
from cryopl_bluesky.files.contents import Contents, FileFacts, FileReadError

_BINARY = {".ptu": (ptu.MAGIC, "PicoQuant .ptu"), ".sif": (sif.MAGIC, "Andor .sif")}


def parse(path: Path, recover: bool) -> Contents:
    """Read a file by its suffix, after a look at its first bytes.

    Raises:
        FileReadError: as the readers, or the content does not belong to the suffix.
    """
    facts = FileFacts(path.name, _sha256(path), "")
    suffix = path.suffix.lower()
    _check_content(path, suffix)
    if suffix == ".ptu":
        return ptu.read_ptu(path, facts, recover)
    if suffix == ".sif":
        return sif.read_sif(path, facts, recover)
    if suffix == ".asc" and not decay_text.has_time_axis(path):
        return asc.read_asc(path, facts)
    return decay_text.read_decay_text(path, facts)


def _check_content(path: Path, suffix: str) -> None:
    with path.open("rb") as file:
        head = file.read(64)
    looks_like = next((name for magic, name in _BINARY.values() if head.startswith(magic)), None)
    wanted = _BINARY.get(suffix, (b"", None))[1]
    if looks_like == wanted:
        return
    if looks_like is not None:
        raise FileReadError(f"{path.name} is a {looks_like} file by its content; rename it")
    raise FileReadError(f"{path.name} is not a {wanted} file: it begins with {head[:12]!r}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Parse the file of the command line."""
    path, arrays, recover = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "1"
    try:
        found = parse(path, recover)
    except FileReadError as error:
        print(json.dumps({"error": str(error)}))
        return
    values = {part.name: getattr(found, part.name) for part in fields(found) if part.name != "facts"}
    big: dict[str, Any] = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    np.savez(arrays, **big)
    numbers = {name: value for name, value in values.items() if name not in big}
    print(json.dumps({"type": type(found).__name__, "facts": asdict(found.facts), "numbers": numbers}))


if __name__ == "__main__":
    main()
