"""Compressing the fixture `model` in seconds, for tests of how a run goes."""

from pathlib import Path

import onnxbin


def compress(model: Path, photos: Path, output: Path, **settings: object) -> onnxbin.Result:
    """Four steps a layer and no last phase, unless said."""
    return onnxbin.compress(
        model,
        output,
        **{
            "images": photos,
            "profile": "yolov4",
            "inputs": "real",
            "last_steps": 0,
            "steps_per_layer": 4,
            **settings,
        },
    )
