"""Files of other programs: PicoQuant .ptu, Andor .sif and .asc, decays as text.

`read_file` reads any of them; each is parsed in a process of its own with a time limit, because a damaged file may
hang a reader or end its process. Needs no instrument and no catalog.

    >>> read_file("emitter.ptu")                                     # doctest: +SKIP
"""

from __future__ import annotations

from .contents import DecayFile, FileFacts, FileReadError, FramesFile, PhotonFile
from .reading import SUFFIXES, read_file

__all__ = ["SUFFIXES", "DecayFile", "FileFacts", "FileReadError", "FramesFile", "PhotonFile", "read_file"]
