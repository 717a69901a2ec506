"""The public header is one for C and for C++, with nothing of ONNX Runtime at hand."""

import shutil
import subprocess

import pytest
from library_builds import ROOT


@pytest.mark.parametrize(("language", "standard"), [("c", "c99"), ("c++", "c++17")])
def test_header_compiles(language: str, standard: str) -> None:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    header = ROOT / "custom_ops" / "include" / "onnxbin_ops.h"
    command = [compiler, "-x", language, f"-std={standard}", "-pedantic", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run([*command, "-fsyntax-only", header], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
