"""`python -m cryopl_bluesky` is the `cryopl` command."""

from cryopl_bluesky.cli import main

main()
