"""Commands on hostile files: what all of them must hold to, and the good files that others are made from."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from bright_cells import detector, write_images

import onnxbin

HERE = Path(__file__).parent

sys.path.insert(0, str(HERE))  # tests import damage.py

MOST_MEGABYTES, MOST_SECONDS = 1500, 30


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str
    seconds: float
    megabytes: float


class Commands:
    """`onnxbin` on files that may be anything.

    Whatever they are: exit status 2, one line and nothing written, or success; in bounded memory and time.
    """

    def __init__(self, server):
        self._server = server

    def run(self, folder, *arguments):
        """Run a command in a folder, and check that."""
        before = content_of(folder)
        request = {"arguments": [os.fspath(a) for a in arguments], "folder": str(folder)}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        done = Done(**json.loads(self._server.stdout.readline()))
        assert done.status in (0, 2, 3), done
        assert "Traceback" not in done.out + done.err, done
        assert "\x1b" not in done.out + done.err, done
        assert done.megabytes < MOST_MEGABYTES, done
        assert done.seconds < MOST_SECONDS, done
        if done.status == 2:
            assert done.err.startswith("onnxbin: "), done
            assert len(done.err.splitlines()) == 1, done
            assert content_of(folder) == before, done
        return done

    def refused(self, folder, *arguments):
        """Run a command that has to refuse; what it says."""
        done = self.run(folder, *arguments)
        assert done.status == 2, done
        return done.err


def content_of(folder):
    """All files below a folder, and their bytes; folders alone are no output."""
    return {
        path: path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture(scope="session")
def commands():
    command = [sys.executable, str(HERE / "command_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Commands(server)
        server.stdin.close()


@dataclass(frozen=True)
class Good:
    """Sound files: model, the same compressed, folder of the run, images, labels. Not to be changed."""

    model: Path
    small: Path
    run: Path
    images: Path
    labels: Path


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    model = folder / "model.onnx"
    model.write_bytes(detector().SerializeToString())
    labels = write_images(folder / "images", count=3)
    made = onnxbin.compress(model, folder / "small.onnx", images=folder / "images", finetune=False)
    return Good(model, made.path, made.run, folder / "images", labels)
