"""How narrow the inputs of binary layers can be: one compressed network, its last phase in several ways.

    python examples/inputs/compare_widths.py model.binary.run --data val.json -o results/

Starts each time from the same finished run, gives the inputs of its binary layers other widths (widths.json),
trains the last phase for as many steps, and measures average precision on labelled images, the operations
that are left, and the latency. What is finished is not repeated when the same command is given again.

The folder of the results gets a JSON file for each way, plot.png, and, below runs/, models and run folders.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import onnxbin
from onnxbin import Listener, OnnxbinError, Record, Step
from onnxbin import model as files
from onnxbin.benchmark.contender import Contender
from onnxbin.benchmark.latency import alternate, clock
from onnxbin.detection import Detector, LabelledSet, evaluate, read_labels
from onnxbin.images import ImageInput
from onnxbin.inputs.widths import describe
from onnxbin.layers import ConvLayer
from onnxbin.plan import plan
from onnxbin.run_folder import RunFolder
from onnxbin.settings import Settings

WAYS = Path(__file__).with_name("widths.json")
STEPS = 300
"""Of the last phase."""

WORD = 64
"""Multiply-accumulates of one bit by one bit that count as one, as in the paper: a word of a processor."""

COSTS = (("latency", "latency, ms", 1), ("equivalent_macs", "operations, millions", 1e6))
"""What a plot shows the precision over: a key of the results, its label, and its unit."""

ROUNDS = 30
"""Times that the latency of each model is taken."""

Json = dict[str, Any]


class Progress(Listener):
    """A line for the last phase."""

    def step_finished(self, step: Step, record: Record) -> None:  # noqa: ARG002
        """What it has done."""
        kept = "-" if record.after is None else f"{record.after:.3f}"
        print(f"  {record.title}: agreement {kept}, {record.seconds:.0f} s", flush=True)


def equivalent_macs(layers: Sequence[ConvLayer], record: Record) -> float:
    """Multiply-accumulates for an image: those of inputs of k bits by one-bit weights count k / WORD each.

    Real inputs count fully, whatever their weights are.
    """
    shares = {name: 1.0 if bits is None else bits / WORD for name, bits in record.inputs.items()}
    return sum((layer.macs or 0) * shares.get(layer.name, 1.0) for layer in layers)


def run(base: Path, way: Json, steps: int, output: Path) -> Json:
    """The last phase in one way, from a copy of the run; read where it is there, else done."""
    stem = re.sub("[^a-z0-9]+", "-", way["name"].lower()).strip("-")
    path, folder = output / f"{stem}.json", output / "runs" / f"{stem}.run"
    asked = {"way": way, "steps": steps, "model": RunFolder.open(base).description["model"]["sha256"]}
    if path.exists():
        result: Json = json.loads(path.read_bytes())
        if {name: result.get(name) for name in asked} != asked:
            raise OnnxbinError(f"{path}: is a result of something else: remove it, or give another -o")
        return result
    print(way["name"], flush=True)
    if not folder.exists():
        begun = folder.with_suffix(".part")
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(base, begun, ignore=shutil.ignore_patterns("lock"))
        _hold_layers(begun)
        begun.rename(folder)
    options = {name: value for name, value in way.items() if name != "name"}
    if RunFolder.open(folder).description["output"] != str(folder.with_suffix(".onnx").resolve()):
        finished = onnxbin.resume(
            folder, folder.with_suffix(".onnx"), **options, last_steps=steps, listener=Progress()
        )
    else:
        finished = onnxbin.resume(folder, listener=Progress())
    record = RunFolder.open(folder).records()[-1]
    if finished.reason.startswith("stopped") or record.layer is not None:
        raise OnnxbinError(f"{folder}: {finished.reason}")
    settings = Settings.from_json(RunFolder.open(folder).description["settings"])
    original = files.load(RunFolder.open(folder).description["model"]["path"])
    layers = plan(original, settings).layers
    result = {
        **asked,
        "file": str(finished.path.relative_to(output.resolve())),
        "ratio": finished.ratio,
        "agreement": finished.agreement,
        "boxes": finished.boxes,
        "macs": sum(layer.macs or 0 for layer in layers),
        "equivalent_macs": equivalent_macs(layers, record),
        "inputs": dict(record.inputs),
        "seconds": record.seconds,
        "data": {},
    }
    _write(path, result)
    return result


def _hold_layers(folder: Path) -> None:
    """Let no further layer of the run become binary: thresholds take place, and a ratio may need one more."""
    path = folder / "run.json"
    content = json.loads(path.read_bytes())
    layers = [record.layer for record in RunFolder.open(folder).records() if record.layer is not None]
    content["settings"] |= {"order": layers, "until_ratio": None}
    path.write_text(json.dumps(content, indent=2))


def measure(result: Json, output: Path, data: dict[str, LabelledSet], person: str) -> None:
    """Add the average precision at IoU 0.5 on the labelled sets, where it is not there yet."""
    missing = [name for name in data if name not in result["data"]]
    if not missing:
        return
    file = output / result["file"]
    detector = Detector(files.load(file).proto, session=onnxbin.session(file))
    for name in missing:
        evaluation = evaluate(detector, data[name])
        classes = {entry.name: entry.average_precision for entry in evaluation.classes}
        result["data"][name] = classes[person]
    _write(output / f"{file.stem}.json", result)


def time_all(results: Sequence[Json], output: Path) -> None:
    """Add the latency of an image on one thread, all models in turns, where one is missing."""
    if all("latency" in result for result in results):
        return
    models = [files.load(output / result["file"]) for result in results]
    target = ImageInput.of(models[0].proto)
    feed = target.feed([np.random.default_rng(0).uniform(0, 1, target.shape).astype(np.float32)])
    contenders = [Contender(m.path.stem, m.path, m.proto, m.file_bytes, True, [feed]) for m in models]
    calls = [partial(contender.run, contender.session(1)) for contender in contenders]
    for result, timing in zip(results, alternate(calls, ROUNDS, clock(1)), strict=True):
        result["latency"] = timing.median
        _write(output / f"{Path(result['file']).stem}.json", result)


def table(results: Sequence[Json]) -> str:
    """In Markdown, a line for each way."""
    names = list(results[0]["data"])
    rows = [["inputs", *(f"AP@0.5 {name}" for name in names), "operations", "latency", "file", "widths"]]
    rows.append(["---"] * len(rows[0]))
    for result in results:
        rows.append(
            [
                result["way"]["name"],
                *(f"{result['data'][name]:.3f}" for name in names),
                f"{result['equivalent_macs'] / 1e6:.1f} M",
                f"{result['latency']:.1f} ms",
                f"{result['ratio']:.2f} x",
                describe(result["inputs"]),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(results: Sequence[Json], path: Path) -> None:
    """Average precision over latency and over operations, a panel for each set of data and either."""
    from matplotlib.figure import Figure

    names = list(results[0]["data"])
    figure = Figure(figsize=(9, 3.2 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), 2, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        for axis, (key, label, unit) in zip(row, COSTS, strict=True):
            for place, result in enumerate(sorted(results, key=lambda result: result["data"][name])):
                x, y = result[key] / unit, result["data"][name]
                axis.plot([x], [y], "o", color="#b5523b" if "," in describe(result["inputs"]) else "#33658a")
                # To either side in turns: of neighbours that are as accurate, one has its name on the left.
                axis.annotate(
                    result["way"]["name"],
                    (x, y),
                    ((7, -7)[place % 2], 0),
                    textcoords="offset points",
                    ha=("left", "right")[place % 2],
                    va="center",
                    fontsize=8,
                )
            axis.set_xlabel(label)
            axis.set_ylabel(f"AP@0.5, {name}")
            axis.margins(0.6, 0.1)
            axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _write(path: Path, result: Json) -> None:
    files.write_atomically(path, (json.dumps(result, indent=2) + "\n").encode())


def main() -> None:
    """Read the command line, do what is not there yet, show everything."""
    parser = argparse.ArgumentParser(
        description="The last phase of a finished run with inputs of several widths, compared.",
        epilog="Give the same command again to go on after a stop.",
    )
    parser.add_argument("run", type=Path, help="the folder of a finished run; it stays as it is")
    parser.add_argument("--data", type=Path, action="append", required=True, help="labels; repeatable")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the last phase; default {STEPS}")
    parser.add_argument("--ways", type=Path, default=WAYS, help="table of ways; default widths.json")
    parser.add_argument("--person", default="person", help="the class that is measured; default person")
    arguments = parser.parse_args()
    try:
        (arguments.output / "runs").mkdir(parents=True, exist_ok=True)
        data = {path.resolve().parent.name: read_labels(path) for path in arguments.data}
        ways = json.loads(arguments.ways.read_bytes())
        results = [run(arguments.run, way, arguments.steps, arguments.output) for way in ways]
        for result in results:
            measure(result, arguments.output, data, arguments.person)
        time_all(results, arguments.output)
        draw(results, arguments.output / "plot.png")
        print(table(results))
    except OnnxbinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
