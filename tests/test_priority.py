"""The queues: what they take, when they look again, and what they remember."""

import math
from types import SimpleNamespace

import pytest

from onnxbin.priority import DamageQueue, FixedQueue

SAVED = {"a": 100, "b": 60, "c": 50, "d": 10}
DAMAGE = {"a": 1.0, "b": 0.9, "c": 0.3, "d": 0.2}
BASES = range(1, 3)
LAYERS = [SimpleNamespace(name=name) for name in SAVED]


def bytes_saved(layer, bases):
    return SAVED[layer.name] * (8 - bases) // 7


class Network:
    """Damages that are known, and who asked for them."""

    def __init__(self, second_base=0.25):
        self.damage = dict(DAMAGE)
        self.second_base = second_base
        self.asked = []

    def damages(self, choices):
        self.asked.append([(layer.name, bases) for layer, bases in choices])
        return [self.damage[layer.name] * self.second_base ** (bases - 1) for layer, bases in choices]


def names(queue, missing, network=None):
    """All that the queue gives, the file getting smaller by it."""
    taken = []
    while missing is None or missing > 0:
        choice = queue.take(missing, (network or Network()).damages)
        if choice is None:
            break
        layer, bases = choice
        taken.append((layer.name, bases))
        if missing is not None:
            missing -= bytes_saved(layer, bases)
    return taken


def test_a_fixed_queue_keeps_its_order_and_gives_what_was_undone_more_bases_at_the_end():
    queue = FixedQueue(LAYERS, range(1, 2), bytes_saved)
    assert queue.left(None) == 4
    assert queue.left(120) == 2
    layer, bases = queue.take(None, Network().damages)
    assert (layer.name, bases) == ("a", 1)
    queue.put_back("a", 1)
    assert names(queue, None) == [("b", 1), ("c", 1), ("d", 1), ("a", 2)]
    queue.put_back("a", 2)
    assert queue.take(None, Network().damages) is None
    queue.restart(["a"])
    assert names(queue, None) == [("a", 1)]


def test_least_damage_for_each_byte_goes_first_and_as_little_as_needed():
    network = Network(second_base=1.0)
    assert names(DamageQueue(LAYERS, BASES, bytes_saved), None, network) == [
        ("c", 1),
        ("a", 1),
        ("b", 1),
        ("d", 1),
    ]
    # 110 bytes: c (50) and b (60) do 1.2, a and d (110) 1.2 as well, a and c 1.3.
    network.damage["d"] = 0.1
    queue = DamageQueue(LAYERS, BASES, bytes_saved)
    assert sorted(names(queue, 109, network)) == [("a", 1), ("d", 1)]


def test_a_second_base_where_it_pays():
    """For a (100), all the others must get it: 1 base would do 1.0, and c with two saves 42 for 0.075."""
    queue = DamageQueue(LAYERS, BASES, bytes_saved)
    taken = names(queue, 90)
    assert sorted(taken) == [("b", 2), ("c", 2)] or sum(DAMAGE[n] * 0.25 ** (b - 1) for n, b in taken) < 0.31


@pytest.mark.parametrize("missing", [None, 150])
def test_later_only_what_looks_best_is_measured_again(missing):
    network = Network()
    queue = DamageQueue(LAYERS, BASES, bytes_saved)
    queue.take(missing, network.damages)
    assert sorted(network.asked.pop()) == [(name, bases) for name in "abcd" for bases in (1, 2)]
    queue.take(missing - 50 if missing else None, network.damages)
    assert 1 <= sum(map(len, network.asked)) <= 6


def test_what_has_become_worse_waits():
    network = Network(second_base=1.0)
    queue = DamageQueue(LAYERS, BASES, bytes_saved)
    assert queue.take(None, network.damages)[0].name == "c"
    network.damage["a"] = 50.0
    assert queue.take(None, network.damages)[0].name == "b"


def test_a_queue_goes_on_from_its_state_and_asks_for_nothing_known():
    network, again = Network(), Network()
    queue = DamageQueue(LAYERS, BASES, bytes_saved)
    queue.take(150, network.damages)
    other = DamageQueue(LAYERS, BASES, bytes_saved)
    other.restore(queue.state())
    assert other.state() == queue.state()
    assert names(other, 80, again) == names(queue, 80, network)
    assert len(again.asked[0]) <= 2


def test_damage_that_is_no_number_goes_last():
    network = Network()
    network.damage["c"] = math.inf
    queue = DamageQueue(LAYERS, BASES, bytes_saved)
    assert names(queue, None, network)[-1][0] == "c"
