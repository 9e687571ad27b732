"""Bars a second: from Redis to `on_bar`, past symbols that nobody wants, and to many sessions at once.

Pub/sub keeps nothing, but a server keeps what a subscriber has not read yet. So in every round all sides
subscribe, the bars are published once, and then one side after the other reads the same stream, while nobody
publishes and the others stay still. The sides take turns at being first.
"""

from collections.abc import Callable, Mapping

from benchmarks.effort import Effort
from benchmarks.feed import Publisher, bar, bars, symbols
from benchmarks.floors import BareSocket, ListenLoop, PydanticLoop, Side, call_loop
from benchmarks.hosted import LAST_SYMBOL, HostedSessions
from benchmarks.rows import Floor, Goal, Row, compare
from models.market_data import Bar

SYMBOLS = 100
Rates = dict[str, list[float]]
"""Per side, the messages a second of every round."""


def bars_to_on_bar(url: str, effort: Effort) -> list[Row]:
    """Compare 100 sessions on 100 symbols with a loop that only listens, and with one that validates too."""
    names = symbols(SYMBOLS)
    rates = drain_in_turn(
        url,
        names,
        effort,
        {
            "worker": lambda: HostedSessions(url, dict.fromkeys(names, 1)),
            "listen": lambda: ListenLoop(url),
            "resp2": lambda: ListenLoop(url, protocol=2),
            "pydantic": lambda: PydanticLoop(url),
        },
    )
    floors = (
        (Floor("redis-py listen()", rates["listen"]), Goal(2.0)),
        (Floor("the same with RESP2", rates["resp2"]), None),
        (Floor("socket + pydantic", rates["pydantic"]), Goal(0.8)),
    )
    name = f"bars to on_bar, {SYMBOLS} sessions"
    return [compare(name, "bars/s", rates["worker"], floor, goal) for floor, goal in floors]


def bars_of_one_symbol(url: str, effort: Effort) -> list[Row]:
    """Compare one session among 100 symbols with a bare socket that parses everything and uses nothing."""
    names = symbols(SYMBOLS)
    rates = drain_in_turn(
        url,
        names,
        effort,
        {"worker": lambda: HostedSessions(url, {names[0]: 1}), "socket": lambda: BareSocket(url)},
    )
    floor = Floor("socket + hiredis", rates["socket"])
    return [compare(f"1 of {SYMBOLS} symbols routed", "msg/s", rates["worker"], floor, Goal(0.5))]


def bars_to_many_sessions(url: str, effort: Effort) -> list[Row]:
    """Compare one symbol with many sessions with a loop that calls `on_bar` of as many strategies."""
    (symbol,) = symbols(1)
    count = max(1, effort.events * 10 // effort.sessions)
    told = Bar.decode(bar(symbol, 0))
    rates: Rates = {"worker": [], "loop": []}
    for _ in range(effort.rounds):
        side = HostedSessions(url, {symbol: effort.sessions})
        with Publisher(url) as publisher:
            publisher.publish(bars([symbol], count) + bars([LAST_SYMBOL], 1))
        rates["worker"].append(count * effort.sessions / side.drain(count + 1))
        seconds = call_loop(list(side.counting), (told for _ in range(count)))
        rates["loop"].append(count * effort.sessions / seconds)
    floor = Floor("loop of on_bar", rates["loop"])
    return [compare(f"bars × {effort.sessions} sessions", "calls/s", rates["worker"], floor, Goal(0.5))]


def drain_in_turn(
    url: str, names: list[str], effort: Effort, sides: Mapping[str, Callable[[], Side]]
) -> Rates:
    """Have every side read the same bars in every round; return their rates."""
    stream = bars(names, effort.events) + bars([LAST_SYMBOL], 1)
    count = effort.events + 1
    rates: Rates = {name: [] for name in sides}
    with Publisher(url) as publisher:
        for turn in range(effort.rounds):
            waiting = {name: make() for name, make in sides.items()}
            publisher.publish(stream)
            order = list(waiting)
            first = turn % len(order)
            for name in order[first:] + order[:first]:
                rates[name].append(count / waiting[name].drain(count))
    return rates
