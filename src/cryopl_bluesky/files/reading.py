"""Reading a file of another program in a process of its own, with a time limit."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cryopl_bluesky.child_process import start_module

from .contents import Contents, DecayFile, FileFacts, FileReadError, FramesFile, PhotonFile

SUFFIXES = (".ptu", ".sif", ".asc", ".txt", ".dat", ".csv")
"""Names of files that `read_file` takes; the last three are decays (or spectra) as text."""
TIME_LIMIT_S = 120.0
_TYPES: dict[str, type[Contents]] = {kind.__name__: kind for kind in (PhotonFile, FramesFile, DecayFile)}


def read_file(path: str | Path, *, recover: bool = False, time_limit_s: float = TIME_LIMIT_S) -> Contents:
    """Read a file of another program.

    Args:
        path: .ptu, .sif, .asc, or a decay as text.
        recover: take what is there of a file that ends too early; the result has a warning. Without it such a file is
            refused.
        time_limit_s: after which the reader is stopped, real seconds.

    Returns:
        Photons, frames or a decay, with the facts about the file.

    Raises:
        FileReadError: the file is missing, empty, damaged, or not what its name says.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise FileReadError(f"{file.name}: files of this kind cannot be read; those that can: {', '.join(SUFFIXES)}")
    if not file.is_file():
        raise FileReadError(f"there is no file {file}")
    if not file.stat().st_size:
        raise FileReadError(f"{file.name} is empty; copy it again")
    with tempfile.TemporaryDirectory(prefix="cryopl-read-") as work:
        arrays, said = Path(work) / "arrays.npz", Path(work) / "stderr.txt"
        with said.open("wb") as log_file:
            child = start_module("cryopl_bluesky.files.child", str(file.resolve()), str(arrays), str(int(recover)),
                                 log_file=log_file)  # fmt: skip
            try:
                answer, _ = child.communicate(timeout=time_limit_s)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                raise FileReadError(
                    f"{file.name} is probably damaged: reading it took longer than {time_limit_s:g} s and was stopped"
                ) from None
        if not answer:
            last = said.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise FileReadError(
                f"{file.name} is probably damaged: its reader ended with status {child.returncode} ({last[0]})"
            )
        return _contents(json.loads(answer), arrays)


def _contents(answer: dict[str, Any], arrays: Path) -> Contents:
    if "error" in answer:
        raise FileReadError(answer["error"])
    told = answer["facts"]
    facts = FileFacts(**{**told, "missing": tuple(told["missing"]), "warnings": tuple(told["warnings"])})
    with np.load(arrays, allow_pickle=False) as found:
        return _TYPES[answer["type"]](facts=facts, **answer["numbers"], **dict(found))
