"""`Cached`: the same request is asked once; whatever is wrong with the file, the run goes on."""

import asyncio
import multiprocessing
import os
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import TargetError
from evalkit.core.protocols import Target
from evalkit.core.types import Message, Reply, Request, ToolCall, Usage
from evalkit.targets.wrap import Cached, Limited, pack, request_key, unpack

TEXT = st.text(max_size=20)


class Counting:
    """Answers with the number of the call, or fails."""

    name = "counting"
    concurrency = 4
    notes = ("a note",)

    def __init__(self, fail=None, **fields):
        self.calls, self.fail, self.closed = 0, fail, False
        for key, value in fields.items():
            setattr(self, key, value)

    async def generate(self, request):
        self.calls += 1
        if self.fail:
            raise self.fail
        return Reply(text=f"answer {self.calls}", latency_s=0.5, model="m", usage=Usage(prompt_tokens=3, cost=0.01))

    async def aclose(self):
        self.closed = True


def ask(text="hi", **fields):
    return Request(messages=(Message(role="user", content=text),), **fields)


def rows(path):
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT count(*) FROM replies").fetchone()[0]
    finally:
        db.close()


class TestAnswers:
    async def test_the_second_time_nothing_is_asked_and_it_is_said(self, tmp_path):
        target = Counting()
        cached = Cached(target, tmp_path / "deep" / "cache.sqlite")
        first, second = await cached.generate(ask()), await cached.generate(ask())
        assert (first.cached, first.latency_s) == (False, 0.5)
        assert (second.text, second.cached, second.latency_s, second.model) == ("answer 1", True, None, "m")
        assert second.usage == first.usage
        assert (target.calls, cached.hits) == (1, 1)
        await cached.aclose()
        assert target.closed

    async def test_answers_outlive_the_process(self, tmp_path):
        for expected in (False, True):
            cached = Cached(Counting(), tmp_path / "c")
            assert (await cached.generate(ask())).cached is expected
            await cached.aclose()

    async def test_failures_are_not_kept(self, tmp_path):
        cached = Cached(Counting(fail=TargetError("empty", "nothing")), tmp_path / "c")
        for _ in range(2):
            with pytest.raises(TargetError):
                await cached.generate(ask())
        assert cached.target.calls == 2
        await cached.aclose()
        assert rows(tmp_path / "c") == 0

    async def test_two_servers_with_one_name_are_kept_apart(self, tmp_path):
        for identity in ("a", "b"):
            cached = Cached(Limited(Counting(identity=identity)), tmp_path / "c")
            assert not (await cached.generate(ask())).cached
            await cached.aclose()

    async def test_targets_that_cannot_be_cached_are_not(self, tmp_path):
        target = Counting(cacheable=False)
        cached = Cached(Limited(target), tmp_path / "c")
        await cached.generate(ask())
        await cached.generate(ask())
        assert target.calls == 2
        assert not (tmp_path / "c").exists()
        await cached.aclose()

    async def test_it_has_the_shape_of_a_target(self, tmp_path):
        cached = Cached(Counting(), tmp_path / "c")
        assert isinstance(cached, Target)
        assert (cached.name, cached.concurrency, cached.notes) == ("counting", 4, ["a note"])
        await cached.aclose()

    async def test_pending_answers_are_written_after_a_while(self, tmp_path):
        cached = Cached(Counting(), tmp_path / "c", flush_s=0.02)
        await cached.generate(ask())
        for _ in range(200):
            if rows(tmp_path / "c"):
                break
            await asyncio.sleep(0.02)
        assert rows(tmp_path / "c") == 1
        await cached.aclose()

    async def test_a_full_batch_is_written_at_once(self, tmp_path):
        cached = Cached(Counting(), tmp_path / "c", batch=3, flush_s=1000)
        for i in range(4):
            await cached.generate(ask(str(i)))
        assert rows(tmp_path / "c") == 3
        await cached.aclose()
        assert rows(tmp_path / "c") == 4


class TestKeys:
    VARIANTS = (
        ask(),
        ask("ho"),
        ask(params={"seed": 1}),
        ask(params={"seed": 2}),
        ask(epoch=1),
        ask(tools=({"type": "function"},)),
        Request(messages=(Message(role="system", content="hi"),)),
        Request(messages=(Message(role="user", content="hi"), Message(role="user", content=""))),
        Request(messages=(Message(role="tool", content="hi", tool_call_id="1"),)),
        Request(messages=(Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments="{}"),)),)),
        Request(messages=(Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments="[]"),)),)),
    )

    def test_everything_that_shapes_an_answer_is_in_the_key(self):
        keys = {request_key(["t", {}], r) for r in self.VARIANTS}
        keys |= {request_key(["other", {}], ask()), request_key(["t", {"top_p": 1}], ask())}
        assert len(keys) == len(self.VARIANTS) + 2

    def test_the_order_of_parameters_is_not(self):
        assert request_key([], ask(params={"a": 1, "b": 2})) == request_key([], ask(params={"b": 2, "a": 1}))

    @given(TEXT, TEXT, TEXT, TEXT)
    def test_no_two_conversations_share_a_key(self, a, b, c, d):
        one = Request(messages=(Message(role="user", content=a), Message(role="assistant", content=b)))
        two = Request(messages=(Message(role="user", content=c), Message(role="assistant", content=d)))
        assert (request_key([], one) == request_key([], two)) == ((a, b) == (c, d))

    def test_what_is_no_utf8_has_a_key_too(self):
        assert request_key([], ask("\ud800")) != request_key([], ask("\ud801"))
        assert request_key([], ask(params={"seed": 2**80})) != request_key([], ask(params={"seed": 2**81}))

    @given(
        st.builds(
            Reply,
            text=TEXT,
            stop=st.sampled_from(["stop", "length", "tool_calls", "other"]),
            usage=st.builds(Usage, prompt_tokens=st.integers(0, 10**9), cost=st.none() | st.floats(0, 100)),
            model=st.none() | TEXT,
            reasoning=st.none() | TEXT,
            tool_calls=st.lists(st.builds(ToolCall, id=TEXT, name=TEXT, arguments=TEXT), max_size=2).map(tuple),
            cached=st.just(True),
        )
    )
    def test_a_reply_comes_back_as_it_was(self, reply):
        assert unpack(pack(reply)) == reply

    @given(st.binary(max_size=50))
    def test_a_foreign_row_is_no_reply(self, row):
        assert unpack(row) is None

    def test_a_reply_that_cannot_be_written_is_not_kept(self):
        assert pack(Reply(text="\ud800")) is None


class TestTrouble:
    """Each way a file can be wrong: one note, one warning, all answers."""

    async def check(self, path, said):
        warned = []
        cached = Cached(Counting(notes=()), path, warn=warned.append)
        texts = [(await cached.generate(ask())).text for _ in range(2)]
        await cached.aclose()
        assert texts == ["answer 1", "answer 2"]
        assert len(cached.notes) == 1
        assert warned == cached.notes
        assert "\n" not in warned[0]
        assert str(path) in warned[0]
        assert said in warned[0]

    async def test_a_file_that_is_no_database(self, tmp_path):
        (tmp_path / "c").write_text("these are my notes, not a database at all " * 100)
        await self.check(tmp_path / "c", "not a database")
        assert "my notes" in (tmp_path / "c").read_text()

    async def test_a_folder_in_its_place(self, tmp_path):
        await self.check(tmp_path, "unable to open")

    async def test_a_file_where_its_folder_should_be(self, tmp_path):
        (tmp_path / "f").touch()
        await self.check(tmp_path / "f" / "c", "f")

    async def test_another_format(self, tmp_path):
        db = sqlite3.connect(tmp_path / "c")
        db.execute("PRAGMA user_version = 99")
        db.close()
        await self.check(tmp_path / "c", "format 99")

    async def test_another_table_of_that_name(self, tmp_path):
        db = sqlite3.connect(tmp_path / "c")
        db.execute("CREATE TABLE replies (x)")
        db.close()
        await self.check(tmp_path / "c", "no such column")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    async def test_a_folder_that_may_not_be_written(self, tmp_path):
        tmp_path.chmod(0o500)
        await self.check(tmp_path / "c", "unable to open")

    async def test_a_file_that_breaks_while_it_is_used(self, tmp_path):
        warned = []
        cached = Cached(Counting(notes=()), tmp_path / "c", warn=warned.append, batch=1)
        for i in range(300):
            await cached.generate(ask(str(i)))
        size = (tmp_path / "c").stat().st_size
        for file in tmp_path.iterdir():
            with file.open("r+b") as f:
                f.write(b"\xff" * max(size, file.stat().st_size))
        texts = [(await cached.generate(ask(f"new {i}"))).text for i in range(5)]
        await cached.aclose()
        assert texts == [f"answer {i}" for i in range(301, 306)]
        assert len(warned) <= 1

    async def test_a_lock_held_by_another_delays_the_writing_only(self, tmp_path):
        cached = Cached(Counting(notes=()), tmp_path / "c", batch=1)
        other = sqlite3.connect(tmp_path / "c", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert (await cached.generate(ask("a"))).text == "answer 1"
        assert (await cached.generate(ask("a"))).text == "answer 1"
        other.execute("COMMIT")
        other.close()
        await cached.aclose()
        assert (cached.notes, rows(tmp_path / "c")) == ([], 1)

    async def test_a_row_that_is_none_of_ours_is_asked_again_and_mended(self, tmp_path):
        cached = Cached(Counting(), tmp_path / "c", batch=1)
        await cached.generate(ask())
        db = sqlite3.connect(tmp_path / "c")
        with db:
            db.execute("UPDATE replies SET reply = ?", (b"{}",))
        db.close()
        await cached.generate(ask("other"))  # the end of the snapshot
        assert (await cached.generate(ask())).text == "answer 3"
        assert (await cached.generate(ask())).cached
        await cached.aclose()


def _fill(path, start):
    async def run():
        cached = Cached(Counting(), path, batch=5)
        for i in range(start, start + 200):
            await cached.generate(ask(str(i)))
            await asyncio.sleep(0)
        await cached.aclose()
        return cached.notes[1:]

    return asyncio.run(run())


def test_several_processes_share_the_file(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        notes = pool.starmap(_fill, [(tmp_path / "c", start) for start in (0, 100, 200)])
    assert notes == [[], [], []]
    assert rows(tmp_path / "c") == 400
