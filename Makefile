# Everything starts from an empty machine: python3, a C++17 compiler, make.
# The virtual environment, with all that is needed to run, train, test and format, is made on the way.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
LIBRARY := $(wildcard custom_ops/CMakeLists.txt custom_ops/include/* custom_ops/src/* custom_ops/src/*/*)

.PHONY: help demo test test-arm test-runtimes soak fuzz bench lint format clean

help:  ## What there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/installed  ## Compress the embedded detector 20 times, with fine-tuning (five minutes at most).
	$(BIN)/python examples/street/demo.py

test: $(VENV)/installed  ## Run the tests.
	$(BIN)/python -m pytest -n 2

ARM_RUNTIME := build/onnxruntime-aarch64

test-arm: $(VENV)/installed  ## Run kernels and the C++ example for 64-bit Arm (apt-get).
	apt-get install -y -q g++-aarch64-linux-gnu qemu-user-static
	rm -rf $(ARM_RUNTIME)
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --platform manylinux_2_28_aarch64 --python-version 3.12 \
		--dest $(ARM_RUNTIME) onnxruntime==1.23.2  # 1.31 itself crashes in qemu 7.2
	$(BIN)/python -m zipfile -e $(ARM_RUNTIME)/*.whl $(ARM_RUNTIME)
	$(BIN)/python -m pytest tests/custom_ops/test_kernels.py tests/deploy -k arm

test-runtimes: $(VENV)/installed  ## Run a compressed model in versions of ONNX Runtime from 1.17 on.
	$(BIN)/python tests/deploy/ort_matrix.py

soak: $(VENV)/installed  ## Kill a hundred compressions, compress 2.4 GB, crowd threads (an hour; 14 GB of memory).
	$(BIN)/python tests/soak/kills.py
	$(BIN)/python tests/soak/large.py
	ONNXBIN_CROWD_SECONDS=300 $(BIN)/python -m pytest tests/custom_ops/test_crowd.py

# Clang and its libFuzzer; the tests of hostile files run the same for seconds.
FUZZ_SECONDS ?= 3600
fuzz: $(VENV)/installed  ## Fuzz the operator library for an hour, then ten times the hostile files of the tests.
	apt-get install -y -q clang libclang-rt-dev
	cmake -S custom_ops -B build/fuzz -DCMAKE_CXX_COMPILER=clang++ -DONNXBIN_SANITIZE=address,undefined -DONNXBIN_BUILD_FUZZ=ON
	cmake --build build/fuzz --target fuzz_node --parallel 2
	$(BIN)/python custom_ops/fuzz/fuzz.py build/fuzz/fuzz_node $(FUZZ_SECONDS) --keep
	ONNXBIN_HOSTILE_FACTOR=10 $(BIN)/python -m pytest -n 2 tests/hostile

bench: $(VENV)/installed  ## Time single convolutions beside ONNX Runtime's and OpenVINO's.
	$(BIN)/python -m pip install --quiet --requirement custom_ops/bench/requirements.txt
	cmake -S custom_ops -B build/bench -DONNXBIN_BUILD_BENCH=ON
	cmake --build build/bench --parallel 2
	$(BIN)/python custom_ops/bench/convolutions.py build/bench --all

lint: $(VENV)/installed  ## Check style and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	git ls-files '*.cpp' '*.h' | xargs $(BIN)/clang-format --dry-run --Werror

format: $(VENV)/installed  ## Format everything.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	git ls-files '*.cpp' '*.h' | xargs $(BIN)/clang-format -i

clean:  ## Remove what make made.
	rm -rf $(VENV) build demo

# Editable: Python sources are used where they stand; the library is built again when its sources change.
$(VENV)/installed: pyproject.toml requirements-dev.txt $(LIBRARY)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt --editable '.[all]'
	touch $@
