"""Numbers and names as people read them: those of the library, which reports use too."""

from onnxbin.text import duration, file_size, preprocessing, printable, shape, thousands

__all__ = ["duration", "file_size", "preprocessing", "printable", "shape", "thousands"]
