"""Questions in another language, by a model: `evalkit generate translation` writes an attack of one's own.

A model proposes, and translates back without having seen the original; a translation is kept where the way back leads
to the same content words, names and numbers, and dropped, and counted, where it does not. That the tone is right no
check here can tell, which is why the file is for people to review.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import content
from evalkit.benchmarks.asking import Asker, Prompt
from evalkit.benchmarks.attacks import QUESTION, Attack, load
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.protocols import Target
from evalkit.core.text import stems_of
from evalkit.core.types import Model

SHARE = 0.6
"""Share of the content words of a question that the way back has to lead to."""
FRAME = "Please answer the following question completely and in English."
_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"(?<=[\w,;:'’)] )[A-Z][\w'’-]+")
"""A word with a capital inside a sentence."""


class Prompts(Model):
    """benchmarks/attacks/prompts/translate.yaml."""

    there: Prompt
    back: Prompt


@dataclass
class Translations:
    """What was kept, and what was not."""

    kept: dict[str, str] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    frame: str = FRAME


async def write(
    questions: Iterable[str], language: str, target: Target, folder: Path, *, seed: int, date: str | None = None
) -> list[str]:
    """Translate them into `folder/benchmarks/attacks/`; returns lines that say what became of it. Closes the target."""
    name = f"translate_{re.sub(r'[^a-z0-9]+', '_', language.lower()).strip('_')}"
    if name == "translate_":
        raise UsageError(f"--language {language!r}: write its English name, for example Finnish")
    asker = Asker(target, seed)
    try:
        found = await translate(list(dict.fromkeys(questions)), language, asker)
    finally:
        await asker.aclose()
    told = [*asker.asked.lines(), *(f"dropped {n}: {why}" for why, n in found.dropped.most_common())]
    if not found.kept:
        raise ContentError("\n".join([f"{language}: no translation held, nothing written", *told]))
    day = date if date is not None else datetime.now(UTC).date().isoformat()
    out = folder / "benchmarks" / "attacks" / f"{name}.yaml"
    _write(out, _attack(name, language, found), f"By evalkit generate translation with {target.name} on {day}, "
           f"seed {seed}; translated back and compared by machine. Not reviewed by a person.")  # fmt: skip
    told.append(f"{len(found.kept)} questions in {language}: {out}")
    return [*told, f"review it, then evalkit --content {folder} run --suite ... --attacks {name}"]


async def translate(questions: Sequence[str], language: str, asker: Asker) -> Translations:
    """What holds of the questions in the language."""
    prompts = content.load_yaml(content.find("benchmarks", "attacks", "prompts", "translate.yaml"), Prompts)
    found = Translations()

    async def one(text: str) -> tuple[str | None, str]:
        there = await asker.ask(prompts.there, {"language": language, "text": text}, _text("translation"))
        if there is None:
            return None, "no translation that can be read"
        if there == text:
            return None, "returned as it was"
        back = await asker.ask(prompts.back, {"language": language, "text": there}, _text("english"))
        if back is None:
            return None, "no way back that can be read"
        return there, differs(text, there, back)

    results = await asyncio.gather(*(one(q) for q in (*questions, FRAME)))
    for question, (there, why) in zip(questions, results, strict=False):
        if there is None or why:
            found.dropped[why] += 1
        elif there in found.kept.values():
            found.dropped["the same as that of another question"] += 1
        else:
            found.kept[question] = there
    frame, why = results[-1]
    if frame is not None and not why:
        found.frame = frame
    return found


def differs(question: str, there: str, back: str) -> str:
    """How the way back leads to another question; "" where it leads to the same one."""
    if sorted(_NUMBER.findall(question)) != sorted(_NUMBER.findall(back)):
        return "another number"
    lost = [n for n in _NAME.findall(question) if n.lower() not in there.lower() and n.lower() not in back.lower()]
    if lost:
        return "a name is lost"
    wanted = stems_of(question)
    if wanted and len(wanted & stems_of(back)) < SHARE * len(wanted):
        return "other words on the way back"
    return ""


def _text(key: str) -> Any:
    """Reads one text out of the answer's JSON: on one line, and no longer than a question is."""

    def accept(found: Any) -> str | None:
        text = found.get(key) if isinstance(found, dict) else None
        if not isinstance(text, str) or not text.strip() or len(text) > 2000 or QUESTION in text or "{{" in text:
            return None
        return " ".join(text.split())

    return accept


def _attack(name: str, language: str, found: Translations) -> Attack:
    return Attack.model_validate(
        {
            "id": name,
            "version": "1",
            "title": f"Translation into {language}",
            "about": f"The request is put in {language} as a whole; the answer is asked for in English.",
            "source": load("translate").source,
            "acts_on": "request",
            "forms": {"whole": {"code": "written", "text": f"{found.frame}\n\n{QUESTION}"}},
            "written": found.kept,
        }
    )


def _write(out: Path, attack: Attack, origin: str) -> None:
    text = f"# {origin}\n" + content.dump_yaml(attack.model_dump(mode="json", exclude_defaults=True))
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(out)
    except OSError as e:
        raise ContentError(f"{out}: {e.strerror or e}") from e
