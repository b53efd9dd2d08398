# SPDX-License-Identifier: Apache-2.0
"""What a bench says of a ratio: whether it is as wanted, unless what it is measured with is coarser than that."""

import pytest

from bench.figures import Bound


@pytest.mark.parametrize(
    ("value", "apart", "verdict"),
    [
        (1.015, 0.003, "as wanted"),
        (1.020, 0.020, "as wanted"),
        (1.031, 0.003, "more than wanted"),
        (1.015, 0.040, "tells nothing: the control lies 0.040 from 1"),
        (1.031, 0.040, "tells nothing: the control lies 0.040 from 1"),
    ],
)
def test_a_ratio_finer_than_its_control_tells_nothing(value, apart, verdict):
    line = Bound("profiled : plain", value, 1.02, apart).line()
    assert line.split("(wanted: at most 1.020) ")[1] == verdict
