"""What watches a run and writes about it: scores, picture grids, predictions, throughput.

Callbacks read the `Generations` that a step returns and never change what is generated.
"""
