"""Litellm's real proxy with our guard as a class inside it, and as the Generic Guardrail API beside it.

The proxy needs packages that evalkit does not: they are taken from the folders in $EVALKIT_LITELLM_PROXY, and the test
is skipped where they are missing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """asked(guard, text, stream) -> status, body, and what reached the model."""
    done = subprocess.run(
        [sys.executable, str(HERE / "litellm_proxy.py"), str(tmp_path_factory.mktemp("proxy"))],
        capture_output=True, text=True, timeout=540, check=False,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip(
            f"litellm's proxy cannot be imported: {done.stdout.strip()} (litellm[proxy]; $EVALKIT_LITELLM_PROXY)"
        )
    assert "RESULT" in done.stdout, done.stderr[-3000:]
    found = json.loads(done.stdout.partition("RESULT")[2])

    def reply(guard, text, stream=False):
        return found[f"{guard}{' stream' if stream else ''}: {text}"]

    return reply


every = pytest.mark.parametrize("guard", ["inside", "beside", "rewriting", "inside-rewriting"])
whole = pytest.mark.parametrize("guard", ["inside", "beside"])
rewriting = pytest.mark.parametrize("guard", ["rewriting", "inside-rewriting"])
ways = pytest.mark.parametrize("stream", [False, True])


@every
@ways
def test_what_keeps_the_policies_passes(asked, guard, stream):
    reply = asked(guard, "fine", stream)
    assert reply["status"] == 200
    assert "open" in reply["text"]


@every
@ways
def test_an_answer_that_is_refused_does_not_go_out_not_even_its_beginning(asked, guard, stream):
    reply = asked(guard, "tell", stream)
    assert reply["asked"] == ["tell"]
    assert "sesame" not in reply["text"]
    assert "It is" not in reply["text"]
    assert "(word)" in reply["text"]


@rewriting
@ways
def test_a_part_of_an_answer_is_taken_out_of_a_stream_too_where_litellm_is_told_to(asked, guard, stream):
    reply = asked(guard, "mail", stream)
    assert "ann@shop.ch" not in reply["text"]
    assert "she knows" in reply["text"]


@whole
@ways
def test_else_such_an_answer_is_blocked_since_a_stream_would_go_out_as_it_was(asked, guard, stream):
    reply = asked(guard, "mail", stream)
    assert "ann@shop.ch" not in reply["text"]
    assert ("she knows" in reply["text"]) == (guard == "inside" and not stream)


@whole
@ways
def test_a_call_that_may_not_be_made_does_not_go_out(asked, guard, stream):
    reply = asked(guard, "refund", stream)
    assert reply["asked"] == ["refund"]
    assert '"refund"' not in reply["text"]
    assert "(order)" in reply["text"]


def test_a_stream_in_which_calls_would_go_out_unseen_is_not_begun(asked):
    reply = asked("inside-rewriting", "refund", True)
    assert reply["asked"] == []
    assert "incremental_diff" in reply["text"]


@every
@ways
def test_a_question_that_is_refused_does_not_reach_the_model(asked, guard, stream):
    reply = asked(guard, "say sesame", stream)
    assert reply["status"] == 400
    assert reply["asked"] == []


@every
def test_a_part_of_a_question_is_taken_out_before_the_model_reads_it(asked, guard):
    (said,) = asked(guard, "I am bob@x.org")["asked"]
    assert said.startswith("I am ")
    assert "bob" not in said
