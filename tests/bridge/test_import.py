"""The library must load where PyTorch is not installed."""

import subprocess
import sys


def test_import_onnxbin_does_not_import_torch():
    code = "import sys, onnxbin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_import_of_the_bridge_does():
    code = "import sys, onnxbin.bridge; sys.exit('torch' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
