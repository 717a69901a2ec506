"""The part of ort_matrix.py that runs in one version of ONNX Runtime, with nothing else but NumPy.

python ort_worker.py LIBRARY MODEL X.npy
"""

import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime


def run(model: str, x: np.ndarray, library: str | None) -> tuple[np.ndarray, int]:
    """The output, and how many nodes our kernels ran."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        if library:
            options.register_custom_ops_library(library)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {session.get_inputs()[0].name: x})
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event for event in events if event["name"].endswith("_kernel_time")]
    return y, sum(event["args"]["op_name"].startswith("BinaryConv") for event in nodes)


def main(library: str, model: str, inputs: str) -> None:
    x = np.load(inputs)
    with_library, kernels = run(model, x, library)
    without, stock_kernels = run(model, x, None)
    found = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernels": kernels,
        "stock_kernels": stock_kernels,
        "difference": float(np.abs(with_library - without).max() / np.abs(without).max()),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
