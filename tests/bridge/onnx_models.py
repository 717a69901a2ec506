"""What the tests of the bridge share: small models, random inputs, the answer of ONNX Runtime."""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

DETECTORS = [
    "fastestdet_coco",
    "nanodet_m_416_coco",
    "ssd_mobilenet_v1_075_coco",
    "yolov4_tiny_voc",
    "yolov8n_coco",
    "yolox_nano_coco",
]


def make(nodes, inputs, outputs, weights=None, opset=17, functions=(), domains=()):
    """A model of these nodes; inputs: name -> shape; weights: name -> array."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(v, n) for n, v in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions))


def run_ort(model, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tensors(feed):
    return {name: torch.from_numpy(value) for name, value in feed.items()}
