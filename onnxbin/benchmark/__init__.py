"""Whole networks in ONNX Runtime, beside each other: latency, layers, memory, load time, file size.

Data flows `inputs` and `contender` (what is run on what) -> `latency`, `memory`, `layers` (one measurement
each) -> `measure`, which puts them together.
"""

from onnxbin.benchmark.contender import Contender
from onnxbin.benchmark.latency import Timing
from onnxbin.benchmark.layers import LayerTime, NodeTime, Profile
from onnxbin.benchmark.machine import Machine
from onnxbin.benchmark.measure import Benchmark, Measurement, measure

__all__ = [
    "Benchmark",
    "Contender",
    "LayerTime",
    "Machine",
    "Measurement",
    "NodeTime",
    "Profile",
    "Timing",
    "measure",
]
