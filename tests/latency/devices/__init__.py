import pytest

pytest.register_assert_rewrite("latency.devices.testing")
