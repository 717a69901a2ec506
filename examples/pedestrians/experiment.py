"""The experiment of "Flexible Network Binarization with Layer-Wise Priority" on your own detector and photos.

    python examples/pedestrians/experiment.py model.onnx --images photos/ --data val.json -o results/

Compresses the detector in several ways (orders.json: inverse depth order, all at once, forward, largest first
and ours) to the same file ratios with the same number of training steps, and measures each on labelled photos
of people. A run that was stopped goes on where it was when the same command is given again; one that is
finished is not repeated.

The folder of the results gets a JSON file for each finished run, miss_rate.png, and, below runs/, the models
and the run folders.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Data, measure
from lasting import comparable, finished_run
from named_runs import read_runs
from results_table import table

from onnxbin import Listener, OnnxbinError, Record, Settings, Step
from onnxbin import model as files
from onnxbin.detection import Detector
from onnxbin.plan import plan
from onnxbin.run_folder import RunFolder
from onnxbin.text import shortened

RUNS = Path(__file__).with_name("orders.json")
RATIOS = (8.0, 16.0)
STEPS = 600
"""Of training in each run, shared out over its layers."""

FORMAT = 1
"""Of a result's JSON."""

Json = dict[str, Any]


class Progress(Listener):
    """A line for each step."""

    def step_finished(self, step: Step, record: Record) -> None:
        """What the turn has done."""
        kept = "-" if record.after is None else f"{record.after:.3f}"
        print(
            f"  {step.number:3} {shortened(record.title, 34):34} ratio {record.ratio:5.2f}"
            f"  agreement {kept} {record.seconds:5.0f} s",
            flush=True,
        )


@dataclass(frozen=True, eq=False)
class Experiment:
    """model: the original. images: to train on. data: to measure on. output: the folder of the results."""

    model: files.Model
    images: Path
    data: Sequence[Data]
    person: int | None
    output: Path

    def original(self, settings: Settings) -> Json:
        """The original's result; the settings say how images are fed to it."""
        path = self.output / "original.json"
        fed = plan(self.model, settings).preprocessing.preprocessing
        asked = {
            "format": FORMAT,
            "name": "original",
            "model": self._identity(),
            "preprocessing": json.loads(fed.to_json()),
        }
        result = _earlier(path, asked) or {
            **asked,
            "reached": {
                "ratio": 1.0,
                "bytes": self.model.file_bytes,
                "layers": 0,
                "steps": 0,
                "seconds": 0.0,
            },
        }
        return self._measured(
            result, path, lambda: Detector(self.model.proto, size=settings.input_size, preprocessing=fed)
        )

    def run(self, name: str, settings: Settings) -> Json:
        """One run's result: read where it is there, else made."""
        stem = f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{settings.until_ratio:g}x"
        path = self.output / f"{stem}.json"
        asked = {
            "format": FORMAT,
            "name": name,
            "model": self._identity(),
            "settings": comparable(settings),
        }
        result = _earlier(path, asked)
        small = self.output / "runs" / f"{stem}.onnx"
        if result is None:
            print(f"{name}, {settings.until_ratio:g} times smaller", flush=True)
            small.parent.mkdir(parents=True, exist_ok=True)
            folder = finished_run(self.model, small, small.with_suffix(".run"), settings, Progress())
            result = {**asked, **_reached(folder)}
        return self._measured(
            result, path, lambda: Detector(files.load(small).proto, size=settings.input_size)
        )

    def _identity(self) -> Json:
        return {
            "file": self.model.path.name,
            "bytes": self.model.file_bytes,
            "sha256": self.model.sha256,
        }

    def _measured(self, result: Json, path: Path, detector: Callable[[], Detector]) -> Json:
        """The result with the figures on all labelled sets, written; those that are there stay."""
        before = result.get("data", {})
        missing = [
            data for data in self.data if before.get(data.name, {}).get("labels_sha256") != data.digest
        ]
        if missing:
            opened = detector()
            found = {data.name: measure(opened, data, self.person) for data in missing}
            result = {**result, "data": {**before, **found}}
            files.write_atomically(path, _text(result).encode())
        return {**result, "data": {data.name: result["data"][data.name] for data in self.data}}


def _reached(folder: RunFolder) -> Json:
    """What a finished run has come to, and what it was made with and of."""
    result, records = folder.curve["result"], folder.records()
    order = [record.layer for record in records if record.layer is not None]
    description = folder.description
    return {
        "images": description["images"],
        "versions": {"onnxbin": description["onnxbin"], **description["versions"]},
        "started": description["started"],
        "reached": {
            "ratio": result["ratio"],
            "bytes": result["bytes"],
            "layers": len(order),
            "binary_share": records[-1].share,
            "steps": sum(record.training_steps for record in records),
            "seconds": result["seconds"],
            "agreement": result["agreement"],
            "boxes": result["boxes"],
        },
        "order": order,
    }


def _earlier(path: Path, asked: Json) -> Json | None:
    """The result of an earlier call; None where there is none. OnnxbinError where it is of something else."""
    if not path.exists():
        return None
    try:
        result: Json = json.loads(path.read_bytes())
        before, now = ({**content, **content.get("settings", {})} for content in (result, asked))
        changed = [name for name in now if name != "settings" and before.get(name) != now[name]]
    except (ValueError, TypeError, AttributeError) as error:
        raise OnnxbinError(f"{path}: is no result of this experiment: {error}") from None
    if changed:
        raise OnnxbinError(
            f"{path}: is a result with another {', '.join(changed)}: remove it, or give another -o"
        )
    return result


def _text(result: Json) -> str:
    """JSON, each list of numbers on one line."""
    text = json.dumps(result, indent=2)
    return re.sub(r"\[[^][{}\"]*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text) + "\n"


def main() -> None:
    """Read the command line, run what is not there yet, show everything."""
    parser = argparse.ArgumentParser(
        description="Compress a detector of people in several ways, to equal ratios, and compare.",
        epilog="Give the same command again to go on after a stop.",
    )
    parser.add_argument("model", type=Path, help="the ONNX detector")
    parser.add_argument("--images", type=Path, required=True, help="photos to train on; labels are not read")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        help="labelled photos to measure on: COCO json, VOC or YOLO folder; repeatable",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--ratio", type=float, action="append", help="how many times smaller; repeatable, default 8 and 16"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of training, each run; default {STEPS}")
    parser.add_argument("--runs", type=Path, default=RUNS, help="table of runs; default orders.json")
    parser.add_argument("--person", type=int, help="number of the model's class, where its name does not say")
    arguments = parser.parse_args()
    try:
        print(compare(arguments))
    except OnnxbinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def compare(arguments: argparse.Namespace) -> str:
    """Run what is not there yet, draw the plot, and return the table."""
    try:
        from miss_rate_plot import draw
    except ModuleNotFoundError as error:
        raise OnnxbinError(f"the plot needs {error.name}: `pip install onnxbin[report]`") from None
    runs = read_runs(arguments.runs)
    with files.naming_write_errors(arguments.output):
        arguments.output.mkdir(parents=True, exist_ok=True)
    data = [Data.read(path) for path in arguments.data]
    if len({one.name for one in data}) < len(data):
        raise OnnxbinError("--data: two sets of the same name, which is their folder's and their own")
    experiment = Experiment(
        files.load(arguments.model),
        arguments.images,
        data,
        arguments.person,
        arguments.output,
    )
    planned = {
        ratio: [
            (run, run.settings_for(experiment.model, ratio, arguments.steps, arguments.images))
            for run in runs
        ]
        for ratio in arguments.ratio or RATIOS
    }
    original = experiment.original(next(iter(planned.values()))[0][1])
    results = {
        ratio: [experiment.run(run.name, settings) for run, settings in entries]
        for ratio, entries in planned.items()
    }
    draw(original, results, arguments.output / "miss_rate.png")
    return table(original, results)


if __name__ == "__main__":
    main()
