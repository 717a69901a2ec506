"""Contenders made of models that tests build."""

import numpy as np
import pytest

from onnxbin.benchmark import Contender
from onnxbin.benchmark.contender import is_compressed


@pytest.fixture
def contender(tmp_path):
    """A contender for a model, written to a file; it is fed the given array, else random numbers."""

    def make(proto, name="model", x=None, kernels=None):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(proto.SerializeToString())
        value = proto.graph.input[0]
        if x is None:
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        kernels = is_compressed(proto) if kernels is None else kernels
        return Contender(name, path, proto, path.stat().st_size, kernels, [{value.name: x}])

    return make
