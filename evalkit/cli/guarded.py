"""The options of `run` that put a guardrail around the model, and what is printed beside the run without it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.core.errors import UsageError

if TYPE_CHECKING:
    from evalkit.engine.comparing import Comparison
    from evalkit.engine.effect import Effect
    from evalkit.engine.guarding import GuardWish

BY_ATTACK = ("leakage_rate", "utility", "violation_rate", "success_rate")
"""What is shown by attack; the rest is in `--json` and `evalkit compare`."""
Name = Annotated[
    str | None,
    typer.Option("--guardrail", help="A guardrail around the model: small, rules, ... (evalkit serve has the same)."),
]
Policies = Annotated[
    Path | None,
    typer.Option("--policies", help="With --guardrail: a policies file, instead of each scenario's own policies."),
]
Act = Annotated[
    str | None,
    typer.Option(
        "--guard-action", help="With --guardrail: block (default), redact, revise, warn or log what breaks a policy."
    ),
]


def wish(name: str | None, policies: Path | None, action: str | None) -> "GuardWish | None":
    """The options as what the engine takes."""
    from evalkit.engine.guarding import guard_wish

    return guard_wish(name, policies, action)


@dataclass(frozen=True)
class Beside:
    """A guarded run beside the run without its guardrail."""

    comparison: "Comparison"
    effect: "Effect"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.comparison.document(), "guardrail": self.effect.document()}

    def text(self) -> str:
        """For a terminal."""
        from evalkit.reports.comparison import table
        from evalkit.reports.effect import text

        shown = [r for r in self.comparison.slices if list(r.slice) == ["attack"] and r.name in BY_ATTACK]
        short = replace(self.comparison, slices=tuple(shown), policies=())
        return f"{table(short, 0)}\n\n{text(self.effect)}"


def beside(guarded: Path) -> Beside | None:
    """The comparison with the run without the guardrail, where that run lies beside this one; a word where not."""
    from evalkit.cli import say
    from evalkit.engine.comparing import compared
    from evalkit.engine.effect import effect, unguarded

    without = unguarded(guarded)
    found = effect(without, guarded) if without is not None else None
    if without is None or found is None:
        say(f"with and without: run it without --guardrail too, then: evalkit compare THAT {guarded}")
        return None
    try:
        return Beside(compared(without, guarded), found)
    except UsageError as e:  # nothing that both have decided
        say(str(e))
        return None
