"""A few seconds of fuzzing the operator library with libFuzzer; `make fuzz` takes its time."""

import shutil
import subprocess
import sys

import pytest
from library_builds import ROOT, build

SECONDS = 10


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not shutil.which("clang++"):
        pytest.skip("no clang++: apt-get install clang libclang-rt-dev")
    source = tmp_path_factory.mktemp("probe") / "probe.cpp"
    source.write_text('extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }')
    command = [
        "clang++",
        "-fsanitize=fuzzer,address,undefined",
        str(source),
        "-o",
        str(source.with_suffix("")),
    ]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("clang++ has no libFuzzer: apt-get install libclang-rt-dev")
    return build("fuzz") / "fuzz_node"


def test_nothing_is_found(program):
    command = [sys.executable, ROOT / "custom_ops" / "fuzz" / "fuzz.py", program, str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    runs = next(line for line in done.stderr.splitlines() if "number_of_executed_units" in line)
    assert int(runs.split()[-1]) > 500
