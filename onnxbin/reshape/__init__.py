"""Depth-width reshaping: a network made shallower and wider for the same compute, which suits binary ones.

`network` reads the graph; `rules` say how each op carries channels; `channels` finds which channels depend on
each other; `stages` finds stages and blocks; `depth` drops blocks; `cost` counts, `widths` is the formula;
`rewrite` edits the graph; `transform` does all of it in order, `pruning` makes narrower again; `changes` says
what became of each stage; `run` goes from file to file.
"""

from onnxbin.reshape.changes import Changes, StageChange
from onnxbin.reshape.cost import Cost
from onnxbin.reshape.run import STEPS, Listener, Result, reshape

__all__ = ["STEPS", "Changes", "Cost", "Listener", "Result", "StageChange", "reshape"]
