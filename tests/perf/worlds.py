"""How fast worlds, scripted dialogues and events are, in CPU time; prints, asserts nothing."""

import json
import time
from collections.abc import Callable

from evalkit.benchmarks import domain as domains
from evalkit.benchmarks import events, suites
from evalkit.benchmarks.world import World, template


def per_second(what: str, work: Callable[[], object], times: int) -> None:
    work()
    started, clock = time.process_time(), time.perf_counter()
    for _ in range(times):
        work()
    spent, wall = time.process_time() - started, time.perf_counter() - clock
    print(f"{what:<48} {spent / times * 1000:8.2f} ms of CPU, {wall / times * 1000:8.2f} ms on the clock")


def main() -> None:
    started = time.process_time()
    travel = domains.load("travel")
    print(f"{'reading and checking the domain travel':<48} {(time.process_time() - started) * 1000:8.2f} ms of CPU")
    started = time.process_time()
    template(travel)
    print(f"{'its template database':<48} {(time.process_time() - started) * 1000:8.2f} ms of CPU")
    event = events.build(travel, ["basic-stays", "amount-consent", "verify-first"], 1)
    assert isinstance(event, events.Event)
    rows = list(events.rows_of(event))
    per_second("opening and closing a world", lambda: World(travel, rows).close(), 200)
    booking = json.dumps({"booking_id": next(r["id"] for table, r in rows if table == "bookings")})
    with World(travel, rows) as world:
        assert world.call("get_booking", booking).ok
        per_second("one read", lambda: world.call("get_booking", booking), 1000)
        per_second("one write", lambda: world.call("send_confirmation", booking), 1000)
        per_second("a snapshot", world.snapshot, 200)
    per_second("a scripted dialogue of three policies, checked", lambda: events.play(travel, event, event.gold), 200)
    seeds = iter(range(10**6))
    policies = ["basic-stays", "amount-consent", "verify-first"]
    per_second("an event of three policies, proven", lambda: events.build(travel, policies, next(seeds)), 100)
    started = time.process_time()
    n = sum(1 for _ in suites.build("intellagent", {"domains": "travel"}).read())
    print(f"{f'the suite: {n} scenarios of travel':<48} {(time.process_time() - started) * 1000:8.2f} ms of CPU")


if __name__ == "__main__":
    main()
