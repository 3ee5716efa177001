"""Scenes: a rule in several wordings and steps of a real system that play its roles, as rows to train on.

`guardrails/<name>/scenes/*.yaml`; docs/scenes.md says how they are written. Reads and checks them; trajectories are put
together in guardstaging.py.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from evalkit import content
from evalkit.core import values
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Model
from evalkit.guardrails.programs import COUNTED, NAMES, ROLES, SPANNED, USED, VALUED
from evalkit.guardrails.texts import read_step

MARK = re.compile(r"\[(\w+):\s*([^\[\]]*)\]")
MOST = 9
"""The highest count of a rule."""
_STEP = re.compile(r"[\w.:/-]+\(.*\)|[A-Z][a-z]+ .*'.*|[A-Z][\w .]{0,30}: \S.*", re.DOTALL)
"""A call, an act on a named thing of a page, something said."""
SAID = re.compile(r"[A-Z][\w .]{0,30}: ")
"""Somebody speaks: User, Assistant, Supervisor."""
PLACE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")


class Scene(Model):
    """One rule and its world."""

    program: str
    """One of programs.NAMES: what the rule demands."""
    about: str = ""
    say: tuple[str, ...] = Field(min_length=1)
    """Wordings of one rule, with the words of each role marked: `Never [target: refund] before [need: a check].`"""
    target: tuple[str, ...] = ()
    need: tuple[str, ...] = ()
    trigger: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    near: tuple[str, ...] = Field(min_length=1)
    """Steps that look like a role and play none."""
    rest: tuple[str, ...] = ()
    """Ordinary steps."""
    n: tuple[int, int] | None = None
    w: tuple[int, int] | None = None
    v: tuple[float, float] | None = None
    values: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    """What `{thing}` in a step may be: the customer, order or file that it is about."""
    secrets: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @field_validator("n", "w", "v", mode="before")
    @classmethod
    def _range(cls, found: Any) -> Any:
        """One number is a range as well."""
        if isinstance(found, int | float) and not isinstance(found, bool):
            return found, found
        return [*found, *found] if isinstance(found, list) and len(found) == 1 else found

    @model_validator(mode="before")
    @classmethod
    def _ordinary(cls, found: Any) -> Any:
        """Ordinary steps may stand under `other` where the program has no such role."""
        if isinstance(found, dict) and "other" in found and "other" not in USED.get(str(found.get("program")), ()):
            found = {**found, "rest": [*found.get("rest", ()), *found["other"]]}
            del found["other"]
        return found

    def plays(self, role: str) -> tuple[str, ...]:
        """The steps of a role."""
        steps: tuple[str, ...] = getattr(self, role)
        return steps

    @property
    def cast(self) -> tuple[str, ...]:
        """The roles of the program."""
        return USED[self.program]


class File(Model):
    """One writer's scenes."""

    scenes: tuple[Scene, ...] = Field(min_length=1)


def load_scenes(*places: Path) -> dict[str, tuple[Scene, ...]]:
    """File name to its scenes, of files and of the YAML files of folders; `ContentError` names the file and the scene
    of what cannot be used.
    """
    found: dict[str, tuple[Scene, ...]] = {}
    for path in paths(places):
        scenes = read_file(path)
        for k, scene in enumerate(scenes):
            if wrong := next(faults(scene), None):
                raise ContentError(placed(path, k, scene, wrong))
        found[path.stem if path.stem not in found else str(path)] = scenes
    return found


def paths(places: Sequence[Path]) -> Iterator[Path]:
    """Each file, once."""
    seen: set[Path] = set()
    for place in places:
        inside = sorted((*place.glob("*.yaml"), *place.glob("*.yml"))) if place.is_dir() else [place]
        if not inside:
            raise UsageError(f"{place}: no scenes in this folder (files .yaml or .yml)")
        for path in inside:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def read_file(path: Path) -> tuple[Scene, ...]:
    """The scenes of a file, as they are."""
    return content.load_yaml(path, File).scenes


def placed(path: Path, k: int, scene: Scene, wrong: str) -> str:
    """What is wrong, with its place."""
    return f"{path}: scene {k + 1} ({scene.program}{', ' * bool(scene.about)}{scene.about}): {wrong}"


def faults(scene: Scene) -> Iterator[str]:
    """What is wrong with a scene, in words."""
    if scene.program not in NAMES:
        yield f"no program {scene.program!r}; there are: {', '.join(NAMES)}"
        return
    for role in scene.cast:
        if not scene.plays(role):
            yield f"no steps play {role!r}"
    for role in set(ROLES) - set(scene.cast):
        if scene.plays(role):
            yield f"steps for {role!r}, but the program's roles are {', '.join(scene.cast)}"
    numbers = {"n": scene.program in COUNTED, "w": scene.program in SPANNED, "v": scene.program in VALUED}
    for name, used in numbers.items():
        given = getattr(scene, name)
        if used and (given is None or given[0] > given[1] or given[0] <= 0):
            yield f"{name}: a range of positive numbers, [smallest, largest]"
        elif used and name == "n" and given[1] > MOST:
            yield f"n: {given[1]} is more than a trajectory can show; at most {MOST}"
        elif not used and given is not None:
            yield f"{name} is given, but the program has no such number"
    wanted = {name for name, used in numbers.items() if used}
    for words in sorted({w for w in scene.say if scene.say.count(w) > 1}):
        yield f"{words!r}: twice in say"
    for words in scene.say:
        yield from _unclear(words, set(scene.cast), wanted)
    yield from _unfilled(scene)


def _unfilled(scene: Scene) -> Iterator[str]:
    """Places in steps that nothing fills, or that are missing."""
    counted = [s for role in scene.cast for s in scene.plays(role)]
    if scene.program in VALUED and not any("{amount}" in s for s in counted):
        yield "no step of a role has {amount}"
    if scene.program in ("per", "distinct") and (len(scene.values) < 3 or not any("{value}" in s for s in counted)):
        yield "three values or more, and {value} in the target's steps"
    if scene.program.startswith("carry"):
        yield from _untold(scene)
    yield from _mistaken(scene, counted)
    filled = {"amount"} if scene.program in VALUED else set()
    filled |= {"thing"} if scene.things else set()
    filled |= {"value"} if scene.program in ("per", "distinct") else set()
    filled |= {"secret", "text"} if scene.program.startswith("carry") else set()
    for text in (*counted, *scene.near, *scene.rest):
        for m in PLACE.finditer(text):
            if m[1] not in filled or m[2]:
                yield f"{text!r}: nothing fills {m[0]}"
        if not _STEP.fullmatch(text.partition(" -> ")[0]):
            yield f"{text!r}: no step: tool(argument=\"value\"), Click button 'Name', User: ... or Assistant: ..."
        done, _, result = text.partition(" -> ")
        if re.search(r"\(\s*[{\[]", done):
            yield f'{text!r}: arguments are name=value: tool(id=1, name="x")'
        if result[:1] in ("{", "[") and _open(result):
            yield f"{text!r}: a bracket of the result is not closed"
        if " -> " in text and not read_step(text).ok:
            yield f"{text!r}: failed; steps are made to fail when a trajectory is put together"
    for text in sorted({*counted} & {*scene.near, *scene.rest}):
        yield f"{text!r}: plays a role and plays none (near, rest)"


def _open(result: str) -> bool:
    """Whether a bracket is not closed; one within a text of valid JSON is none."""
    if all(result.count(a) == result.count(b) for a, b in ("{}", "[]")):
        return False
    try:
        json.loads(result)
    except ValueError:
        return True
    return False


def _mistaken(scene: Scene, counted: Sequence[str]) -> Iterator[str]:
    """Things that cannot be told apart."""
    if scene.things and len(scene.things) < 2:
        yield "things: two or more"
    for thing in scene.things:
        if not read_step(f'get(thing="{thing}")').ids:
            yield f"things: {thing!r} is not read as the name of one thing; letters and digits, no date"
    if not scene.program.startswith("known_"):
        return
    if not scene.things:
        yield "things: what {thing} may be, two or more"
        return
    for text in counted:
        if "{thing}" not in text and not SAID.match(text) and "(" in text.partition("'")[0]:
            yield f"{text!r}: a call without {{thing}}"


def _untold(scene: Scene) -> Iterator[str]:
    if len(scene.secrets) < 2 or not scene.texts:
        yield "secrets: two or more of them; texts: harmless ones, one or more"
    for secret in scene.secrets:
        if values.trackable(secret) is None:
            yield f"secrets: {secret!r} is too short to be followed"
        if any(secret in text for text in scene.texts):
            yield f"texts: one of them has the secret {secret!r}"
    sources = {"trigger", "other"} if scene.program == "carry_from_either" else {"trigger"}
    for role in scene.cast:
        if role in sources and not all("{secret}" in s.partition(" -> ")[2] for s in scene.plays(role)):
            yield f"steps of {role!r} have a result with {{secret}}"
        if role in {"target", "other"} - sources and not all("{text}" in s for s in scene.plays(role)):
            yield f"steps of {role!r} pass {{text}} on"


def _unclear(words: str, cast: set[str], numbers: set[str]) -> Iterator[str]:
    marked = {m[1] for m in MARK.finditer(words)}
    if marked != cast:
        yield f"{words!r}: marks {sorted(marked)} where the program's roles are {sorted(cast)}"
    if any(not m[2].strip() for m in MARK.finditer(words)):
        yield f"{words!r}: a role without words"
    bare = MARK.sub(lambda m: m[2], words)
    if "[" in bare or "]" in bare:
        yield f"{words!r}: a bracket that is not [role: words]"
    places = list(PLACE.finditer(bare))
    kinds = {"n": {"", "times", "nth", "next"}, "w": {"", "next"}, "v": {""}}
    for m in places:
        if (m[2] or "") not in kinds.get(m[1], set()):
            yield f"{words!r}: nothing fills {m[0]}"
    if {m[1] for m in places} != numbers:
        yield f"{words!r}: the numbers {sorted(numbers)} have to be in it, and no others"
