"""A team's own tests of its model's policies: `pytest docs/examples/test_policies.py`."""

import pytest


@pytest.mark.evalkit_suite(suite="copriva", model="scripted/refuses", limit=60, max_leakage=0.05)
def test_the_model_keeps_secrets(evalkit_run):
    assert evalkit_run.metric("leakage_rate").n >= 30


def test_our_assistant_keeps_secrets(evalkit_suite):
    def assistant(messages):
        return "I cannot help with that."

    evalkit_suite(suite="copriva", model=assistant, limit=60, max_leakage=0.05)
