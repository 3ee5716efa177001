"""`Limited` retries what may pass and slows down as a whole; times are virtual, the servers simulated."""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core.errors import TargetError
from evalkit.core.protocols import Target
from evalkit.core.types import Reply
from evalkit.targets.wrap import LONGEST_WAIT_S, Limited

RETRIED = ["rate_limit", "server_error", "connection", "timeout", "malformed"]
FINAL = ["auth", "bad_request", "content_filter", "context_length", "empty", "truncated", "target", "unmatched"]


class Simulated:
    """A server in virtual time: `decide` says what becomes of a call, None is an answer."""

    name = "simulated"
    concurrency = 7

    def __init__(self, loop, decide=lambda server: None, latency_s=0.05):
        self.loop, self.decide, self.latency_s = loop, decide, latency_s
        self.calls, self.in_flight, self.most, self.times, self.closed = 0, 0, 0, [], False
        self.refusals = 0

    async def generate(self, request):
        self.calls += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.times.append(self.loop.time())
        try:
            error = self.decide(self)
            if error is not None:
                self.refusals += error.kind == "rate_limit"
                raise error
            await asyncio.sleep(self.latency_s)
            return Reply(text="ok")
        finally:
            self.in_flight -= 1

    async def aclose(self):
        self.closed = True


def failing(kind, times=10**9, retry_after=None):
    def decide(server):
        return TargetError(kind, "no", retry_after=retry_after) if server.calls <= times else None

    return decide


def limited(server, concurrency=64, retries=6, seed=0):
    return Limited(server, concurrency, retries, clock=server.loop.time, rng=random.Random(seed))


def work(loop, target, n, chat, workers=64):
    """n calls by so many workers, as the engine makes them; (replies and errors, seconds)."""

    async def run():
        todo, done = iter(range(n)), []

        async def worker():
            for _ in todo:
                try:
                    done.append(await target.generate(chat.ask()))
                except TargetError as e:
                    done.append(e)

        started = loop.time()
        await asyncio.gather(*(worker() for _ in range(workers)))
        took = loop.time() - started
        await target.aclose()
        return done, took

    return loop.run_until_complete(run())


def replies(done):
    return [d for d in done if isinstance(d, Reply)]


class TestShape:
    def test_it_has_the_shape_of_a_target(self, virtual):
        wrapped = Limited(Simulated(virtual))
        assert isinstance(wrapped, Target)
        assert (wrapped.name, wrapped.concurrency, wrapped.cacheable, wrapped.notes) == ("simulated", 7, True, [])

    def test_closing_it_closes_the_target(self, virtual, chat):
        server = Simulated(virtual)
        work(virtual, limited(server), 1, chat)
        assert server.closed

    def test_what_is_no_target_error_passes_through_and_gives_its_place_back(self, virtual, chat):
        def broken(server):
            raise KeyError("bug")

        target = limited(Simulated(virtual, broken))
        with pytest.raises(KeyError):
            virtual.run_until_complete(target.generate(chat.ask()))
        assert target.throttle.in_flight == 0


class TestRetries:
    @pytest.mark.parametrize("kind", RETRIED)
    def test_a_failure_that_may_pass_is_tried_again_and_attempts_are_counted(self, virtual, chat, kind):
        server = Simulated(virtual, failing(kind, 2))
        target = limited(server)
        (reply,), _ = work(virtual, target, 1, chat)
        assert (reply.text, reply.attempts, server.calls) == ("ok", 3, 3)
        assert target.retried == {kind: 2}

    @pytest.mark.parametrize("kind", FINAL)
    def test_a_failure_that_cannot_pass_is_not(self, virtual, chat, kind):
        server = Simulated(virtual, failing(kind))
        (error,), _ = work(virtual, limited(server), 1, chat)
        assert (error.kind, error.attempts, server.calls) == (kind, 1, 1)

    @pytest.mark.parametrize(
        ("kind", "calls"), [("rate_limit", 7), ("server_error", 7), ("connection", 3), ("timeout", 3), ("malformed", 3)]
    )
    def test_retries_end_with_the_last_failure(self, virtual, chat, kind, calls):
        server = Simulated(virtual, failing(kind))
        (error,), _ = work(virtual, limited(server), 1, chat)
        assert (error.kind, error.attempts, server.calls) == (kind, calls, calls)

    def test_a_server_that_has_answered_is_worth_more_connections(self, virtual, chat):
        server = Simulated(virtual, lambda s: None if s.calls == 1 else TargetError("connection", "no"))
        done, _ = work(virtual, limited(server), 2, chat, workers=1)
        assert [d.attempts for d in done] == [1, 7]

    def test_no_retries_when_none_are_wanted(self, virtual, chat):
        server = Simulated(virtual, failing("server_error"))
        work(virtual, limited(server, retries=0), 1, chat)
        assert server.calls == 1

    @given(st.integers(0, 10**6))
    @settings(max_examples=20)
    def test_backoff_grows_with_full_jitter_up_to_a_bound(self, seed):
        target = Limited(Simulated(None), rng=random.Random(seed))
        target._answers = 1
        waits = [target._wait(TargetError("server_error", "x"), n, 0) for n in range(1, 7)]
        assert all(0 <= w <= 0.5 * 2**i for i, w in enumerate(waits))

    def test_retry_after_of_a_503_is_waited_for(self, virtual, chat):
        server = Simulated(virtual, failing("server_error", 1, retry_after=20))
        work(virtual, limited(server), 1, chat)
        assert server.times[1] - server.times[0] >= 20

    def test_a_server_that_asks_for_hours_has_said_no(self, virtual, chat):
        server = Simulated(virtual, failing("rate_limit", retry_after=LONGEST_WAIT_S * 6))
        done, took = work(virtual, limited(server), 3, chat)
        assert [d.attempts for d in done] == [1, 1, 1]
        assert "3600 s" in str(done[0])
        assert took < 1


class TestTheWholeTargetSlowsDown:
    def test_concurrency_is_a_bound(self, virtual, chat):
        server = Simulated(virtual)
        done, _ = work(virtual, limited(server, 5), 100, chat)
        assert (len(replies(done)), server.most) == (100, 5)

    def test_one_429_stops_all_calls_until_the_time_it_names(self, virtual, chat):
        server = Simulated(
            virtual, lambda s: TargetError("rate_limit", "no", retry_after=10) if s.calls == 30 else None
        )
        done, _ = work(virtual, limited(server, 4), 60, chat, workers=4)
        refused = server.times[29]
        assert len(replies(done)) == 60
        assert not [t for t in server.times if refused < t < refused + 10]

    def test_the_refused_go_before_the_new(self, virtual, chat):
        order = []

        class Once(Simulated):
            async def generate(self, request):
                order.append(request.messages[0].content)
                return await super().generate(request)

        server = Once(virtual, lambda s: TargetError("rate_limit", "no", retry_after=1) if s.calls == 1 else None)
        target = limited(server, 1)

        async def run():
            await asyncio.gather(*(target.generate(chat.ask(str(i))) for i in range(3)))

        virtual.run_until_complete(run())
        assert order == ["0", "0", "1", "2"]

    def test_a_hard_cap_is_found_and_kept(self, virtual, chat):
        def cap(server):
            return TargetError("rate_limit", "no", retry_after=1) if server.in_flight > 16 else None

        server = Simulated(virtual, cap)
        target = limited(server)
        done, took = work(virtual, target, 20_000, chat)
        assert len(replies(done)) == 20_000
        assert server.refusals < 400
        assert 8 <= target.throttle.limit <= 20
        assert took < 1.5 * 20_000 / 16 * 0.05

    def test_refusals_at_random_do_not_bring_it_to_a_standstill(self, virtual, chat):
        luck = random.Random(1)
        server = Simulated(
            virtual, lambda s: TargetError("rate_limit", "no", retry_after=1) if luck.random() < 0.1 else None
        )
        done, took = work(virtual, limited(server), 2000, chat)
        assert len(replies(done)) == 2000
        assert took < 90

    def test_a_rate_limit_is_used_well(self, virtual, chat):
        """20 tokens a second, at most 20 kept: 1,000 calls need 49 s."""
        bucket = {"tokens": 20.0, "at": 0.0}

        def take(server):
            now = server.loop.time()
            bucket["tokens"] = min(20.0, bucket["tokens"] + 20 * (now - bucket["at"]))
            bucket["at"] = now
            if bucket["tokens"] < 1:
                return TargetError("rate_limit", "no", retry_after=1)
            bucket["tokens"] -= 1
            return None

        server = Simulated(virtual, take)
        done, took = work(virtual, limited(server), 1000, chat)
        assert len(replies(done)) == 1000
        assert took < 49 * 1.6

    def test_a_slow_quota_without_retry_after_loses_no_call(self, virtual, chat):
        tokens = {"left": 60.0, "at": 0.0}

        def take(server):
            now = server.loop.time()
            tokens["left"] = min(60.0, tokens["left"] + now - tokens["at"])
            tokens["at"] = now
            if tokens["left"] < 1:
                return TargetError("rate_limit", "no")
            tokens["left"] -= 1
            return None

        done, took = work(virtual, limited(Simulated(virtual, take)), 300, chat)
        assert len(replies(done)) == 300
        assert took < 1.3 * 240

    def test_after_an_outage_it_comes_back_to_full_speed(self, virtual, chat):
        server = Simulated(virtual, lambda s: TargetError("rate_limit", "no") if 1 < s.loop.time() < 10 else None)
        target = limited(server)
        done, took = work(virtual, target, 60_000, chat)
        assert len(replies(done)) == 60_000
        assert target.throttle.limit > 40
        assert took < 1.6 * 60_000 / 64 * 0.05 + 20

    def test_a_cancelled_wait_keeps_no_place(self, virtual, chat):
        server = Simulated(virtual, latency_s=1)
        target = limited(server, 1)

        async def run():
            calls = [asyncio.ensure_future(target.generate(chat.ask())) for _ in range(4)]
            await asyncio.sleep(0.5)
            calls[1].cancel()
            await asyncio.sleep(0.5)  # the second place is given away at this very moment
            calls[2].cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            return [c.cancelled() for c in calls]

        assert virtual.run_until_complete(run())[0::3] == [False, False]
        assert target.throttle.in_flight == 0

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_whatever_the_server_does_every_call_ends_and_every_place_is_given_back(self, data, virtual, chat):
        kinds = st.sampled_from([None, None, "rate_limit", "server_error", "connection", "timeout", "empty"])
        script = data.draw(st.lists(st.tuples(kinds, st.sampled_from([None, 0.0, 0.2, 3.0])), min_size=1, max_size=40))

        def decide(server):
            kind, asked = script[server.calls % len(script)]
            return None if kind is None else TargetError(kind, "x", retry_after=asked)

        server = Simulated(virtual, decide)
        target = limited(server, 5)
        done, _ = work(virtual, target, 60, chat, workers=9)
        assert len(done) == 60
        assert target.throttle.in_flight == 0
        assert server.most <= 5
        assert sum(d.attempts for d in done) == server.calls
