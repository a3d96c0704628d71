"""Nothing that a test does may reach the user's own settings."""

import os
import tempfile
from typing import Any


def pytest_configure() -> None:
    # A session writes the Tiled profile "cryopl"; Tiled reads this when it is imported.
    os.environ["TILED_PROFILES"] = tempfile.mkdtemp(prefix="cryopl-tests-")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Sum up the nights of faults."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    nights = [value for report in reports for name, value in report.user_properties if name == "night"]
    if nights:
        total = {key: sum(night[key] for night in nights) for key in nights[0] if key != "seed"}
        complete = sum(night["done"] == night["steps"] for night in nights)
        terminalreporter.write_line(
            f"{len(nights)} nights with a kill each, {total['faults']} faults: {complete} complete, "
            f"{len(nights) - complete} ended with a reason; {total['events']} events and {total['files']} files read, "
            f"lost = {total['lost']}"
        )
