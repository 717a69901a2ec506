"""Pruning by clustering: of channels that show the same, one is kept.

As in Depth-Width Reshaping (AAAI 2023): the feature maps of each convolution are averaged over some hundreds
of images; each channel's mean map, laid flat, is a vector; vectors are clustered by DBSCAN (Ester et al.,
1996) under the cosine distance. A layer's new width is its clusters plus the channels that are in none.

Here a channel may be made by several convolutions, whose outputs are added: its vector is made of its maps in
all of them, each in units of the root mean square of that convolution's maps. The channel of a cluster that
is nearest to all of its others stays; the weights that read the others go to it, times what makes it most
like them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from onnxbin.agreement import run, with_outputs
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageSet
from onnxbin.operator import stock_session
from onnxbin.reshape.channels import Dependencies, Group
from onnxbin.reshape.network import Network
from onnxbin.reshape.rewrite import Change, Conflict, rewritten

EPS = 0.02
"""Channels nearer than this are neighbours; the paper searches from 0.008 to 0.02."""

MIN_SAMPLES = 5
"""A channel with so many neighbours, itself among them, is inside a cluster."""

IMAGES = 400
"""That feature maps are averaged over, at most."""

Maps = dict[str, npt.NDArray[np.float64]]
"""Convolution -> the mean map of each of its channels, [C, H * W]."""


def pruned(network: Network, images: ImageSet, eps: float = EPS) -> Network:
    """The network with one channel of each cluster; not trained.

    images: unlabelled. eps: see `EPS`. Raises OnnxbinError where scikit-learn is missing.
    """
    maps = mean_maps(network, images)
    frozen: dict[int, str] = {}
    while True:
        dependencies = Dependencies(network, frozen)
        try:
            proto = rewritten(dependencies, merging(dependencies, maps, eps))
            return Network(proto, network.size)
        except Conflict as conflict:
            frozen.update(dict.fromkeys(conflict.channels, conflict.reason))


def mean_maps(network: Network, images: ImageSet) -> Maps:
    """The outputs of all Convs, averaged over the images."""
    names = [node.output[0] for node in network.nodes if node.op_type == "Conv"]
    session = stock_session(with_outputs(network.proto, names))
    sums: Maps = {}
    count = min(len(images), IMAGES)
    for index in range(count):
        found = run(session, names, images.target.feed([images.tensor(index)]))
        for name, value in zip(names, found, strict=True):
            sums[name] = sums.get(name, 0.0) + value[0].reshape(value.shape[1], -1).astype(np.float64)
    return {name: total / count for name, total in sums.items()}


def merging(dependencies: Dependencies, maps: Maps, eps: float) -> Change:
    """What of each group is left, and what stands for the rest."""
    counts: dict[int, int] = {}
    merged: dict[int, tuple[int, float]] = {}
    for group in dependencies.groups:
        makers = [name for name in group.makers if name in maps]
        if group.frozen is not None or not makers or len(group.bundles) <= MIN_SAMPLES:
            continue
        vectors = _vectors(dependencies, group, makers, maps)
        clusters = _clusters(vectors, eps)
        if len(clusters) == 1 and len(clusters[0]) == len(vectors):
            clusters[0] = clusters[0][:-1]  # a group keeps two at least, see Change
        for members in clusters:
            kept = members[_most_like_others(vectors[members])]
            for member in members:
                if member != kept:
                    factor = vectors[member] @ vectors[kept] / (vectors[kept] @ vectors[kept])
                    counts[group.bundles[member]] = 0
                    merged[group.bundles[member]] = (group.bundles[kept], float(factor))
    return Change(counts, merged)


def _vectors(
    dependencies: Dependencies, group: Group, makers: Sequence[str], maps: Maps
) -> npt.NDArray[np.float64]:
    """[bundles, values]: the maps of a bundle's channels in all convolutions that make it."""
    places = {bundle: place for place, bundle in enumerate(group.bundles)}
    rows: list[list[npt.NDArray[np.float64]]] = [[] for _ in group.bundles]
    for maker in makers:
        unit = np.sqrt(np.square(maps[maker]).mean()) or 1.0
        for channel, bundle in enumerate(dependencies.bundle(dependencies.made[maker]).tolist()):
            if bundle in places:
                rows[places[bundle]].append(maps[maker][channel] / unit)
    return np.stack([np.concatenate(row) for row in rows])


def _clusters(vectors: npt.NDArray[np.float64], eps: float) -> list[npt.NDArray[np.int64]]:
    """The positions of each cluster's vectors. Vectors of zeros, which have no direction, are in none."""
    try:
        from sklearn.cluster import DBSCAN
    except ModuleNotFoundError:
        raise OnnxbinError("--prune needs scikit-learn: `pip install 'onnxbin[reshape]'`") from None
    chosen = np.flatnonzero(np.square(vectors).sum(1) > 0)
    if len(chosen) < MIN_SAMPLES:
        return []
    labels = DBSCAN(eps=eps, min_samples=MIN_SAMPLES, metric="cosine").fit(vectors[chosen]).labels_
    return [chosen[labels == label] for label in range(labels.max() + 1)]


def _most_like_others(vectors: npt.NDArray[np.float64]) -> int:
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return int((directions @ directions.sum(0)).argmax())
