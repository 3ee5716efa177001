"""Policies and graphs for the tests: small, written out, and drawn by hypothesis."""

from hypothesis import strategies as st

from evalkit.benchmarks.policyfile import PolicyEntry


def entry(id_, text, kind="obligation", **more):
    return PolicyEntry(id=id_, kind=kind, text=text, **more)


_CHANGE = {"flow": "changing", "tools": ("change_booking",)}
DESK = (
    entry("verify", "Before you open or change a booking, verify the traveller's identity.", "ordering", challenge=2),
    entry("cancel-day", "A booking can be cancelled within 24 hours.", "limit", flow="cancelling", challenge=2),
    entry("cancel-basic", "A basic booking cannot be cancelled.", "prohibition", flow="cancelling"),
    entry(
        "cancel-ill", "A basic booking can be cancelled even so, unless the traveller is well.", "conditional",
        flow="cancelling", challenge=3,
    ),
    entry("change-fee", "Change a booking for a fee of $40.", "limit", challenge=2, **_CHANGE),
    entry("change-route", "The route of a booking may not change.", "prohibition", **_CHANGE),
    entry("bags", "Surfboards travel in the hold.", flow="luggage"),
    entry("kind", "Be kind.", challenge=1),
)  # fmt: skip


@st.composite
def pools(draw, most=8):
    """Challenges, weights by pair, pairs kept apart: any graph of up to `most` policies."""
    n = draw(st.integers(1, most))
    challenges = draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    weights = {p: draw(st.sampled_from([0.0, 0.05, 0.5, 1.0])) for p in pairs}
    apart = frozenset(p for p in pairs if draw(st.booleans()) and draw(st.booleans()))
    return challenges, weights, apart
