"""Settings for the tests of the catalog."""

import os

# A server that is gone is gone: do not knock for five seconds.
os.environ.setdefault("TILED_RETRY_TIMEOUT", "1")
