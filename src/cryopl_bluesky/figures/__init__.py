"""Pictures of runs and nights from plain data.

`figures.night` holds the data classes and `draw_night`, `draw_run`; `figures.summary` the table of fitted
numbers. matplotlib is loaded with those modules, not with this package.
"""
