"""What quantisers of inputs learn: the gradients of LSQ and of shifted inputs, and where they lead."""

import numpy as np
import pytest
import torch

from onnxbin.bridge.quantizer import LevelQuantizer, SignQuantizer, module_of
from onnxbin.inputs.calibration import fit
from onnxbin.operator import QuantInput, SignInput


def gradients(module, x, weights):
    """Of sum(weights * module(x)) by x, step and zero."""
    x = x.clone().requires_grad_()
    (module(x) * weights).sum().backward()
    return x.grad, module.step.grad, module.zero.grad


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_gradient_of_a_step_is_that_of_lsq(bits):
    """Esser et al., equation 3, for each value: -v/s + round(v/s) inside, the end of the range outside."""
    torch.manual_seed(0)
    step, zero, top = 0.3, 1.25, 2**bits - 1
    module = LevelQuantizer(QuantInput(np.float32([step]), np.float32([zero]), bits))
    x = torch.linspace(-0.7 * step * top, 1.7 * step * top, 400).reshape(1, 4, 10, 10)
    weights = torch.randn_like(x)
    to_x, to_step, to_zero = gradients(module, x, weights)

    place = x / step + zero
    q = torch.floor(place + 0.5)
    inside = (q >= 0) & (q <= top)
    slope = torch.where(inside, q - place, torch.where(q < 0, 0.0, float(top)) - zero)
    scale = 1 / np.sqrt(x.numel() * top)
    torch.testing.assert_close(to_x, weights * inside)
    torch.testing.assert_close(to_step, (weights * slope).sum().reshape(1) * scale, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(to_zero, -(weights * ~inside).sum().reshape(1) * step * scale)


def test_thresholds_learn_as_a_shift_of_their_channel_does():
    torch.manual_seed(0)
    module = SignQuantizer(SignInput(np.float32([0.5]), np.float32([-0.2, 0, 0.4])))
    x, weights = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)
    to_x, to_step, to_zero = gradients(module, x, weights)
    distance = x - module.zero.detach()
    torch.testing.assert_close(to_x, weights * (distance.abs() <= 0.5))
    torch.testing.assert_close(to_zero.reshape(-1), -to_x.sum((0, 2, 3)))
    signs = torch.where(distance >= 0, 1.0, -1.0)
    torch.testing.assert_close(to_step, (weights * signs).sum().reshape(1) / np.sqrt(x.numel()))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_a_wrong_step_is_learned_right(bits, factor):
    """By the error of the values themselves, from far off to near the best that there is."""
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(0, 2, (500, 3))).astype(np.float32)
    values -= values.mean(axis=0)
    best = fit(bits, values)
    x = torch.from_numpy(values)[:, :, None, None]

    def error(module):
        return (module(x) - x).square().mean()

    start = module_of(best)
    with torch.no_grad():
        start.step *= factor
    before, least = error(start).item(), error(module_of(best)).item()
    optimizer = torch.optim.Adam(start.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        error(start).backward()
        optimizer.step()
    after = error(start).item()
    assert after < least + 0.1 * (before - least)


def test_a_step_stays_above_zero():
    module = module_of(QuantInput(np.float32([1e-3]), np.float32([0]), 4))
    with torch.no_grad():
        module.step -= 1
    assert module.quantizer().step > 0
    assert np.isfinite(1 / module.quantizer().step)
    x = torch.randn(1, 2, 3, 3)
    np.testing.assert_array_equal(module(x).detach().numpy(), module.quantizer()(x.numpy()))
