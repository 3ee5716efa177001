"""Random rules and random trajectories over a small alphabet, so that patterns often fit and often tie."""

from hypothesis import strategies as st

from evalkit.core.events import Event

NAMES = ["pay", "ship", "read_file"]
VALUES = [1, 2, 2, 3, "2", "blue", "Blue", "2026-01-02", "alpha centauri", "$1,250.00"]
WORLD = {"user": "blue", "limit": 2, "allowed": [1, "blue"]}
TEXTS = ["please go on", "Alpha Centauri, please.", "I can't do that", "done: 250"]

scalars = st.sampled_from(VALUES)
arguments = st.dictionaries(st.sampled_from(["x", "y"]), st.one_of(scalars, st.lists(scalars, max_size=2), st.none()))
results = st.one_of(
    st.none(),
    st.sampled_from(TEXTS),
    st.fixed_dictionaries({"id": scalars, "deep": st.fixed_dictionaries({"note": st.sampled_from(TEXTS)})}),
)


@st.composite
def events(draw):
    kind = draw(st.sampled_from(["call"] * 6 + ["action", "message", "message"]))
    if kind == "message":
        by = draw(st.sampled_from(["user", "assistant"]))
        return Event("message", by, actor=by, text=draw(st.sampled_from(TEXTS)))
    ok = draw(st.sampled_from([True, True, True, False]))
    if kind == "action":
        target, role = draw(st.sampled_from(["Delete", "Confirm order"])), draw(st.sampled_from(["button", "link"]))
        return Event("action", draw(st.sampled_from(["click", "type"])), target, role, {"value": draw(scalars)}, ok=ok)
    return Event("call", draw(st.sampled_from(NAMES)), arguments=draw(arguments), result=draw(results), ok=ok)


@st.composite
def traces(draw, most=12):
    found, turn = [], 0
    n = draw(st.integers(0, most))
    for event in draw(st.lists(events(), min_size=n, max_size=n)):
        turn += event.name == "user"
        found.append(
            Event(
                event.kind,
                event.name,
                event.target,
                event.role,
                event.arguments,
                event.result,
                event.actor,
                event.ok,
                event.text,
                turn,
                len(found),
            )
        )
    return tuple(found)


CONDITIONS = st.one_of(
    scalars,
    st.sampled_from([">1", "<=2", "!=blue", "b*", "$user", "!=$user", "<$limit", ">2026-01-01", ">=3"]),
    st.lists(scalars, min_size=1, max_size=2),
    st.sampled_from(
        [
            {"exists": True},
            {"exists": False},
            {"contains": "alpha"},
            {"matches": "^b.ue$"},
            {"not in": [1, 2]},
            {"in": "$allowed"},
            {">": 1, "<": 3},
            {"contains": "$user"},
        ]
    ),
)


@st.composite
def patterns(draw, bound=(), tags=()):
    """One mapping or two; with `bound`, each names all of these variables, or none."""
    rows = [draw(_one(bound, tags)) for _ in range(draw(st.sampled_from([1, 1, 2])))]
    return rows[0] if len(rows) == 1 else rows


@st.composite
def _one(draw, bound, tags):
    head = draw(st.sampled_from(["call"] * 8 + ["do", "say"]))
    if head == "say":
        return draw(
            st.sampled_from(
                [
                    {"say": "*", "by": "user"},
                    {"say": "alpha centauri", "by": ["user", "assistant"]},
                    {"say": "done", "not": {"say": "250"}},
                    {"say": "*", "matches": "can.t"},
                ]
            )
        )
    if head == "do":
        row = {"do": draw(st.sampled_from(["click", "*"])), "target": draw(st.sampled_from(["Delete", "Con*", "*"]))}
        return {**row, **draw(st.sampled_from([{}, {"role": "button"}, {"value": ">1"}, {"ok": "any"}]))}
    row = {"call": draw(st.sampled_from([*NAMES, "read_*", ["pay", "ship"], "*"]))}
    where = {}
    if draw(st.integers(0, 3)) == 0:
        where[draw(st.sampled_from(["x", "y", "result.id", "name"]))] = draw(CONDITIONS)
    if bound and draw(st.integers(0, 3)):
        where.update({path: f"${name}" for name, path in zip(bound, draw(st.permutations(["x", "y"])), strict=False)})
    if where:
        row["where"] = where
    if tags and draw(st.booleans()):
        row["carries"] = tags[0]
    extra = draw(
        st.sampled_from(
            [
                {},
                {},
                {},
                {},
                {"ok": "any"},
                {"ok": False},
                {"result": {"deep.note": {"contains": "go"}}},
                {"not": {"where": {"x": 1}}},
            ]
        )
    )
    return {**row, **extra}


WITHIN = st.sampled_from([1, 2, 3, "4 steps", "1 turn", "2 turns", {"steps": 5}])


@st.composite
def bodies(draw, bound=(), tags=(), then=False):
    def pattern():
        return draw(patterns(bound, tags))

    def maybe(key, value, share=2):
        return {key: value()} if draw(st.integers(0, share)) == 0 else {}

    head = draw(st.sampled_from(["forbid", "require", "precede", "respond", "until", "limit"]))
    after = {} if then else {"after": pattern()}

    def within():
        return draw(WITHIN)

    if head == "forbid":
        begun = after if draw(st.booleans()) else {}
        timed = maybe("within", within) if begun or then or not bound else {}
        return {"forbid": pattern(), **begun, **maybe("until", pattern), **timed}
    if head == "require" and not then:
        return {"require": pattern(), **({} if bound else maybe("within", within))}
    if head == "precede" and not then:
        return {
            "require": pattern(),
            "before": pattern(),
            **maybe("since", pattern),
            **maybe("within", within),
            **maybe("each", lambda: draw(st.booleans())),
        }
    if head in ("respond", "require", "precede"):
        return {"require": pattern(), **after, **maybe("unless", pattern), **maybe("within", within)}
    if head == "until":
        return {"require": pattern(), **after, "before": pattern()}
    return _limit(draw, pattern, after, then)


def _limit(draw, pattern, after, then):
    measure = draw(st.sampled_from(["count", "sum", "distinct"]))
    path = draw(st.sampled_from(["x", "y", "result.id"]))
    limit = {"count": pattern()} if measure == "count" else {measure: path, "of": pattern()}
    if draw(st.integers(0, 2)) == 0:
        limit["per"] = draw(st.sampled_from(["x", "y"]))
    shape = draw(st.sampled_from(["max", "below", "min", "both", "begun"]))
    if shape == "min" and not then:
        return {"limit": {**limit, "min": draw(st.integers(0, 3))}}
    if shape == "both" and not then:
        return {"limit": {**limit, "min": 1, "max": 3}}
    limit["below" if shape == "below" else "max"] = draw(st.integers(0, 3))
    if draw(st.integers(0, 2)) == 0:
        limit["within"] = draw(WITHIN)
    begun = after if shape == "begun" else {}
    ended = draw(st.sampled_from(["until", "reset", ""] if begun or then else ["reset", ""]))
    return {"limit": limit, **begun, **({ended: pattern()} if ended else {})}


@st.composite
def rules(draw):
    """A mapping of the language; now and then with for_each, tags, when or all."""
    bound = draw(st.sampled_from([(), (), ("k",), ("k", "m")]))
    tags = draw(st.sampled_from([(), (), ("seen",)]))
    shape = draw(st.sampled_from(["one", "one", "when", "whens", "all"]))
    if shape == "one":
        body = draw(bodies(bound, tags))
    elif shape == "when":
        body = {"when": draw(patterns(bound, tags)), "then": draw(bodies(bound, tags, then=True))}
    elif shape == "whens":
        body = {"when": draw(patterns(bound, tags)), "then": [draw(bodies(bound, tags, then=True)) for _ in range(2)]}
    else:
        body = {"all": [draw(bodies(bound, tags)) for _ in range(draw(st.integers(2, 3)))]}
    text = repr(body)
    if bound and all(f"${name}" in text for name in bound):
        body["for_each"] = (
            {"k": ["x", "y"], "m": "y"} if len(bound) == 2 else {"k": draw(st.sampled_from(["x", ["x", "result.id"]]))}
        )
    elif bound:
        body = _without(body, bound)
    if "'carries'" in text:
        body["tags"] = {
            "seen": {
                "from": {"call": "read_*"},
                **draw(st.sampled_from([{}, {"read": "id"}, {"read": ["deep", "id"]}])),
            }
        }
    return body


def _without(body, bound):
    """The rule without its variables."""
    if isinstance(body, dict):
        return {k: _without(v, bound) for k, v in body.items() if v not in [f"${b}" for b in bound]}
    return [_without(v, bound) for v in body] if isinstance(body, list) else body
