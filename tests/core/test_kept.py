"""A bounded memory keeps what was used last."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.kept import Kept


def test_what_was_used_longest_ago_goes_first():
    kept = Kept(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)


def test_a_thing_is_made_once_and_again_when_forgotten():
    made = []
    kept = Kept(4)
    for _ in range(3):
        assert kept.get_or("k", lambda key: made.append(key) or len(made)) == 1
    kept.clear()
    assert kept.get_or("k", lambda key: made.append(key) or len(made)) == 2


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99))), st.integers(1, 5))
def test_never_more_than_the_size_and_never_another_ones_value(puts, size):
    kept = Kept(size)
    for key, value in puts:
        kept.put(key, (key, value))
    found = [v for k in range(10) if (v := kept.get(k)) is not None]
    assert len(found) == min(size, len({k for k, _ in puts}))
    assert all(v == (v[0], dict(puts)[v[0]]) for v in found)


def test_threads_may_share_it():
    kept = Kept(8)

    def work():
        for i in range(2_000):
            assert kept.get_or(i % 16, lambda key: key * 2) == (i % 16) * 2

    wrong = []
    threads = [threading.Thread(target=lambda: wrong.extend(_failed(work))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def _failed(work):
    try:
        work()
    except AssertionError as e:
        return [e]
    return []
