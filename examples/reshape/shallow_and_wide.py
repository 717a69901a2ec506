"""Is a shallower, wider network more accurate when it is binary? Measured on a small classifier.

    python examples/reshape/shallow_and_wide.py -o examples/reshape/results.json

For each seed: a classifier is trained, and a second one is made of it by `onnxbin.reshape`, of half the depth
and the same multiply-accumulates. Both are trained some steps more. Then the 3x3 convolutions of both get
1-bit weights and 1-bit inputs, and both are trained again. All training is on the same labels, in the same
order, for the same number of steps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from classifier import classifier
from crops import HELD_OUT, Crops, render
from onnx import ModelProto
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from onnxbin.binarize import binarize
from onnxbin.bridge import GraphModule
from onnxbin.inputs.calibration import fit
from onnxbin.layers import ConvLayer, inventory
from onnxbin.reshape import reshape
from onnxbin.surgery import with_values

SCENES, TEST_SCENES = 1500, 500
BATCH = 32
REAL_STEPS, FURTHER_STEPS, BINARY_STEPS = 600, 300, 1500
IMAGES = 100
"""Crops to choose the blocks by that go."""

REAL_RATE, LATENT_RATE = 2e-3, 1e-2
"""Of Adam at the start: for real parameters, and for the latent weights behind signs."""


def main() -> None:
    """Read the command line, run the seeds that have no result yet, write the results after each."""
    parser = argparse.ArgumentParser(description="Compare a binary network with a reshaped one.")
    parser.add_argument("-o", "--output", type=Path, default=Path("results.json"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=SCENES, help="rendered to train on, six crops each")
    parser.add_argument("--binary-steps", type=int, default=BINARY_STEPS)
    arguments = parser.parse_args()
    training, test = render(arguments.scenes, 0), render(TEST_SCENES, HELD_OUT)
    results = json.loads(arguments.output.read_text()) if arguments.output.exists() else []
    for seed in arguments.seeds:
        if seed in {result["seed"] for result in results}:
            continue
        results.append({"seed": seed, **compare(training, test, seed, arguments.binary_steps)})
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")
        print(json.dumps(results[-1]), flush=True)


def compare(training: Crops, test: Crops, seed: int, binary_steps: int) -> dict[str, Any]:
    """What both networks cost and how accurate they are, real and binary, for one seed."""
    started = time.monotonic()
    original = trained(classifier(seed), training, REAL_STEPS, seed)
    found: dict[str, Any] = {}
    for name, start in (("original", original), ("reshaped", reshaped(original, training))):
        model = trained(start, training, FURTHER_STEPS, seed + 1000)
        real = accuracy(GraphModule(model), test)
        layers = binary_candidates(model)
        module = binary_module(model, layers, training)
        train(module, training, binary_steps, seed + 2000)
        found[name] = {
            "accuracy_real": real,
            "accuracy": accuracy(module, test),
            "binary_layers": len(layers),
            "binary_macs": sum(layer.macs or 0 for layer in layers),
            "binary_activations": sum((layer.macs or 0) / np.prod(layer.shape[1:]) for layer in layers),
            "macs": sum(layer.macs or 0 for layer in inventory(model)),
        }
    return {**found, "binary_steps": binary_steps, "seconds": round(time.monotonic() - started)}


def reshaped(model: ModelProto, training: Crops) -> ModelProto:
    """The model made shallower and wider; the images decide which blocks go."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "crops").mkdir()
        for number, pixels in enumerate(training.pixels[:IMAGES]):
            picture = (255 * pixels.transpose(1, 2, 0)).round().astype(np.uint8)
            Image.fromarray(picture).save(folder / "crops" / f"{number:04}.png")
        onnx.save(model, folder / "model.onnx")
        reshape(
            folder / "model.onnx",
            folder / "wide.onnx",
            images=folder / "crops",
            mean=(0.0, 0.0, 0.0),
            std=(255.0, 255.0, 255.0),
            finetune=False,
        )
        return onnx.load(folder / "wide.onnx")


def binary_candidates(model: ModelProto) -> list[ConvLayer]:
    """The 3x3 convolutions but the first: shortcuts and the stem stay real, as in the paper."""
    return [layer for layer in inventory(model) if layer.depth > 1 and layer.shape[2:] == (3, 3)]


def binary_module(model: ModelProto, layers: list[ConvLayer], training: Crops) -> GraphModule:
    """1-bit weights and inputs, layer by layer, each calibrated on what the layers before now give it."""
    module = GraphModule(model)
    inputs = {node.output[0]: node.input[0] for node in model.graph.node}
    x = {"image": torch.from_numpy(training.pixels[:256])}
    for layer in layers:
        with torch.no_grad():
            wanted = module(x, [layer.output])[layer.output]
        module.binarize(layer.name, binarize(module.initializer(layer.weight)))
        binary = module.binary_layer(layer.name)
        with torch.no_grad():
            seen = module(x, [inputs[layer.output]])[inputs[layer.output]]
            values = seen.permute(0, 2, 3, 1).reshape(-1, seen.shape[1]).numpy()
            some = values[np.random.default_rng(0).integers(0, len(values), 4096)]
            scale, bias = binary.scale.numpy().copy(), binary.bias.numpy().copy()
            binary.quantize(fit(1, some), scale, bias)
            found = binary(seen)
            # Outputs of the mean and the spread that they had.
            factor = (wanted.std((0, 2, 3)) / found.std((0, 2, 3)).clamp(min=1e-6)).numpy()
            mean = wanted.mean((0, 2, 3)).numpy() - factor * (found.mean((0, 2, 3)).numpy() - bias)
            binary.quantize(binary.quantizer.quantizer(), factor * scale, mean)
    return module


def trained(model: ModelProto, training: Crops, steps: int, seed: int) -> ModelProto:
    """The model after so many steps on labels."""
    module = GraphModule(model)
    train(module, training, steps, seed)
    return with_values(model, module.initializers())


def train(module: GraphModule, training: Crops, steps: int, seed: int) -> None:
    """Adam on the cross-entropy; rates fall along a cosine."""
    latents = [parameter for name, parameter in module.named_parameters() if name.endswith("latent")]
    others = [parameter for name, parameter in module.named_parameters() if not name.endswith("latent")]
    groups = [{"params": others, "lr": REAL_RATE}] + [{"params": latents, "lr": LATENT_RATE}] * bool(latents)
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        x, labels = batch(training, rng)
        loss = functional.cross_entropy(module({"image": x})["scores"], labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        schedule.step()


def batch(training: Crops, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Crops drawn at random, mirrored or not, a little shifted."""
    chosen = rng.integers(0, len(training.labels), BATCH)
    x = np.pad(training.pixels[chosen], ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    down, right = rng.integers(0, 5, 2)
    size = training.pixels.shape[2]
    x = x[:, :, down : down + size, right : right + size]
    if rng.random() < 0.5:
        x = x[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(training.labels[chosen])


def accuracy(module: GraphModule, test: Crops) -> float:
    """The share of test crops that are classified rightly."""
    right = 0
    with torch.no_grad():
        for start in range(0, len(test.labels), 512):
            scores = module({"image": torch.from_numpy(test.pixels[start : start + 512])})["scores"]
            right += int((scores.argmax(1).numpy() == test.labels[start : start + 512]).sum())
    return right / len(test.labels)


if __name__ == "__main__":
    main()
