"""A small anchor-free pedestrian detector, made so that one bit per weight pays.

Nearly all of its parameters are weights of 3x3 convolutions with many channels, at strides 16 and 32, where
a weight is used for few pixels. Three levels see the street, at strides 8, 16 and 32, the coarser added into
the finer (as in a feature pyramid, Lin et al., arXiv 1612.03144), and each cell of a level predicts one box,
as in YOLOX (Ge et al., arXiv 2107.08430, section 2.1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1
"""Of every LeakyReLU below zero."""

STRIDES = (8, 16, 32)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, LeakyReLU; with `skip`, the input is added to the outcome."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, skip: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        y = functional.leaky_relu(self.norm(self.conv(x)), SLOPE)
        return x + y if self.skip else y


class StreetDetector(nn.Module):
    """Images [N, 3, H, W], RGB in 0..1, H and W multiples of 32, to detections [N, 5, cells].

    The rows are cx, cy, width, height in pixels of the input and the score in 0..1; the cells are those of
    each stride in turn, row by row: the layout of YOLOv8 with one class. Boxes overlap: no suppression.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBlock(3, 16, stride=2)
        self.stage4 = ConvBlock(16, 24, stride=2)
        self.stage8 = nn.Sequential(ConvBlock(24, 64, stride=2), ConvBlock(64, 64, skip=True))
        self.stage16 = nn.Sequential(ConvBlock(64, 128, stride=2), ConvBlock(128, 128, skip=True))
        self.stage32 = ConvBlock(128, 128, stride=2)
        self.lateral = ConvBlock(128, 64, kernel=1)
        self.fuse = ConvBlock(64, 64)
        self.heads = nn.ModuleList(nn.Conv2d(channels, 5, 1) for channels in (64, 128, 128))
        for head in self.heads:
            # A pedestrian is about one cell wide and three cells tall, and most cells see none.
            head.bias = nn.Parameter(torch.tensor([0.0, 0.0, 0.2, 1.2, -4.0]))

    def forward(self, images: Tensor) -> Tensor:
        """The detections; see the class."""
        fine = self.stage8(self.stage4(self.stem(images)))
        middle = self.stage16(fine)
        coarse = self.stage32(middle)
        middle = middle + upsample(coarse)
        fine = self.fuse(fine + upsample(self.lateral(middle)))
        levels = zip(self.heads, (fine, middle, coarse), STRIDES, strict=True)
        return torch.cat(
            [decode(head(features), stride).flatten(2) for head, features, stride in levels], dim=2
        )


def upsample(x: Tensor) -> Tensor:
    """Every pixel four times: [N, C, H, W] to [N, C, 2 H, 2 W]."""
    return functional.interpolate(x, scale_factor=2.0)


def decode(raw: Tensor, stride: int) -> Tensor:
    """The raw output of a head [N, 5, H, W] as cx, cy, width, height in pixels and the score."""
    x, y, size, score = torch.split(raw, [1, 1, 2, 1], dim=1)
    columns = torch.arange(raw.shape[3]) + 0.5
    rows = torch.arange(raw.shape[2])[:, None] + 0.5
    return torch.cat(
        [(x + columns) * stride, (y + rows) * stride, size.exp() * stride, score.sigmoid()], dim=1
    )
