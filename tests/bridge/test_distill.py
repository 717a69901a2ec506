"""Distillation: what it measures, that it learns, that it repeats itself, and what it survives."""

import copy

import numpy as np
import pytest
import torch
from bridge.onnx_models import make, random
from onnx import helper

from onnxbin.binarize import binarize
from onnxbin.bridge import GraphModule
from onnxbin.bridge.binary import BinaryConv2d
from onnxbin.bridge.distill import Distillation, Phase
from onnxbin.bridge.engine import Engine
from onnxbin.detection import Certainty
from onnxbin.errors import OnnxbinError

TARGETS = ["p", "q"]
QUICK = Phase(latent_rate=1e-2, largest_change=1.0, feature_weight=10.0, falling=0.4)
MODEL = make(
    [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.1),
        helper.make_node("Conv", ["b", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["c"], ["d"], alpha=0.1),
        helper.make_node("Conv", ["d", "w2"], ["p"]),
        helper.make_node("Conv", ["d", "w3"], ["q"], strides=[2, 2]),
    ],
    {"x": [1, 3, 8, 8]},
    TARGETS,
    {
        "w0": random(16, 3, 3, 3, seed=1) / 5,
        "w1": random(16, 16, 3, 3, seed=2) / 12,
        "b1": random(16, seed=3),
        "w2": random(4, 16, 1, 1, seed=4) / 4,
        "w3": random(6, 16, 1, 1, seed=5) / 4,
    },
)


class Noise:
    """Images of random numbers; with an rng, of other random numbers."""

    def __init__(self, count, seed=0):
        self._images = random(count, 3, 8, 8, seed=seed)

    def __len__(self):
        return len(self._images)

    def tensor(self, index, rng):
        changed = 0 if rng is None else rng.standard_normal((3, 8, 8)).astype(np.float32) / 4
        return self._images[index] + changed


def student_of(model=MODEL, layer="c", weight="w1"):
    student = GraphModule(model)
    student.binarize(layer, binarize(student.initializers()[weight], 1))
    return student


def distillation(student, model=MODEL, images=None, **arguments):
    arguments = {"targets": TARGETS, "features": ["a", "c"], **arguments}
    return Distillation(GraphModule(model), student, images or Noise(16), Engine("cpu"), **arguments)


def agreement(student, images, model=MODEL, targets=TARGETS):
    """1 - relative distance of the targets, the mean over them, each image alone through both networks."""
    teacher = GraphModule(model)
    distances = []
    with torch.no_grad():
        each = [torch.from_numpy(images.tensor(i, None)[None]) for i in range(len(images))]
        found, wanted = ([module({"x": x}) for x in each] for module in (student, teacher))
    for name in targets:
        a, b = (torch.cat([values[name] for values in run]) for run in (found, wanted))
        distances.append(float((a - b).norm() / b.norm()))
    return 1 - np.mean(distances)


def parameters(module):
    return [p.detach().clone() for p in module.parameters()]


def test_training_brings_the_student_closer_on_images_it_has_not_seen():
    student, held_back = student_of(), Noise(8, seed=9)
    distiller = distillation(student)
    losses = []
    before = agreement(student, held_back)
    distiller.train(60, lambda done, loss: losses.append((done, loss)) is None, phase=QUICK)
    after = agreement(student, held_back)
    assert 1 - after < 0.8 * (1 - before)
    assert [done for done, _ in losses] == list(range(1, 61))
    assert losses[-1][1] < losses[0][1]


@pytest.mark.parametrize("seed", [0, 7])
def test_the_seed_decides_everything(seed):
    results = []
    for used in (seed, seed, seed + 1):
        student = student_of()
        distiller = distillation(student, seed=used)
        distiller.train(3)
        distiller.train(3)
        results.append(parameters(student))
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(results[0], results[2], strict=True))


def test_layers_may_become_binary_between_trainings():
    student = student_of()
    distiller = distillation(student)
    distiller.train(5)
    student.binarize("a", binarize(student.initializers()["w0"], 2))
    before = parameters(student)
    distiller.train(5)
    moved = [not torch.equal(a, b) for a, b in zip(before, parameters(student), strict=True)]
    assert all(moved)
    assert set(student.binary_layers()) == {"a", "c"}


def test_frozen_parameters_stay():
    student = student_of()
    student.freeze(["w2"])
    distillation(student).train(3)
    np.testing.assert_array_equal(student.initializers()["w2"], random(4, 16, 1, 1, seed=4) / 4)
    assert not np.array_equal(student.initializers()["w3"], random(6, 16, 1, 1, seed=5) / 4)


def test_an_interrupted_training_leaves_a_network_that_can_go_on():
    student = student_of()
    distiller = distillation(student)

    def interrupt(done, _):
        if done == 3:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        distiller.train(10, interrupt)
    assert all(p.isfinite().all() for p in student.parameters())
    before = agreement(student, Noise(8))
    distiller.train(40)
    assert agreement(student, Noise(8)) > before


def test_a_training_is_cut_short_and_another_begins():
    student, told = student_of(), []
    distiller = distillation(student)
    distiller.train(10, lambda done, _: told.append(done) or done < 4)
    distiller.train(3, lambda done, _: told.append(done) is None)
    assert told == [1, 2, 3, 4, 1, 2, 3]


def test_divergence_is_reported_and_leaves_the_student_as_it_was():
    images = Noise(4)
    student = student_of()
    distiller = distillation(student, images=images)
    before = parameters(student)
    images._images[:] = np.nan
    with pytest.raises(OnnxbinError, match="diverged at step 1 of 5"):
        distiller.train(5)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(student), strict=True))


def test_a_graph_that_mixes_images_is_trained_one_image_at_a_time():
    """Softmax over an axis into which a reshape has moved the batch: two images together would be normalised
    against each other."""
    model = copy.deepcopy(MODEL)
    model.graph.initializer.append(make([], {}, [], {"s": np.array([16, -1], np.int64)}).graph.initializer[0])
    model.graph.node.extend(
        [helper.make_node("Reshape", ["p", "s"], ["r"]), helper.make_node("Softmax", ["r"], ["t"], axis=0)]
    )
    del model.graph.output[:]
    model.graph.output.extend(make([], {}, ["t"]).graph.output)
    student, held_back = student_of(model), Noise(5, seed=9)
    distiller = distillation(student, model, targets=["t"])

    before = agreement(student, held_back, model, ["t"])
    distiller.train(20, phase=QUICK)
    assert agreement(student, held_back, model, ["t"]) > before


def certainty_of(boxes, place=None):
    """A teacher that is sure of everything, or of one place; the first so many channels decide boxes."""

    def certainties(outputs):
        found = []
        for output in outputs:
            confidence = np.full(output.shape, 0.3, np.float32)
            if place is not None:
                confidence[:] = 0
                confidence[..., place[0], place[1]] = 0.9
            decides = np.zeros(output.shape, bool)
            decides[:, :boxes] = True
            found.append(Certainty(confidence, decides))
        return found

    return certainties


def loss_of(**arguments):
    arguments = {"images": Noise(4), "features": [], **arguments}
    return distillation(student_of(), **arguments).compute_gradients(0)


def errors():
    """Of the same batch by the definition: the relative error of each target."""
    teacher, student, watched = GraphModule(MODEL), student_of(), distillation(student_of(), images=Noise(4))
    x = watched._batch(range(4))
    with torch.no_grad(), Engine("cpu").autocast():
        wanted, got = teacher({"x": x}), student({"x": x})
    pairs = {name: (got[name].float(), wanted[name].float()) for name in TARGETS}
    return np.array([float(watched._spread.relative_error(name, *pair)) for name, pair in pairs.items()])


def test_without_boxes_and_alike_everywhere_confidence_changes_nothing():
    assert loss_of() == pytest.approx(errors().mean(), rel=1e-5)
    assert loss_of(confidence=certainty_of(boxes=0)) == pytest.approx(loss_of(), rel=1e-5)


def test_features_weigh_less_beside_what_the_teacher_is_sure_of():
    features = ["a", "c"]
    alike = loss_of(features=features) - loss_of()
    unlike = certainty_of(boxes=1)
    beside = loss_of(features=features, confidence=unlike) - loss_of(confidence=unlike)
    assert beside == pytest.approx(0.35 * alike, rel=1e-4)


def weighted_error(by_confidence):
    """Of the same batch, by the definition: errors over what the teacher's mean scores on the images as they
    are, boxes (the first channel) and scores half and half.

    by_confidence: the shares of the weight of boxes and of scores that are those of the place (1, 2).
    """
    drawn = distillation(student_of(), images=Noise(4))._batch(range(4))
    plain = torch.from_numpy(np.stack([Noise(4).tensor(i, None) for i in range(4)]))
    with torch.no_grad(), Engine("cpu").autocast():
        looked_at, wanted, got = (
            GraphModule(MODEL)({"x": plain}),
            GraphModule(MODEL)({"x": drawn}),
            student_of()({"x": drawn}),
        )
    errors = []
    for name in TARGETS:
        for share, channels in zip(by_confidence, (slice(0, 1), slice(1, None)), strict=True):
            look, t, f = (values[name].double().numpy()[:, channels] for values in (looked_at, wanted, got))
            weight = np.full(t.shape, 1 - share)
            weight[:, :, 1, 2] += share * t.shape[2] * t.shape[3]
            mean, variance = (each((0, 2, 3), keepdims=True) for each in (look.mean, look.var))
            floor = 0.05 * variance.mean() + 1e-6 * np.square(look).mean()
            error, of_mean = (
                (each.mean((0, 2, 3), keepdims=True) / (variance + floor)).sum()
                for each in (weight * np.square(f - t), weight * np.square(look - mean) + floor)
            )
            errors.append(error / of_mean)
    return float(np.mean(errors))


def test_boxes_have_half_of_the_weight():
    assert loss_of(confidence=certainty_of(boxes=1)) == pytest.approx(weighted_error((0, 0)), rel=1e-5)


def test_where_the_teacher_sees_something_boxes_count_most():
    """A teacher that is sure of one place only."""
    found = loss_of(confidence=certainty_of(boxes=1, place=(1, 2)))
    assert found == pytest.approx(weighted_error((0.9, 0.5)), rel=1e-4)


def test_a_teacher_that_is_sure_of_nothing_weighs_all_alike():
    nothing = certainty_of(boxes=0)

    def unsure(outputs):
        return [Certainty(0 * found.confidence, found.boxes) for found in nothing(outputs)]

    assert loss_of(confidence=unsure) == pytest.approx(loss_of(), rel=1e-5)


def test_latent_weights_search_only_in_the_first_part_of_an_only_training():
    student = student_of()
    (layer,) = (layer for layer in student.layers if isinstance(layer, BinaryConv2d))
    before, moved = layer.latent.detach().clone(), []

    def on_step(done, loss):  # noqa: ARG001
        moved.append(not torch.equal(layer.latent, before))
        before.copy_(layer.latent.detach())
        return True

    still = Phase(latent_rate=0.0, largest_change=1.0, feature_weight=1.0, falling=1.0, searching=0.3)
    distillation(student).train(10, on_step, phase=still)
    assert moved == [True] * 3 + [False] * 7
