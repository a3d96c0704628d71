"""How to talk to each instrument: vendor names and units in, plain Python out. No ophyd here.

Vendor packages are imported inside `open()` or a loader function, never when a module is imported.
"""
