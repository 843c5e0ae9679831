"""The test cases that Optuna ships for samplers."""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from search import G4Sampler


class TestG4Sampler(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: G4Sampler(seed=0)


@pytest.mark.slow
class TestG4SamplerWithItsModel(BasicSamplerTestCase, RelativeSamplerTestCase):
    """The process takes over at the second trial."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: G4Sampler(seed=0, startup=1)
