"""Nothing that a test does may reach the user's own settings."""

import os
import tempfile


def pytest_configure() -> None:
    # A session writes the Tiled profile "cryopl"; Tiled reads this when it is imported.
    os.environ["TILED_PROFILES"] = tempfile.mkdtemp(prefix="cryopl-tests-")
