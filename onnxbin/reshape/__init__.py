"""Depth-width reshaping: a network made shallower and wider for the same compute, which suits binary ones.

`network` reads the graph; `rules` say how each op carries channels; `channels` finds which channels depend on
each other; `stages` finds stages and blocks; `depth` drops blocks; `widths` is the formula; `rewrite` edits
the graph; `transform` does all of it in order; `run` goes from file to file.
"""

from onnxbin.reshape.run import STEPS, Listener, Result, reshape
from onnxbin.reshape.transform import StageChange, Transformed
from onnxbin.reshape.widths import Cost

__all__ = ["STEPS", "Cost", "Listener", "Result", "StageChange", "Transformed", "reshape"]
