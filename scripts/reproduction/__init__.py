"""The published training-curve comparison, from an empty folder to figure, summary and report.

Each stage is one `maskst` call in a process of its own; this package starts them, shows their progress, continues
after an interruption, and makes the figure and the report of what they wrote.
"""
