"""A function of the user's own, named on the command line as `module:function`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnxbin.errors import OnnxbinError, first_line


def user_function(name: str, option: str) -> Callable[..., Any]:
    """The function `module:function`; modules of the working folder are found too.

    option: which one the name was given to, for the message. Raises OnnxbinError where there is no such
    function.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise OnnxbinError(f"{option} {name!r}: expected module:function")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # a module may raise anything while it is imported
        raise OnnxbinError(f"{option} {name!r}: {type(error).__name__}: {first_line(error)}") from None
    if not callable(found):
        raise OnnxbinError(f"{option} {name!r}: is not a function")
    function: Callable[..., Any] = found
    return function
