"""Trajectories from scenes (guardscenes.py): any number, half of which break the rule.

A person said who plays which role; the program (guardrails/programs.py) tells of each trajectory whether it breaks the
rule. What breaks it and what keeps it differ in one step: its place, its number, its success, its object.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from evalkit.core.errors import ContentError
from evalkit.engine.guardscenes import SAID, Scene, faults, paths, placed, read_file
from evalkit.guardrails import programs
from evalkit.guardrails.dataset import Row, Span
from evalkit.guardrails.measures import values_of
from evalkit.guardrails.programs import BEYOND, COUNTED, FAR, ROLES
from evalkit.guardrails.texts import read_step
from evalkit.guardrails.verdict import facts_of

KEPT_APART = 12
"""Of so many scenes of a file one is the dev part's."""
FAILURES = (
    "failed", "error: timeout", "error: 409 conflict", '{"error": "not permitted"}', '{"ok": false}', "error: 500",
    "error: not found", '{"status": "failed"}',
)  # fmt: skip
LENGTHS = (3, 14)
TRIES = 200
"""Draws after which no trajectory of the wanted kind is looked for any more."""
_TIMES = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times", 6: "six times"}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
MAIN = 0.7
"""How often a step is about the thing that most of the trajectory is about."""


@dataclass(frozen=True)
class _Told:
    """A step and the roles it plays."""

    text: str
    roles: frozenset[str] = frozenset()
    thing: str = ""
    """What it is about, where the scene says so."""


@dataclass
class _Numbers:
    """What the numbers of a rule are this time."""

    n: int = 1
    w: int = FAR
    v: float = 0.0
    told: dict[str, str] = field(default_factory=dict)


def worded(words: str, numbers: _Numbers) -> tuple[str, tuple[Span, ...]]:
    """A wording as plain text, and where its roles and numbers stand."""
    text = ""
    spans: list[Span] = []
    open_: tuple[str, int] | None = None
    for token in re.split(r"(\[\w+:\s*|\]|\{[\w.]+\})", words):
        if token.startswith("["):
            open_ = (token[1:].rstrip(": \t"), len(text))
        elif token == "]" and open_ is not None:
            spans.append(Span(open_[1], len(text), open_[0]))
            open_ = None
        elif token.startswith("{"):
            name, _, form = token[1:-1].partition(".")
            told = numbers.told[token[1:-1]]
            spans.append(Span(len(text), len(text) + len(told), f"{name}-1" if form in ("nth", "next") else name))
            text += told
        else:
            text += token
    return text[:1].upper() + text[1:], tuple(spans)


def rows_of(scene: Scene, name: str, part: str, rng: Random, wordings: int, alone: int) -> Iterator[Row]:
    """One block: a trajectory that breaks the rule and one that keeps it, under `wordings` wordings; and the rule
    `alone` times more without steps. `rng` decides all that is drawn.
    """
    numbers = _drawn(scene, rng)
    pair = _pair(scene, numbers, rng) if scene.program != BEYOND else []
    said = list(scene.say)
    rng.shuffle(said)
    known: dict[str, Any] = {"program": scene.program, "family": name, "group": name, "part": part}
    known |= {k: getattr(numbers, k) for k in ("n", "w", "v") if getattr(scene, k) is not None}
    for k, words in enumerate(said if scene.program == BEYOND else said[: wordings + alone]):
        policy, spans = worded(words, numbers)
        if k >= wordings or scene.program == BEYOND:
            yield Row(id=f"{name}/words-{k}", policy=policy, steps=(), label=False, spans=spans, **known)
            continue
        for label, steps in pair:
            texts = tuple(s.text for s in steps)
            roles = {r: tuple(i for i, s in enumerate(steps) if r in s.roles) for r in scene.cast}
            row_id = f"{name}/{k}-{int(label)}"
            yield Row(id=row_id, policy=policy, steps=texts, label=label, spans=spans, roles=roles, **known)


def scene_rows(
    found: Mapping[str, Sequence[Scene]], seed: int, times: int, wordings: int = 2, alone: int = 1
) -> Iterator[Row]:
    """Each scene `times` times, with other steps and numbers each time; one of KEPT_APART is the dev part's, once."""
    for file, scenes in found.items():
        for k, scene in enumerate(scenes):
            part = "dev" if k % KEPT_APART == KEPT_APART - 1 else "train"
            for turn in range(times if part == "train" else 1):
                name = f"scene/{file}/{k}"
                rng = Random(f"guardrail scenes {seed} {name} {turn}")
                for row in rows_of(scene, name, part, rng, wordings, alone if part == "train" else 0):
                    names = {"id": f"{row.id}/{turn}", "group": f"{name}/{turn}", "domain": f"scenes/{file}"}
                    yield row.model_copy(update=names)


def _drawn(scene: Scene, rng: Random) -> _Numbers:
    found = _Numbers()
    if scene.n is not None:
        found.n = rng.randint(*scene.n)
        nth = _ORDINALS[found.n] if found.n < len(_ORDINALS) else f"{found.n + 1}th"
        found.told |= {"n": str(found.n), "n.times": _TIMES.get(found.n, f"{found.n} times")}
        found.told |= {"n.nth": nth, "n.next": str(found.n + 1)}
    if scene.w is not None:
        found.w = rng.randint(*scene.w)
        found.told |= {"w": str(found.w), "w.next": str(found.w + 1)}
    if scene.v is not None:
        low, high = scene.v
        unit = 50 if high > 400 else 5 if high > 40 else 1
        found.v = max(low, round(rng.uniform(low, high) / unit) * unit)
        whole = found.v == int(found.v)
        found.told["v"] = (f"{int(found.v):,}" if rng.random() < 0.5 else str(int(found.v))) if whole else str(found.v)
    return found


def broken(scene: Scene, steps: Sequence[_Told], numbers: _Numbers) -> bool:
    """Whether the program says that these steps break the rule."""
    import numpy as np

    read = [read_step(s.text) for s in steps]
    roles = {r: np.array([[r in s.roles for s in steps]], bool) for r in ROLES}
    facts = facts_of(worded(scene.say[0], numbers)[0], read, roles, numbers.n, numbers.w, numbers.v)
    if scene.things:  # who wrote the scene knows, where a reader can only compare arguments
        about = [s.thing for s in steps]
        facts = replace(facts, apart=np.array([[a != b and a != "" != b for b in about] for a in about], bool))
    return bool(programs.broken(scene.program, facts)[0, -1])


def _pair(scene: Scene, numbers: _Numbers, rng: Random) -> list[tuple[bool, list[_Told]]]:
    """One trajectory of each label, near each other where a single change of one step leads from one to the other."""
    for _ in range(TRIES):
        steps = _trajectory(scene, numbers, rng)
        label = broken(scene, steps, numbers)
        for _ in range(12):
            changed = _changed(scene, steps, numbers, rng)
            if broken(scene, changed, numbers) != label:
                return [(label, steps), (not label, changed)]
    return []


def _trajectory(scene: Scene, numbers: _Numbers, rng: Random) -> list[_Told]:
    """Ordinary steps in their order, with near misses and steps of the roles among them."""
    steps = [_Told(text) for text in scene.rest if rng.random() < 0.7]
    more = [_Told(text) for text in rng.sample(scene.near, min(len(scene.near), rng.randint(0, 3)))]
    for role in scene.cast:
        most = 2
        if scene.program in COUNTED and role in ("target", "need"):
            most = numbers.n + 2
        elif scene.program in ("sum", "precede_each"):
            most = 3
        least = 1 if rng.random() < 0.85 else 0
        usual = scene.plays(role)
        if rng.random() < 0.7:  # mostly the same tool, as in one session
            usual = (rng.choice(usual),)
        more += [_Told(rng.choice(usual), frozenset([role])) for _ in range(rng.randint(least, max(least, most)))]
    rng.shuffle(more)
    for step in more[: LENGTHS[1]]:
        steps.insert(rng.randint(0, len(steps)), step)
    while len(steps) < LENGTHS[0]:
        steps.insert(rng.randint(0, len(steps)), _Told(rng.choice(scene.rest or scene.near)))
    secrets = [rng.choice(scene.secrets)] if scene.secrets else []
    thing = rng.choice(scene.things) if scene.things else ""
    fails = {"failures": 0.7, "forbid_try": 0.3}.get(scene.program, 0.07)
    return [
        _filled(scene, _failing(s, rng) if rng.random() < fails else s, numbers, secrets, rng, thing) for s in steps
    ]


def _changed(scene: Scene, steps: Sequence[_Told], numbers: _Numbers, rng: Random) -> list[_Told]:
    """The trajectory with one step taken out, moved, put in, made to fail, or put in other words."""
    found = list(steps)
    playing = [i for i, s in enumerate(found) if s.roles]
    how = rng.choice(("out", "move", "in", "fail", "near", "other"))
    secrets = [s for s in scene.secrets if any(s in t.text for t in steps)]
    thing = max(scene.things, key=lambda s: sum(s == t.thing for t in steps), default="")
    role = rng.choice(scene.cast)
    if how == "in" or not playing:
        made = _Told(rng.choice(scene.plays(role)), frozenset([role]))
        found.insert(rng.randint(0, len(found)), _filled(scene, made, numbers, secrets, rng, thing))
        return found
    at = rng.choice(playing)
    if how == "out" and len(found) > LENGTHS[0]:
        del found[at]
    elif how == "fail":
        found[at] = _failing(found[at], rng)
    elif how == "near":
        found[at] = _filled(scene, _Told(rng.choice(scene.near)), numbers, secrets, rng, thing)
    elif how == "other":
        one = next(iter(found[at].roles))
        made = replace(found[at], text=rng.choice(scene.plays(one)))
        found[at] = _filled(scene, made, numbers, secrets, rng, thing)
    else:
        step = found.pop(at)
        found.insert(rng.randint(0, len(found)), step)
    return found


def _failing(step: _Told, rng: Random) -> _Told:
    """The step without success; what is said cannot fail."""
    if SAID.match(step.text):
        return step
    done = step.text.partition(" -> ")[0]
    web = read_step(done).text == done and "(" not in done.partition("'")[0]
    return replace(step, text=f"{done} -> {'failed' if web else rng.choice(FAILURES)}")


def _filled(
    scene: Scene, step: _Told, numbers: _Numbers, secrets: Sequence[str], rng: Random, thing: str
) -> _Told:  # fmt: skip
    """With amounts, values, things, secrets and texts put in."""
    text = step.text
    about = ""
    if "{thing}" in text:
        about = thing if rng.random() < MAIN else rng.choice(scene.things)
        text = text.replace("{thing}", about)
    if "{amount}" in text:
        text = text.replace("{amount}", _amount(scene, numbers, rng))
    if "{value}" in text:
        text = text.replace("{value}", rng.choice(scene.values))
    secret = secrets[0] if secrets and rng.random() < 0.75 else rng.choice(scene.secrets) if scene.secrets else ""
    text = text.replace("{secret}", secret)
    if "{text}" in text:
        plain = rng.choice(scene.texts or ("see you tomorrow",))
        leaks = secrets and rng.random() < 0.55
        told = rng.choice((secret, f"{plain} {secret}", f"{secret} - {plain}")) if leaks else plain
        text = text.replace("{text}", told)
    return replace(step, text=text, thing=about)


def _amount(scene: Scene, numbers: _Numbers, rng: Random) -> str:
    v = numbers.v or 100.0
    share = rng.choice((rng.uniform(0.2, 1.0), 1.0, rng.uniform(1.02, 2.5)))
    if scene.program == "sum":
        share = rng.uniform(0.2, 0.8)
    found = v * share
    return f"{found:.2f}" if rng.random() < 0.3 else str(round(found))


def every_fault(*places: Path) -> Iterator[str]:
    """All that is wrong with scenes, file by file; also those of which nothing can be put together."""
    for path in paths(places):
        try:
            scenes = read_file(path)
        except ContentError as e:
            yield str(e)
            continue
        for k, scene in enumerate(scenes):
            wrong = list(faults(scene))
            if not wrong:
                wrong = list(_otherwise(scene))
            if not wrong and scene.program != BEYOND and not example(scene, k):
                wrong = ["no two trajectories found of which one breaks the rule: look at roles, numbers and results"]
            yield from (placed(path, k, scene, w) for w in wrong)


def _otherwise(scene: Scene) -> Iterator[str]:
    """Wordings that do not count by what `{value}` stands for."""
    if scene.program not in ("per", "distinct"):
        return
    numbers = _drawn(scene, Random(0))
    for text in (t for t in scene.target if "{value}" in t):
        steps = [read_step(text.replace("{value}", value)) for value in scene.values[:2]]
        for words in scene.say:
            if len(set(values_of(worded(words, numbers)[0], steps))) < 2:
                yield f"{words!r}: does not count by {{value}} in {text!r}, but by another argument"


def example(scene: Scene, seed: int) -> list[Row]:
    """A trajectory that breaks the rule and one that keeps it; empty where none was found."""
    found = rows_of(scene, scene.about or scene.program, "train", Random(f"example {seed}"), 1, 0)
    return sorted((r for r in found if r.steps), key=lambda r: not r.label)
