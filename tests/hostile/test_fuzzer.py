"""A few seconds of fuzzing the operator library with libFuzzer; `make fuzz` takes its time."""

import shutil
import subprocess
import sys

import pytest
from damage import FACTOR
from library_builds import QEMU, ROOT, build

SECONDS = 10
CORPUS = ROOT / "custom_ops" / "fuzz" / "corpus.txt"


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


@pytest.mark.parametrize("name", ["sanitize", "arm-sanitize" if FACTOR > 1 else "arm"])
def test_the_corpus_needs_no_fuzzer(name):
    """On other compilers and processors than libFuzzer's."""
    emulator = [QEMU] if name.startswith("arm") else []
    done = subprocess.run([*emulator, build(name) / "replay", CORPUS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    assert done.stdout.split()[0] == str(len(CORPUS.read_text().splitlines()))
