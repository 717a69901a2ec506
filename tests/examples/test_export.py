"""The graph that is written, against the PyTorch module that it stands for."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from detector import StreetDetector
from export import IR_VERSION, OPSET, to_onnx, write_onnx
from scenes import HEIGHT, WIDTH


@pytest.fixture(scope="module")
def model():
    """A detector with normalisation statistics that are not those of a new module."""
    torch.manual_seed(0)
    model = StreetDetector().train()
    model(torch.rand(4, 3, HEIGHT, WIDTH))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


@pytest.mark.parametrize("batch", [1, 3])
def test_runtime_computes_what_pytorch_computes(model, batch):
    proto = to_onnx(model)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    images = torch.rand(batch, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        expected = model(images).numpy()
    (found,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_versions_names_and_batch_normalization(model, tmp_path):
    write_onnx(model, tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    assert proto.ir_version == IR_VERSION
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", OPSET)]
    names = [node.name for node in proto.graph.node]
    assert len(set(names)) == len(names)
    kinds = [node.op_type for node in proto.graph.node]
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    assert kinds.count("Conv") == convolutions
    assert kinds.count("BatchNormalization") == convolutions - 3
