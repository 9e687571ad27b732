"""On which days an exchange is open."""

from datetime import date

import pytest

from models.errors import ConfigError
from services.history.exchange import ExchangeCalendar

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the package does with pandas


def test_holidays_and_weekends_are_closed() -> None:
    exchange = ExchangeCalendar("XNYS")
    assert [day for day in range(1, 9) if exchange.is_open(date(2024, 1, day))] == [2, 3, 4, 5, 8]
    assert not exchange.is_open(date(2024, 7, 4))


def test_beyond_what_is_known_no_day_is_closed() -> None:
    assert ExchangeCalendar("XNYS").is_open(date(2099, 1, 1))


def test_an_unknown_exchange_is_refused_with_what_to_give() -> None:
    with pytest.raises(ConfigError, match="no exchange 'NASDAK'; give its market identifier, like XNYS"):
        ExchangeCalendar("NASDAK")
