"""What is exported for QONNX computes the same in QONNX's executor, and comes back the same."""

import graphs
import numpy as np
import pytest
from exchange import qonnx_reference as qonnx
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxbin import OnnxbinError
from onnxbin.exchange import import_binary, to_qonnx
from onnxbin.operator import BinaryWeight, QuantInput, SignInput
from onnxbin.surgery import BinaryLayer, binary_layers, with_binary_layers

ARRAY = np.float32


def binary_chain(rng, quantizers, bases=1):
    """Convs of 8 channels, the i-th with the i-th quantizer on its input."""
    proto = graphs.chain([8] * len(quantizers), shape=(2, 3, 9, 9))
    layers = {}
    for i, quantizer in enumerate(quantizers):
        signs = np.where(rng.random((bases, 8, 3 if i == 0 else 8, 3, 3)) < 0.5, -1, 1).astype(np.int8)
        weight = BinaryWeight(signs, rng.normal(0, 0.1, (bases, 8)).astype(ARRAY))
        bias = rng.normal(size=8) if i % 2 else np.zeros(8)
        layers[f"c{i}"] = BinaryLayer(weight, bias.astype(ARRAY), quantizer)
    return with_binary_layers(proto, layers)


def sign(step, *zero):
    return SignInput(np.array([step], ARRAY), np.array(zero, ARRAY))


QUANTIZERS = {
    "real": None,
    "sign": sign(0.5, 0),
    "sign with a threshold": sign(0.5, 0.25),
    "thresholds by channel": sign(2, 0.5, -0.5, 0),
    "2 bits": QuantInput(np.array([0.4], ARRAY), np.array([1], ARRAY), 2),
    "8 bits": QuantInput(np.array([0.02], ARRAY), np.array([120], ARRAY), 8),
}


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("bases", [1, 2])
def test_equal_in_the_executor_of_qonnx(monkeypatch, run, name, bases):
    proto = binary_chain(np.random.default_rng(0), [QUANTIZERS[name], None], bases)
    exported = to_qonnx(proto)
    assert {entry.domain for entry in exported.opset_import} == {"", qonnx.DOMAIN}
    assert not exported.functions
    x = qonnx.image()
    expected = run(proto, x)[0]
    found = qonnx.execute(monkeypatch, exported, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), names=st.lists(st.sampled_from(["real", "sign"]), min_size=1, max_size=3))
def test_comes_back_the_same(seed, names):
    proto = binary_chain(np.random.default_rng(seed), [QUANTIZERS[name] for name in names])
    returned, _ = import_binary(to_qonnx(proto))
    before, after = binary_layers(proto), binary_layers(returned)
    assert before.keys() == after.keys()
    for name, layer in before.items():
        np.testing.assert_array_equal(after[name].weight.dense(), layer.weight.dense())
        np.testing.assert_array_equal(after[name].bias, layer.bias)
        assert type(after[name].quantizer) is type(layer.quantizer)


def test_nothing_to_export():
    with pytest.raises(OnnxbinError, match="no binary layer"):
        to_qonnx(graphs.chain([4, 4]))
