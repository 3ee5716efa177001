"""How fast the monitor steps, and how many times faster than the reference evaluator. Prints; asserts nothing.

make perf-monitor        (or: python tests/perf/monitor.py)
"""

import random
import time

from evalkit.core import semantics
from evalkit.core.events import Event, action
from evalkit.core.monitor import MonitorSet, compile_rule
from evalkit.core.ruletext import parse

RULES = {
    "forbid": {"forbid": {"call": "delete_*", "where": {"scope": "all"}}},
    "forbid where": {"forbid": {"call": "refund", "where": {"amount": ">900", "user": "!=$user"}}},
    "require": {"require": {"call": "log_out"}},
    "before": {"require": {"call": "verify"}, "before": {"call": "refund"}, "since": {"call": "switch_user"}},
    "within": {"when": {"call": "refund"}, "then": {"require": {"call": "notify"}, "within": "200 steps"}},
    "count": {"limit": {"count": {"call": "refund", "ok": False}, "max": 10**9}},
    "sum": {"limit": {"sum": "amount", "of": {"call": "refund"}, "max": 10**9, "within": "20 steps"}},
    "distinct": {"limit": {"distinct": "order_id", "of": {"call": "view"}, "max": 10**9, "per": "user"}},
    "for_each": {
        "for_each": {"order": "order_id"},
        "require": {"call": "view", "where": {"order_id": "$order"}},
        "before": {"call": "cancel", "where": {"order_id": "$order", "confirmed": False}},
    },
    "data flow": {
        "tags": {"secret": {"from": {"call": "read_record"}}},
        "forbid": {"call": "send", "carries": "secret"},
    },
    "web": {
        "require": {"do": "click", "target": "Confirm*"},
        "before": {"do": "click", "target": "Pay now"},
        "since": {"do": "goto"},
    },
}
WORLD = {"user": "u1"}


def trace(n: int, seed: int = 0) -> list[Event]:
    """A long dialogue of calls, actions and messages that breaks none of the rules before its end."""
    rng = random.Random(seed)
    found: list[Event] = [Event("call", "verify"), action("click", "button", "Confirm order")]
    found += [Event("call", "view", arguments={"order_id": f"o{k}", "user": "u1"}) for k in range(200)]
    while len(found) < n:
        k = len(found)
        found.append(rng.choice([
            Event("call", "search", arguments={"query": "a lamp for the hall"}),
            Event("call", "view", arguments={"order_id": f"o{rng.randrange(200)}", "user": "u1"}),
            Event("call", "refund", arguments={"amount": rng.randrange(1, 900), "user": "u1", "order_id": f"o{k % 200}"}),
            Event("call", "notify", arguments={"user": "u1"}),
            Event("call", "cancel", arguments={"order_id": f"o{rng.randrange(200)}", "confirmed": False}),
            Event("call", "read_record", result={"diagnosis": f"case {k % 50} of asthma"}),
            Event("call", "send", arguments={"to": "a@b.example", "body": "your order is on its way"}),
            action("click", "link", "My orders"),
            action("click", "button", "Pay now"),
            action("type", "textbox", "Search", "lamp"),
            Event("message", "user", actor="user", text="And the next one, please."),
        ]))  # fmt: skip
    return found


def main() -> None:
    events, short = trace(50_000), trace(240)
    total_steps = total_s = 0.0
    print(f"{'rule':14} {'steps/s':>12} {'reference steps/s':>18} {'ratio':>8}   end")
    for name, mapping in RULES.items():
        rule = parse(mapping)
        program = compile_rule(rule)
        program.start(WORLD).step(events[0])  # names are learnt
        monitor = program.start(WORLD)
        step = monitor.step
        began = time.process_time()
        for e in events:
            step(e)
        took = time.process_time() - began
        assert monitor.index == len(events) - 1
        began = time.process_time()
        for k in (len(short) - 1, len(short)):
            semantics.judge(rule, short[:k], WORLD)
        slow = 2 / (time.process_time() - began)
        total_steps, total_s = total_steps + len(events), total_s + took
        rate = len(events) / took
        print(f"{name:14} {rate:12,.0f} {slow:18,.1f} {rate / slow:8,.0f}x  {monitor.end()} {monitor.status}")
    print(
        f"{'all':14} {total_steps / total_s:12,.0f}   ({len(RULES)} rules x {len(events):,} events, CPU seconds, one core)"
    )
    watch = MonitorSet([compile_rule(parse(m)) for m in RULES.values()], WORLD)
    began = time.process_time()
    for e in events:
        watch.step(e)
    took = time.process_time() - began
    print(
        f"{'MonitorSet':14} {len(events) * len(RULES) / took:12,.0f} rule steps/s, {len(events) / took:,.0f} events/s"
    )


if __name__ == "__main__":
    main()
