"""The queue and the grouping, with a decoder that only counts."""

import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import TargetError
from evalkit.targets.batched import WORTH_SHARING, Job, Worker, advance, common, first_stop, share


class Counting:
    """Answers a prompt [n, ...] with n, n-1, ..., 1 and then ends."""

    def __init__(self, rows=4, breaks_at=None, memory=None):
        self.rows, self.breaks_at, self.memory = rows, breaks_at, memory
        self.jobs: list[Job] = []
        self.sizes: list[int] = []

    def active(self):
        return list(self.jobs)

    def admit(self, waiting: deque[Job]):
        while waiting and len(self.jobs) < self.rows:
            job = waiting.popleft()
            job.started = 1.0
            self.jobs.append(job)

    def step(self):
        self.sizes.append(len(self.jobs))
        if self.memory is not None and len(self.jobs) > self.memory:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        for job in self.jobs:
            left = job.ids[0] - len(job.out)
            if left == self.breaks_at:
                raise ZeroDivisionError("a bad batch")
            advance(job, left, {0}, str)
        ended = [j for j in self.jobs if j.stop or j.cancelled]
        self.jobs = [j for j in self.jobs if j not in ended]
        return ended

    def clear(self):
        self.jobs = []


class Asked:
    """Jobs and the event that all were delivered."""

    def __init__(self, *lengths, max_tokens=100):
        self.delivered: list[Job] = []
        self.all_done = threading.Event()
        self.jobs = [Job(ids=[n], deliver=self._take, max_tokens=max_tokens) for n in lengths]

    def _take(self, job):
        self.delivered.append(job)
        if len(self.delivered) == len(self.jobs):
            self.all_done.set()

    def through(self, worker):
        for job in self.jobs:
            worker.put(job)
        assert self.all_done.wait(20)
        return self


@pytest.fixture
def worker_for():
    made = []

    def make(decoder):
        made.append(Worker(lambda: decoder, "test"))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def test_every_job_is_delivered_once_with_its_answer(worker_for):
    decoder = Counting(rows=3)
    asked = Asked(*range(1, 12)).through(worker_for(decoder))
    assert [j.out for j in asked.jobs] == [list(range(n, 0, -1)) for n in range(1, 12)]
    assert {j.stop for j in asked.jobs} == {"stop"}
    assert len(asked.delivered) == 11
    assert max(decoder.sizes) == 3


def test_the_length_limit_ends_an_answer(worker_for):
    asked = Asked(9, max_tokens=4).through(worker_for(Counting()))
    assert asked.jobs[0].out == [9, 8, 7, 6]
    assert asked.jobs[0].stop == "length"


def test_an_error_goes_to_its_batch_and_the_next_jobs_work(worker_for):
    worker = worker_for(Counting(rows=8, breaks_at=5))
    bad = Asked(2, 7).through(worker)
    assert isinstance(bad.jobs[1].error, ZeroDivisionError)
    assert Asked(3).through(worker).jobs[0].out == [3, 2, 1]


def test_out_of_memory_halves_the_batch_until_it_fits(worker_for):
    decoder = Counting(rows=16, memory=3)
    asked = Asked(*range(1, 17)).through(worker_for(decoder))
    assert [j.out for j in asked.jobs] == [list(range(n, 0, -1)) for n in range(1, 17)]
    assert decoder.rows <= 3


def test_out_of_memory_with_one_row_is_an_error(worker_for):
    asked = Asked(4, 5).through(worker_for(Counting(memory=0)))
    assert all("allocate" in str(j.error) for j in asked.jobs)


def test_a_cancelled_job_leaves_the_batch_and_the_worker_lives(worker_for):
    worker = worker_for(Counting(rows=2))
    asked = Asked(10**9, 3, 4, max_tokens=10**9)
    asked.jobs[0].cancelled = True  # before it starts
    asked.jobs[0].deliver = lambda job: None
    for job in asked.jobs:
        worker.put(job)
    assert Asked(5).through(worker).jobs[0].out == [5, 4, 3, 2, 1]
    assert asked.jobs[1].out == [3, 2, 1]
    running = Asked(10**9, max_tokens=10**9)
    worker.put(running.jobs[0])
    threading.Timer(0.05, lambda: setattr(running.jobs[0], "cancelled", True)).start()
    assert running.all_done.wait(20)
    assert Asked(2).through(worker).jobs[0].out == [2, 1]


def test_an_error_while_loading_reaches_every_job_and_loading_is_tried_again():
    tries = []

    def load():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no weights")
        return Counting()

    worker = Worker(load, "test")
    first = Asked(1).through(worker)
    assert isinstance(first.jobs[0].error, OSError)
    assert Asked(2).through(worker).jobs[0].out == [2, 1]
    worker.close()


def test_close_answers_what_is_in_work():
    worker = Worker(Counting, "test")
    asked = Asked(10**9, max_tokens=10**9)
    worker.put(asked.jobs[0])
    worker.close()
    assert asked.all_done.wait(20)
    assert isinstance(asked.jobs[0].error, TargetError)
    worker.close()  # twice is once


def test_a_stop_text_ends_an_answer():
    job = Job(ids=[1], deliver=print, max_tokens=9, stop_texts=("c",))
    for token in range(5):
        if job.stop is None:
            advance(job, token, set(), lambda out: "abcdef"[: len(out)])
    assert (job.stop, job.out) == ("stop", [0, 1, 2])


def test_the_first_stop_text_counts():
    assert first_stop("one two", ("two", "one")) == 0
    assert first_stop("one two", ("three",)) is None


tokens = st.lists(st.integers(0, 2), min_size=1, max_size=20)


@given(tokens, tokens)
def test_common_is_the_longest_shared_beginning(a, b):
    n = common(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90), tokens), max_size=12))
def test_grouped_prompts_do_share_what_is_read_for_all(parts):
    prompts = [[9, document] * length + rest for document, length, rest in parts]
    groups = share(prompts)
    assert sorted(i for members, _ in groups for i in members) == list(range(len(prompts)))
    for members, length in groups:
        assert length == 0 or length >= WORTH_SHARING
        assert len({tuple(prompts[i][:length]) for i in members}) == 1
        assert all(len(prompts[i]) > length for i in members)


def test_questions_on_one_document_make_one_group():
    documents = [[d] * 200 for d in (5, 3)]
    prompts = [documents[i % 2] + [10 + i] for i in range(8)]
    assert sorted(share(prompts)) == [([0, 2, 4, 6], 200), ([1, 3, 5, 7], 200)]
