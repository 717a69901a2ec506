"""Signs and scales for a real weight, in closed form or by alternating refit. What trains is in `bridge`."""

from onnxbin.binarize.refit import MAX_BASES, binarize

__all__ = ["MAX_BASES", "binarize"]
