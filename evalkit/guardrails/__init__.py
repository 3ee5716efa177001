"""Verdicts in, a small model out, and its use. `load` gives a trained guardrail; import all else from its module."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.guardrails.trained import Guardrail


def load(name: str | None = None) -> "Guardrail":
    """The shipped guardrail, or one by its name or folder (guardrails/loading.py)."""
    from evalkit.guardrails import loading

    return loading.load(name)
