"""From a model's raw outputs to boxes, and from boxes to figures.

Data flows `families` (outputs -> candidates) -> `detections` (score floor, suppression) -> `detector` (pixels
-> boxes in the image) -> `matching` with `labels` -> `metrics`. `agreement` compares two models without
labels; `draw` shows what they found.
"""
