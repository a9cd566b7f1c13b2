import pytest

from rootless.errors import InvalidRequest
from rootless.network.rate import Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10mbit", Rate(10_000_000, 10_000_000)),
        ("1.5Gbit", Rate(1_500_000_000, 1_500_000_000)),
        ("64000", Rate(64_000, 64_000)),
        ("1mbps", Rate(8_000_000, 8_000_000)),
        ("up=1mbit,down=20mbit", Rate(1_000_000, 20_000_000)),
        ("down=1gbit", Rate(0, 1_000_000_000)),
    ],
)
def test_rates_are_written_as_for_tc(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "fast", "10", "-1mbit", "nanmbit", "infmbit", "up=", "left=1mbit", "1e400mbit"]
)
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(InvalidRequest):
        parse_rate(text)
