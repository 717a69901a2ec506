"""The pinhole camera against the equations of a pinhole camera."""

import math

import numpy as np
import pytest
from camera import NEAR, Camera
from hypothesis import given
from hypothesis import strategies as st

LEVEL = Camera(focal=400, horizon=150, centre=250, height=1.5, x=2.0, yaw=0.0)


def test_point_on_the_ground_lies_below_the_horizon_by_focal_times_height_over_distance():
    assert LEVEL.project(np.array([[2.0, 0.0, 8.0]]))[0] == pytest.approx((250, 150 + 400 * 1.5 / 8))


def test_what_is_as_high_as_the_camera_lies_on_the_horizon_at_any_distance():
    points = np.array([[0.0, 1.5, 3.0], [5.0, 1.5, 70.0]])
    assert LEVEL.project(points)[:, 1] == pytest.approx([150, 150])


@given(yaw=st.floats(-1, 1), distance=st.floats(1, 80))
def test_turned_camera_sees_in_the_middle_what_it_is_turned_to(yaw, distance):
    camera = Camera(focal=400, horizon=150, centre=250, height=1.5, x=-1.0, yaw=yaw)
    target = np.array([[-1.0 + distance * math.sin(yaw), 1.5, distance * math.cos(yaw)]])
    assert camera.project(target)[0] == pytest.approx((250, 150), abs=1e-6)


@given(yaw=st.floats(-1, 1), right=st.floats(-20, 20), ahead=st.floats(1, 80))
def test_ground_is_where_view_sees_it(yaw, right, ahead):
    camera = Camera(focal=400, horizon=150, centre=250, height=1.5, x=3.0, yaw=yaw)
    x, z = camera.ground(right, ahead)
    assert camera.view(np.array([[x, 0.0, z]]))[0] == pytest.approx((right, -1.5, ahead), abs=1e-9)
    assert camera.distance(x, z) == pytest.approx(ahead)


def test_polygon_is_cut_where_it_passes_the_camera():
    strip = np.array([[1.0, 0.0, -5.0], [3.0, 0.0, -5.0], [3.0, 0.0, 10.0], [1.0, 0.0, 10.0]])
    rows = LEVEL.project(strip)[:, 1]
    assert sorted(rows) == pytest.approx(sorted([150 + 600 / NEAR] * 2 + [150 + 600 / 10] * 2))


def test_nothing_is_left_of_a_polygon_behind_the_camera():
    assert LEVEL.project(np.array([[1.0, 0.0, -5.0], [3.0, 0.0, -5.0], [3.0, 0.0, -1.0]])).shape == (0, 2)
