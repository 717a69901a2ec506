"""Makes brevitas.onnx: a small network of binary convolutions as Brevitas exports it to QONNX.

    pip install brevitas qonnx onnxoptimizer
    python tests/exchange/make_brevitas.py

Brevitas is not needed to run the tests: the file it writes is kept.
"""

from pathlib import Path

import onnx
import torch
from brevitas.export import export_qonnx
from brevitas.nn import QuantConv2d, QuantIdentity, QuantReLU
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from torch import nn


def binary_conv(inputs: int, outputs: int, **options: object) -> QuantConv2d:
    return QuantConv2d(inputs, outputs, weight_quant=SignedBinaryWeightPerTensorConst, **options)


def main() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        QuantIdentity(bit_width=8),
        QuantConv2d(3, 8, 3, padding=1, weight_bit_width=8, bias=False),
        nn.BatchNorm2d(8),
        QuantIdentity(act_quant=SignedBinaryActPerTensorConst),
        binary_conv(8, 16, kernel_size=3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(16),
        QuantIdentity(act_quant=SignedBinaryActPerTensorConst),
        binary_conv(16, 16, kernel_size=3, padding=1, groups=4, bias=True),
        QuantReLU(bit_width=4),
        binary_conv(16, 8, kernel_size=1, bias=True),
    )
    for _ in range(3):  # statistics for the batch norms and scales
        network(torch.randn(4, 3, 9, 9))
    path = Path(__file__).with_name("brevitas.onnx")
    export_qonnx(network.eval(), torch.randn(1, 3, 9, 9), export_path=str(path))
    model = onnx.load(path)
    for part in [*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        del part.metadata_props[:]  # where in the exporter's sources each came from
    onnx.save(model, path)


if __name__ == "__main__":
    main()
