"""Inlined files: standard ops alone, the same outputs; in OpenVINO and OpenCV too, where installed."""

import graphs
import numpy as np
import onnx
import pytest
from PIL import Image

import onnxbin
from onnxbin.detection import Detector, Selection
from onnxbin.exchange import inlined
from onnxbin.model import check
from onnxbin.operator import BinaryWeight, QuantInput, SignInput
from onnxbin.surgery import BinaryLayer, with_binary_layers


def one(*values):
    return np.array(values, np.float32)


QUANTIZERS = [None, SignInput(one(0.5), one(0.1)), QuantInput(one(0.4), one(1), 2)]


@pytest.fixture(params=[13, 17, 22])
def binary(request):
    """A model with each op of the family."""
    rng = np.random.default_rng(0)
    proto = graphs.chain([8, 8, 8, 8], shape=(2, 3, 9, 9), opset=request.param)
    layers = {}
    for number, quantizer in enumerate(QUANTIZERS, 1):
        signs = np.where(rng.random((2, 8, 8, 3, 3)) < 0.5, -1, 1).astype(np.int8)
        weight = BinaryWeight(signs, rng.normal(0, 0.1, (2, 8)).astype(np.float32))
        layers[f"c{number}"] = BinaryLayer(weight, rng.normal(size=8).astype(np.float32), quantizer)
    return with_binary_layers(proto, layers)


def image():
    return np.random.default_rng(1).normal(size=(2, 3, 9, 9)).astype(np.float32)


@pytest.mark.parametrize("float_weights", [False, True])
def test_standard_ops_alone_and_the_same_outputs(run, binary, float_weights):
    model = inlined(binary, float_weights)
    check(model)
    assert not model.functions
    assert {entry.domain for entry in model.opset_import} == {""}
    stored = {tensor.name for tensor in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 4
    assert all(node.input[1] in stored for node in convs) == float_weights
    expected = run(binary, image())[0]
    np.testing.assert_allclose(run(model, image())[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


class OpenVino:
    """A model in OpenVINO, in float32, with the methods of an ONNX Runtime session that a Detector calls."""

    def __init__(self, path):
        openvino = pytest.importorskip("openvino", reason="openvino is not installed")
        core = openvino.Core()
        core.set_property({"INFERENCE_NUM_THREADS": 2})
        self._model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(self, _, feed):
        results = self._model(list(feed.values()))
        return [results[index] for index in range(len(self._model.outputs))]


class OpenCv:
    """The same in OpenCV."""

    def __init__(self, path):
        cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
        if int(cv2.__version__.split(".")[0]) < 5 and "float" not in path.name:
            pytest.skip("OpenCV 4 cannot unpack bits: --float-weights")
        self._net = cv2.dnn.readNetFromONNX(str(path))
        self._names = [output.name for output in onnx.load(path).graph.output]

    def run(self, _, feed):
        for name, value in feed.items():
            self._net.setInput(value, name)
        return self._net.forward(self._names)


RUNTIMES = [OpenVino, OpenCv]
FORMS = {"bits.onnx": False, "float.onnx": True}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("form", FORMS)
def test_other_runtimes_agree(tmp_path, run, binary, runtime, form):
    path = tmp_path / form
    onnx.save(inlined(binary, FORMS[form]), path)
    found = runtime(path).run(None, {"x": image()})[0]
    expected = run(binary, image())[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def compressed(tmp_path_factory, shared):
    """yolov4_tiny with its largest two layers binary, which still finds people without fine-tuning."""
    path = tmp_path_factory.mktemp("inline") / "small.onnx"
    source = shared / "models" / "yolov4_tiny_voc.onnx"
    onnxbin.compress(source, path, until_ratio=1.5, finetune=False, rest="float32")
    return onnx.load(path)


@pytest.mark.shared
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("form", FORMS)
def test_other_runtimes_find_the_same_boxes(tmp_path, shared, compressed, runtime, form):
    path = tmp_path / form
    onnx.save(inlined(compressed, FORMS[form]), path)
    adapter = runtime(path)
    adapter.get_inputs = lambda: list(compressed.graph.input)
    selection = Selection(min_score=0.05)
    reference = Detector(compressed, selection=selection)
    other = Detector(compressed, session=adapter, selection=selection)
    for image in sorted((shared / "data" / "pedestrians" / "images").iterdir())[:3]:
        pixels = np.asarray(Image.open(image).convert("RGB"))
        wanted, found = reference(pixels), other(pixels)
        assert len(wanted.boxes) > 0
        np.testing.assert_array_equal(found.classes, wanted.classes)
        np.testing.assert_allclose(found.scores, wanted.scores, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found.boxes, wanted.boxes, rtol=0, atol=0.05)
