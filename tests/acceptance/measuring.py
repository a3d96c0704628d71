"""Sessions in processes of their own, to be watched, killed and followed by others."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def measuring(
    data: Path, environment: dict[str, str], plan: str, speed: float, silence_s: float = 10.0
) -> subprocess.Popen[str]:
    """Start a process that runs one plan; it prints the name (and number) of each document.

    Args:
        data: its data folder.
        environment: of the process.
        plan: call of a plan of `plans`, with `session` at hand.
        speed: of its bench.
        silence_s: after which its guard acts although it lives.
    """
    script = f"""
        from cryopl_bluesky import plans
        from cryopl_bluesky.config import load_profile
        from cryopl_bluesky.session import Session

        profile = load_profile("sim")
        profile = profile.model_copy(update={{"bench": profile.bench.model_copy(update={{"speed": {speed}}})}})
        supervision = profile.supervision.model_copy(update={{"silence_s": {silence_s}}})
        profile = profile.model_copy(update={{"supervision": supervision}})
        session = Session(profile, {str(data)!r})
        session.cat
        session.RE.subscribe(lambda name, doc: print(name, doc.get("seq_num", ""), flush=True))
        session.RE(plans.{plan})
        session.close()
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Return when the process has printed `line`."""
    assert process.stdout is not None and process.stderr is not None
    for found in process.stdout:
        if found.strip() == line:
            return
    raise AssertionError(f"the session ended before {line!r}: {process.stderr.read()[-2000:]}")
