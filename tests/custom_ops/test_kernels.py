"""All kernels against the C++ reference, and the reference against the definition in NumPy."""

import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conv_cases import ACTIVATIONS, QUANT, REAL, SIGN, Case, activated, convolved, tensors, write_cases
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

INPUTS = [(REAL, 1), (SIGN, 1), (QUANT, 2), (QUANT, 4), (QUANT, 8)]


def processor_families(runner: list[str]) -> set[str]:
    """The kernel families that must run here, by what the system says of the processor."""
    if "qemu" in runner[0] or platform.machine() in ("aarch64", "arm64"):
        return {"neon-dot", "neon", "portable", "reference"}
    flags = set(Path("/proc/cpuinfo").read_text().split())
    families = {"portable", "reference"}
    if {"avx2", "fma"} <= flags:
        families.add("avx2")
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        families.add("avx512-bw")
        if {"avx512_vnni", "avx512_vpopcntdq", "avx512vbmi"} <= flags:
            families.add("avx512-popcnt")
    return families


def check(runner: list[str], folder: Path, cases: list[Case], *options: str) -> None:
    """The runner compares its kernels with its reference; its reference is compared with NumPy here."""
    write_cases(cases, folder / "cases.bin")
    command = [*runner, folder / "cases.bin", folder / "outputs.bin", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    families, *lines = done.stdout.splitlines()
    assert set(families.split()) == processor_families(runner)
    failed = [line + " " + repr(cases[int(line.split()[1][:-1])]) for line in lines]
    assert done.returncode == 0, "\n".join(failed) + done.stderr[-4000:]

    outputs = np.fromfile(folder / "outputs.bin", "<f4")
    start = 0
    for case in cases:
        sums = convolved(case, tensors(case))
        want = activated(case, sums)
        found = outputs[start : start + want.size].reshape(want.shape)
        start += want.size
        finite = sums[np.isfinite(sums)]
        largest = np.abs(finite).max() if finite.size else 0.0
        np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6 * largest, err_msg=repr(case))
    assert start == outputs.size


def shapes() -> list[Case]:
    """One case for every way in which a shape can be odd."""
    base = Case()
    channels = [replace(base, group_channels=c) for c in (1, 2, 31, 32, 33, 63, 64, 65, 130)]
    outputs = [replace(base, group_outputs=m) for m in (1, 3, 8, 15, 16, 17, 31, 32, 33, 65)]
    widths = [
        replace(base, size=(3, w), group_channels=c, group_outputs=33) for w in range(1, 30) for c in (5, 40)
    ]
    columns = [replace(base, size=(h, 2), group_channels=9, group_outputs=20) for h in range(1, 30)]
    geometry = [
        replace(base, strides=(2, 2), size=(9, 12)),
        replace(base, strides=(3, 1), size=(7, 11)),
        replace(base, dilations=(2, 3), size=(9, 14), pads=(2, 3, 2, 3)),
        replace(base, pads=(0, 2, 1, 0)),
        replace(base, pads=(0, 0, 0, 0)),
        replace(base, kernel=(1, 1), pads=(0, 0, 0, 0), group_channels=70, group_outputs=40),
        replace(base, kernel=(1, 1), pads=(1, 0, 0, 2), strides=(2, 1)),
        replace(base, kernel=(5, 5), pads=(2, 2, 2, 2), size=(3, 2)),  # larger than the image
        replace(base, kernel=(1, 7), pads=(0, 3, 0, 3), size=(6, 20)),
        replace(base, kernel=(2, 4), pads=(1, 1, 0, 2), size=(6, 6)),
        replace(base, pads=(4, 4, 4, 4), size=(2, 2)),  # windows that hold nothing but padding
        replace(base, kernel=(3, 3), pads=(3, 3, 3, 3), dilations=(3, 3), size=(1, 1)),  # one tap inside
    ]
    groups = [
        replace(base, group=4, group_channels=1, group_outputs=1, size=(9, 70)),  # depthwise
        replace(base, group=5, group_channels=1, group_outputs=2, size=(7, 9), strides=(2, 2)),
        replace(base, group=3, group_channels=2, group_outputs=1, pads=(0, 2, 1, 0), dilations=(1, 2)),
        replace(base, group=2, group_channels=33, group_outputs=17),
        replace(base, group=3, group_channels=7, group_outputs=40, strides=(1, 2)),
    ]
    depthwise = [
        replace(
            base,
            group=2,
            group_channels=1,
            group_outputs=1 + w % 3 % 2,
            kernel=(k, k),
            strides=(1 + w // 2 % 3, stride),
            pads=(k // 2, k // 2, w % 3, k // 2),
            size=(2 + w * 7 % 16, w),
        )
        for k in (3, 5)
        for stride in (1, 2)
        for w in range(2 + stride, 37, 2)
    ]
    pages = [  # planes of outputs that are whole pages of memory
        replace(base, size=(32, 32), group_outputs=33),
        replace(base, size=(8, 128), group_outputs=65, kernel=(1, 1), pads=(0, 0, 0, 0), bases=2),
        replace(base, size=(64, 32), strides=(2, 1), group=2, group_outputs=20, activation="LeakyRelu"),
        replace(base, size=(512, 2), group_outputs=17),
    ]
    others = [
        replace(base, batch=3, group_channels=9),
        replace(base, batch=0),
        replace(base, size=(0, 3), pads=(2, 1, 2, 1), group_outputs=20),  # nothing but padding
        replace(base, size=(3, 0), pads=(2, 2, 2, 2), group=3, group_channels=1, group_outputs=1),
        replace(base, bases=3, group_outputs=37),
        replace(base, bases=2, group=6, group_channels=1, group_outputs=1),
        replace(base, per_channel=True, group=2, group_channels=35),
        replace(base, group_channels=300, group_outputs=50, size=(13, 13)),
    ]
    return channels + outputs + widths + columns + geometry + groups + depthwise + pages + others


@pytest.mark.parametrize(("op", "x_bits"), INPUTS)
def test_shapes(runner: list[str], tmp_path: Path, op: int, x_bits: int) -> None:
    cases = [replace(case, op=op, x_bits=x_bits, seed=i) for i, case in enumerate(shapes())]
    check(runner, tmp_path, cases)


@pytest.mark.parametrize("activation", ACTIVATIONS[1:])
def test_activations(runner: list[str], tmp_path: Path, activation: str) -> None:
    """In every way that outputs are stored: tiles along rows and down columns, bases, planes, strides."""
    tiles = [replace(Case(), size=(3, w), group_channels=5, group_outputs=33) for w in (1, 3, 4, 7, 12, 29)]
    others = [
        replace(Case(), size=(17, 2), group_channels=9, group_outputs=20),
        replace(Case(), bases=3, group_outputs=37, size=(6, 13)),
        replace(Case(), kernel=(1, 1), pads=(0, 0, 0, 0), group_channels=70, group_outputs=40),
        *(
            replace(
                Case(), group=3, group_channels=1, group_outputs=1, kernel=(k, k), strides=(s, s), size=(9, w)
            )
            for k, s, w in [(3, 1, 40), (3, 2, 9), (5, 1, 5), (2, 1, 20)]
        ),
    ]
    cases = [
        replace(case, op=op, x_bits=x_bits, activation=activation, seed=seed, alpha=alpha)
        for seed, case in enumerate(tiles + others)
        for op, x_bits in INPUTS
        for alpha in ((0.1, -1.5) if activation == "LeakyRelu" else (0.1,))
    ]
    check(runner, tmp_path, cases)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_inputs(runner: list[str], tmp_path: Path, special: float) -> None:
    """NaN is -s for signs, 0 for quanta, and spreads where inputs are real; infinities saturate."""
    shapes = [
        Case(group_channels=40, group_outputs=20, special=special),
        Case(group=3, group_channels=1, group_outputs=1, special=special),
    ]
    check(
        runner,
        tmp_path,
        [
            replace(case, op=op, x_bits=x_bits, seed=seed, activation=activation)
            for case in shapes
            for op, x_bits in INPUTS
            for seed in range(4)
            for activation in ACTIVATIONS
        ],
    )


def test_threads_change_no_bit(threaded_runner: list[str], tmp_path: Path) -> None:
    """Images that make several tasks; two callers at a time, three threads each."""
    base = Case(group_channels=9, group_outputs=35, size=(13, 19))
    shapes = [
        base,
        replace(base, kernel=(1, 1), pads=(0, 0, 0, 0), bases=2, batch=2),
        replace(base, group=20, group_channels=1, group_outputs=1),
    ]
    cases = [replace(case, op=op, x_bits=x_bits) for case in shapes for op, x_bits in INPUTS]
    check(threaded_runner, tmp_path, cases, "3")


def test_large_images_in_strips(threaded_runner: list[str], tmp_path: Path) -> None:
    """Images whose packed input, of two megabytes and more, is made strip by strip."""
    pointwise = Case(op=REAL, kernel=(1, 1), pads=(0, 0, 0, 0), group_outputs=3)
    window = Case(op=REAL, group_channels=200, size=(140, 21), group_outputs=2)
    cases = [
        replace(pointwise, group_channels=181, size=(59, 53), batch=2),
        replace(pointwise, group_channels=90, group=2, size=(3, 1050), bases=2),
        replace(pointwise, op=QUANT, x_bits=8, group_channels=400, size=(73, 81)),
        window,
        replace(window, group_channels=120, size=(310, 19), strides=(2, 2), pads=(3, 0, 1, 2)),
        replace(window, op=QUANT, x_bits=8, size=(290, 37), dilations=(2, 1), group_outputs=1),
    ]
    check(threaded_runner, tmp_path, cases, "3")


def test_bytes_are_looked_up(runner: list[str]) -> None:
    """In exact buffers, of all short lengths."""
    command = [*runner[:-1], str(Path(runner[-1]).with_name("look_up"))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert set(done.stdout.split()) == processor_families(runner)


@st.composite
def random_cases(draw: st.DrawFn) -> Case:
    op, x_bits = draw(st.sampled_from(INPUTS))
    return Case(
        op=op,
        x_bits=x_bits,
        bases=draw(st.integers(1, 3)),
        group=draw(st.integers(1, 4)),
        group_channels=draw(st.integers(1, 70)),
        group_outputs=draw(st.integers(1, 40)),
        kernel=(draw(st.integers(1, 5)), draw(st.integers(1, 5))),
        strides=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        pads=tuple(draw(st.integers(0, 4)) for _ in range(4)),  # type: ignore[arg-type]
        dilations=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        batch=draw(st.integers(0, 2)),
        size=(draw(st.integers(1, 18)), draw(st.integers(1, 18))),
        per_channel=draw(st.booleans()),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        seed=draw(st.integers(0, 1000)),
    )


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(cases=st.lists(random_cases().filter(lambda case: case.fits), min_size=8, max_size=8))
def test_random_convolutions(runner: list[str], tmp_path: Path, cases: list[Case]) -> None:
    assume(cases)
    check(runner, tmp_path, cases)
