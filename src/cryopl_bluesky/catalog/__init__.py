"""Keeping and finding what was measured: journal, feeder, the Tiled server, recovery and queries.

The way of a document: RunEngine -> `journal.Journal` (on disk) -> `writer.Feeder` (its own thread, reads the
journal) -> Tiled. Import from the modules; nothing is imported here, because Tiled takes seconds to load.
"""
