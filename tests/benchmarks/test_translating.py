"""Translations by a model: kept where the way back leads to the same question; then an attack like any other."""

import json

import pytest

from evalkit import content
from evalkit.benchmarks import attacks, rewriting, suites, translating
from evalkit.benchmarks.attackcodes import Written
from evalkit.cli import main
from evalkit.core.errors import ContentError, UsageError
from evalkit.core.types import Reply

QUESTIONS = [
    "Which yard builds the ferry?",
    "What did Ingrid Taskila say on 12 May?",
    "Why was the sounder not replaced?",
]


class Translator:
    """Puts `-en` behind every word of three letters or more, and takes it off again; `spoils` changes the way back."""

    name = "translator"

    def __init__(self):
        self.spoils = {}

    async def generate(self, request):
        user = request.messages[-1].content
        text = user.split(">>>\n", 1)[1].split("\n<<<end", 1)[0]
        if "into English" in request.messages[0].content:
            back = " ".join(w.removesuffix("-en") for w in text.split())
            return Reply(text=json.dumps({"english": self.spoils.get(back, back)}))
        there = " ".join(f"{w}-en" if len(w) > 2 else w for w in text.split())
        return Reply(text=json.dumps({"translation": self.spoils.get(text, there)}))


def spoiling(**spoils):
    found = Translator()
    found.spoils = {QUESTIONS[int(k[1:])]: v for k, v in spoils.items()}
    return found


async def written(tmp_path, target=None, questions=QUESTIONS):
    lines = await translating.write(
        questions, "Old Norse", target or Translator(), tmp_path, seed=0, date="2026-11-28"
    )  # fmt: skip
    return lines, content.load_yaml(tmp_path / "benchmarks" / "attacks" / "translate_old_norse.yaml", attacks.Attack)


async def test_what_was_written_is_an_attack_that_leads_back_to_every_question(tmp_path, monkeypatch):
    lines, attack = await written(tmp_path)
    assert list(attack.written) == QUESTIONS
    assert attack.written[QUESTIONS[0]] == "Which-en yard-en builds-en the-en ferry?-en"
    assert any("--attacks translate_old_norse" in line for line in lines)
    text = (tmp_path / "benchmarks" / "attacks" / "translate_old_norse.yaml").read_text()
    assert text.startswith("# By evalkit generate translation with translator on 2026-11-28, seed 0")
    monkeypatch.setattr(content, "_extra", [tmp_path])
    assert "translate_old_norse" in [c.name for c in attacks.parse("all")]
    table = attack.table("whole")
    assert isinstance(table, Written)
    assert [table.read(table.write(q)) for q in QUESTIONS] == QUESTIONS


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"_0": "Who sells the car to whom?"}, "other words on the way back"),
        ({"_1": "What did Ingrid Taskila say on 13 May?"}, "another number"),
        ({"_0": QUESTIONS[0]}, "returned as it was"),
        ({"_0": " "}, "no translation that can be read"),
        ({"_0": "as {question}"}, "no translation that can be read"),
    ],
)
async def test_a_translation_that_does_not_lead_back_is_dropped_and_counted(tmp_path, spoilt, why):
    target = spoiling(**spoilt)
    lines, attack = await written(tmp_path, target)
    assert len(attack.written) == 2
    assert f"dropped 1: {why}" in lines


def test_a_name_that_is_lost_both_ways_is_seen():
    assert translating.differs("What did Ingrid Taskila say?", "Hva sa hun?", "What did she say?") == "a name is lost"
    assert translating.differs("What did Ingrid say?", "Hva sa Ingrid?", "What did Ingrid say?") == ""


async def test_two_questions_with_one_translation_cannot_both_be_kept(tmp_path):
    target = spoiling(_0="same", _2="same")
    target.spoils["same"] = f"{QUESTIONS[0]} {QUESTIONS[2]}"
    lines, attack = await written(tmp_path, target, [QUESTIONS[0], QUESTIONS[2]])
    assert len(attack.written) == 1
    assert "dropped 1: the same as that of another question" in lines


async def test_nothing_is_written_where_nothing_held(tmp_path):
    class Silent(Translator):
        async def generate(self, request):
            return Reply(text="I would rather not.")

    with pytest.raises(ContentError, match="no translation held, nothing written"):
        await written(tmp_path, Silent())
    assert not (tmp_path / "benchmarks").exists()
    with pytest.raises(UsageError, match="write its English name"):
        await translating.write(QUESTIONS, "?", Translator(), tmp_path, seed=0)


def test_the_command_writes_an_attack_that_a_run_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(content, "_extra", [])
    model = f"{__name__}:Translator"
    arguments = [
        "generate",
        "translation",
        "--language",
        "Test",
        "--model",
        model,
        "--out",
        str(tmp_path),
        "--limit",
        "6",
    ]
    with pytest.raises(SystemExit) as e:
        main([*arguments, "--out", str(tmp_path)])
    assert e.value.code == 0
    assert "questions in Test" in capsys.readouterr().err
    monkeypatch.setattr(content, "_extra", [tmp_path])
    whole = suites.build("copriva", {})
    found = rewriting.pressed(whole, attacks.parse("translate_test,translate_test+roleplay"), 0)
    rewritten = [s for s in found.read() if s.tags["rewrite"] != "plain"]
    assert all(rewriting.question_of(s) == s.question for s in rewritten)
    assert 0 < len(rewritten) < 200
    assert any("not every request has what they act on: translate_test" in n for n in found.notes)
    with pytest.raises(UsageError, match="put it first"):
        attacks.parse("roleplay+translate_test")


@pytest.mark.parametrize(("texts", "said"), [({}, "none of them empty"), ({"a": "x", "b": "x"}, "one text for two")])
def test_a_table_that_would_not_lead_back_is_refused(texts, said):
    assert said in Written(texts).wrong()
