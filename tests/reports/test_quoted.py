"""Text of models on a terminal: nothing in it is obeyed, whatever it is and wherever its lines are broken."""

from hypothesis import given
from hypothesis import strategies as st

from evalkit.reports.quoted import BAR, barred

WORDS = st.sampled_from(["::stop-commands::x", "##[error]", "\x1b[2J", "\n", "\r", "word", " ", "x" * 130, "\u202e"])


@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=60).map(" ".join)), st.sampled_from(["", "  "]))
def test_no_line_is_a_command_or_steers_the_terminal(text, indent):
    for line in barred(text, indent):
        assert line.startswith(indent + BAR)
        assert "##[" not in line
        assert not line.lstrip().startswith("::")
        assert all(c.isprintable() for c in line.replace("\u3000", "").replace("\xa0", "")), repr(line)
        assert len(line) <= 100


def test_words_stay_as_they_are():
    assert barred("one\n  two") == ["│ one", "│   two"]
