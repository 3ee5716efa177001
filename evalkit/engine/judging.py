"""What judge models took and how well they agree, over the verdicts of a run. Counts; decides nothing."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.core.types import Outcome, Usage, Verdict, Vote
from evalkit.judges.votes import UNDECIDED, Counts, alpha, alpha_interval

DECIDED: tuple[Outcome, ...] = ("compliant", "violation")
_VALUES: tuple[Outcome, ...] = ("compliant", "violation", "not_applicable")


class Judging:
    """Feed it every verdict that a model gave. Memory grows with families and patterns of votes, not with verdicts."""

    def __init__(self) -> None:
        self.verdicts = 0
        self.unreadable = 0
        """Votes that could not be read or checked, whether or not a verdict came about without them."""
        self.unanswered = 0
        """Calls that came to no reply: outages, refused requests."""
        self.abstained = 0
        self.tokens = [0, 0, 0]
        self.cost: float | None = None
        self._units: dict[str, dict[str, Counter[Counts]]] = defaultdict(dict)  # judge, family, pattern of votes
        self._raters: dict[str, int] = {}

    def add(self, verdict: Verdict, family: str) -> None:
        """Count one verdict."""
        usage = verdict.usage or Usage()
        self.verdicts += 1
        self.abstained += verdict.outcome == "abstain"
        for i, n in enumerate((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)):
            self.tokens[i] += n
        if usage.cost is not None:
            self.cost = round((self.cost or 0.0) + usage.cost, 9)
        if not verdict.votes:
            self.unreadable += verdict.outcome == "error"
            return
        self.unanswered += sum(not v.answered for v in verdict.votes)
        self.unreadable += sum(v.answered and v.outcome == "error" for v in verdict.votes)
        voters = by_voter(verdict.votes)
        if len(voters) > 1:
            pattern = tuple(sum(o == value for o in voters.values()) for value in _VALUES)
            self._units[verdict.judge].setdefault(family, Counter())[pattern] += 1
            self._raters[verdict.judge] = max(self._raters.get(verdict.judge, 0), len(voters))

    def agreement(self) -> list[dict[str, Any]]:
        """Krippendorff's alpha of each panel, with a 95 % interval over families; None where it says nothing."""
        found = []
        for judge, families in sorted(self._units.items()):
            together: Counter[Counts] = Counter()
            for units in families.values():
                together.update(units)
            value = alpha(together)
            low, high = (alpha_interval(list(families.values())) if value is not None else None) or (None, None)
            n = sum(count for row, count in together.items() if sum(row) > 1)
            raters = self._raters[judge]
            found.append({"judge": judge, "raters": raters, "n": n, "alpha": value, "low": low, "high": high})
        return found

    def document(self) -> dict[str, Any]:
        """The part of summary.json that is about judge models."""
        usage = Usage(
            prompt_tokens=self.tokens[0], completion_tokens=self.tokens[1], cached_tokens=self.tokens[2], cost=self.cost
        )
        counted = {
            "verdicts": self.verdicts,
            "abstained": self.abstained,
            "unreadable_votes": self.unreadable,
            "unanswered_votes": self.unanswered,
        }
        return {"judge_usage": {**usage.model_dump(), **counted}, "agreement": self.agreement()}

    def notes(self, agreement: Iterable[Mapping[str, Any]]) -> list[str]:
        """In words, for people; `agreement` as in the document."""
        cost = "" if self.cost is None else f", ${self.cost:.2f}"
        said = [f"judge models: {self.verdicts:,} verdicts, {self.tokens[0] + self.tokens[1]:,} tokens{cost}"]
        if self.unreadable:
            said.append(f"judge models: {self.unreadable:,} replies could not be read or quote what is not there")
        if self.unanswered:
            said.append(f"judge models: {self.unanswered:,} calls came to no reply (outages, limits, refused requests)")
        for a in agreement:
            between = f" (95% interval {a['low']:.2f} to {a['high']:.2f})" if a["low"] is not None else ""
            value = "cannot be said" if a["alpha"] is None else f"{a['alpha']:.2f}{between}"
            said.append(f"{a['judge']}: agreement of {a['raters']} judges on {a['n']:,} things, alpha {value}")
        return said


def by_voter(votes: tuple[Vote, ...]) -> dict[str, Outcome]:
    """What each voter said in the end: of several readings the more frequent, of a tie nothing."""
    heard: dict[str, Counter[Outcome]] = {}
    for v in votes:
        counts = heard.setdefault(v.judge, Counter())
        if v.outcome not in UNDECIDED:
            counts[v.outcome] += 1
    found: dict[str, Outcome] = {}
    for judge, counts in heard.items():
        best = counts.most_common(2)
        tied = len(best) == 2 and best[0][1] == best[1][1]
        found[judge] = "abstain" if tied or not best else best[0][0]
    return found
