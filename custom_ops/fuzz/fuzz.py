"""Fuzz the operator library for a while: `fuzz.py FUZZ_NODE SECONDS [--keep]`.

Begins with the inputs of corpus.txt, which together reach all that was ever reached; --keep makes it anew
with those that reach more. An input that fails is printed, in hexadecimal, and kept too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus.txt"
"""One input a line, in hexadecimal, sorted."""

# Megabytes at once and in all, seconds for one input, bytes of an input.
LIMITS = ["-malloc_limit_mb=256", "-rss_limit_mb=1024", "-timeout=20", "-max_len=160"]


def main() -> int:
    """Run the fuzzer; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="as CMake builds it with ONNXBIN_BUILD_FUZZ")
    parser.add_argument("seconds", type=int)
    parser.add_argument(
        "--keep", action="store_true", help="make corpus.txt of what reaches most, old and new"
    )
    arguments = parser.parse_args()
    program = str(arguments.program.resolve())
    with tempfile.TemporaryDirectory() as name:
        new, known, failed = (Path(name, part) for part in ("new", "known", "failed"))
        for folder in (new, known, failed):
            folder.mkdir()
        inputs = [bytes.fromhex(line) for line in CORPUS.read_text().splitlines()]
        for number, content in enumerate(inputs):
            (known / str(number)).write_bytes(content)
        options = [
            *LIMITS,
            f"-artifact_prefix={failed}/",
            "-print_final_stats=1",
            "-reload=0",
            "-verbosity=0",
        ]
        status = subprocess.run(
            [program, *options, f"-max_total_time={arguments.seconds}", str(new), str(known)]
        ).returncode
        found = [path.read_bytes() for path in failed.iterdir()]
        for content in found:
            print(f"fails: {content.hex()}")
        if arguments.keep:
            kept = Path(name, "kept")
            kept.mkdir()
            # By the edges that are reached, not by how often: fewer inputs.
            merge = ["-merge=1", "-use_counters=0", "-verbosity=0"]
            subprocess.run([program, *LIMITS, *merge, str(kept), str(known), str(new)], check=True)
            inputs = [path.read_bytes() for path in kept.iterdir()]
        if arguments.keep or found:
            lines = sorted({content.hex() for content in (*inputs, *found)})
            CORPUS.write_text("".join(f"{line}\n" for line in lines if line))
    return status


if __name__ == "__main__":
    sys.exit(main())
