"""How binary layers see their inputs: real, or in a few bits.

Data flows `samples` (values of the inputs, from images) -> `widths` (how many bits each layer gets: the same
for all, or chosen by one of the methods beside it) -> `calibration` (steps and thresholds for them). What
trains lives in `bridge/`.
"""
