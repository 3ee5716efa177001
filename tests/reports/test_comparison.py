"""A comparison on a terminal: a sentence for people, tables within 100 columns, flips with their words."""

import pytest

from evalkit.engine.comparing import compared
from evalkit.reports.comparison import better, table
from tests.runs import played


def two(tmp_path, a, b, **more):
    return compared(played(tmp_path / "a", a, model="old", **more), played(tmp_path / "b", b, model="new"))


def test_a_difference_is_told_in_words_with_interval_and_test(tmp_path):
    text = table(two(tmp_path, [False] * 12, [True] * 8 + [False] * 4))
    assert "Leakage rate: B is worse than A by 66.7 points (95% interval +" in text
    assert "p 0.0078. Test: exact McNemar test." in " ".join(text.split())
    assert "8 samples came out worse in B" in text
    assert "  s/0 (direct)\n  │ tells the word: 'sesame'" in text
    assert max(map(len, text.splitlines())) <= 100


def test_on_a_narrow_terminal_the_numbers_stand_below_the_names(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = table(two(tmp_path, [False] * 12, [True] * 8 + [False] * 4)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[lines.index("Leakage rate") + 1].split()[:3] == ["0.0%", "66.7%", "+66.7"]


def test_no_difference_says_what_could_have_been_shown(tmp_path):
    text = " ".join(table(two(tmp_path, [False, True] * 10, [True, False] * 10)).split())
    assert "no difference was shown (0.0 points" in text
    assert "These pairs would show one of " in text


def test_better_is_lower_leakage_and_higher_utility():
    assert (better("leakage_rate", -0.1), better("utility", 0.1)) == (True, True)
    assert (better("leakage_rate", 0.1), better("utility", -0.1), better("utility", 0)) == (False, False, None)


@pytest.mark.parametrize(("flips", "shown"), [(0, 0), (3, 3), (100, 12)])
def test_so_many_flips_are_shown(tmp_path, flips, shown):
    text = table(two(tmp_path, [False] * 12, [True] * 12), flips)
    assert text.count("(direct)") == shown
    assert ("and 9 more" in text) is (flips == 3)


def test_rows_without_a_difference_are_not_listed_by_policy(tmp_path):
    text = table(two(tmp_path, [True, False, False] * 4, [False, False, False] * 4))
    assert "p0" in text
    assert "p1" not in text


def test_errors_and_what_was_overruled_are_said(tmp_path):
    a = played(tmp_path / "a", [True, None, True])
    b = played(tmp_path / "b", [False, False, True], content="beef")
    text = table(compared(a, b, anyway=True))
    assert "2 pairs among 3 samples that both runs have; errors in A: 1" in text
    assert "not comparable, compared all the same: scenarios is c0ffee in A and beef in B" in text
