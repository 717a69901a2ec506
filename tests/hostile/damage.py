"""Ways to spoil the bytes of a file, by a seed."""

import os

import numpy as np

FACTOR = int(os.environ.get("ONNXBIN_HOSTILE_FACTOR", "1"))
"""How many times more inputs than in the tests of every day: `make fuzz` asks for many."""


def damaged(content, seed):
    """A file that is like this one: cut short, with bits turned, or with a piece overwritten or moved."""
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 65))
    kind = seed % 6
    if kind == 0:
        del data[place:]
    elif kind == 1:
        for _ in range(length):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif kind == 2:
        data[place : place + length] = rng.bytes(length)
    elif kind == 3:
        data[place : place + length] = b"\xff" * length  # huge numbers, where numbers are
    elif kind == 4:
        other = int(rng.integers(len(data)))
        data[place : place + length] = data[other : other + length]
    else:
        del data[place : place + length]
    return bytes(data)


def ends_damaged(content, seed):
    """The same, in the first and last kilobyte alone: in an ONNX file, all but the numbers of weights."""
    head, body, tail = content[:1000], content[1000:-4000], content[-4000:]
    if seed % 2:
        return damaged(head, seed // 2) + body + tail
    return head + body + damaged(tail, seed // 2)
