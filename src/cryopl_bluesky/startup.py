"""Start-up module for a queue server or a bare IPython: importing it opens a session.

`CRYOPL_PROFILE` names the profile (default `sim`), `CRYOPL_DATA` the data folder (default `cryopl-data`). The module
then holds the same names as the prompt of `cryopl session`: `RE`, `cat`, the devices and the plans.
"""

import os

from cryopl_bluesky.config import load_profile
from cryopl_bluesky.session import Session

session = Session(
    load_profile(os.environ.get("CRYOPL_PROFILE", "sim")), os.environ.get("CRYOPL_DATA", "cryopl-data")
)
for report in session.guard_reports:
    print(report, flush=True)
globals().update(session.namespace())
