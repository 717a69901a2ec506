"""One network taught by another that it does not look like: a reshaped one by its original."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from onnx import ModelProto

from onnxbin.bridge.cut import targets
from onnxbin.bridge.distill import Distillation
from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.images import ImageSet
from onnxbin.surgery import with_values


def taught(
    student: ModelProto,
    teacher: ModelProto,
    images: ImageSet,
    engine: Engine,
    *,
    steps: int,
    also: Sequence[str] = (),
    fixed: Sequence[str] = (),
    batch_size: int = 4,
    seed: int = 0,
    on_step: Callable[[int, float], bool] | None = None,
) -> ModelProto:
    """The student after so many steps of distillation (see onnxbin.bridge.distill).

    also: tensors of the same name and shape in both that are matched beside the outputs. fixed: initializers
    that are not trained. on_step: see Distillation.train.
    """
    torch.manual_seed(seed)
    matched = [*targets(teacher), *also]
    module = GraphModule(student, matched)
    module.freeze(fixed)
    distillation = Distillation(
        GraphModule(teacher, matched),
        module,
        images,
        engine,
        targets=matched,
        batch_size=batch_size,
        seed=seed,
    )
    distillation.train(steps, on_step)
    return with_values(student, module.initializers())
