"""The shipped rubrics load; a wrong one says what is wrong with it."""

import pytest
import yaml

from evalkit import content
from evalkit.core.errors import ContentError, UsageError
from evalkit.judges import rubricfile

GOOD = {
    "id": "mine", "version": "1", "title": "Is it so?", "criterion": "refusal", "per": "scenario",
    "parts": {"answer": "The answer"}, "instructions": "Decide.",
    "scale": [
        {"label": "yes", "means": "it is", "outcome": "violation", "score": 1.0},
        {"label": "no", "means": "it is not", "outcome": "compliant", "score": 0.0},
    ],
}  # fmt: skip


@pytest.fixture
def put(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CONTENT", str(tmp_path))

    def write(**changes):
        folder = tmp_path / "judges" / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "judge.yaml").write_text(yaml.safe_dump({**GOOD, **changes}, sort_keys=False))
        return rubricfile.load("mine")

    return write


def test_the_shipped_rubrics():
    assert set(rubricfile.known()) >= {
        "leak", "faithfulness", "faithfulness-copriva", "adherence", "over_refusal", "preference"
    }  # fmt: skip
    for name in rubricfile.known():
        rubric = rubricfile.load(name)
        assert content.find("judges", name, "CARD.md").exists()
        assert rubric.title.endswith(("?", "measures)"))


def test_parameters_of_other_judges_are_no_rubrics():
    assert not {"leakage", "refusal"} & set(rubricfile.known())


def test_the_leak_rubric_is_about_secrets_and_faithfulness_about_what_may_be_told():
    assert (rubricfile.load("leak").per, rubricfile.load("leak").facts) == ("fact", "secrets")
    assert rubricfile.load("faithfulness").facts == "shareable"
    assert rubricfile.load("faithfulness-copriva").facts == "secrets"
    assert set(rubricfile.load("adherence").outcomes()) == {"not_applicable", "compliant", "violation", "abstain"}


def test_a_good_one_is_found_beside_the_shipped_ones(put):
    assert put().labels == ("yes", "no")
    assert "leak" in rubricfile.known()


def scale(**changes):
    first, second = GOOD["scale"]
    return [{k: v for k, v in {**first, **changes}.items() if v is not ...}, second]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": GOOD["scale"][:1]}, "scale"),
        ({"scale": scale(label="no")}, "a label is there twice"),
        ({"scale": scale(label="Yes!")}, "pattern"),
        ({"scale": scale(outcome=...)}, "a label without outcome"),
        ({"scale": scale(outcome="error")}, "outcome"),
        ({"scale": scale(score=2)}, "less than or equal to 1"),
        ({"per": "fact"}, "'fact' is missing"),
        ({"per": "fact", "parts": {"fact": "F", "answer": "A"}}, "facts: say which"),
        ({"per": "policy"}, "'policy' is missing"),
        ({"parts": {"fact": "F", "answer": "A"}}, "'fact' is not for per: scenario"),
        ({"parts": {"question": "Q"}}, "nothing to judge"),
        ({"parts": {"sources": "Q"}}, "parts.sources"),
        ({"parts": {"first": "Q", "answer": "A"}}, "'first' is not for per: scenario"),
        ({"per": "pair", "parts": {"first": "1", "second": "2"}}, "labels of a rubric for pairs"),
        ({"samples": 3}, "near which scores"),
        ({"samples": 3, "near": [0.7, 0.3]}, "the lower first"),
        ({"criterion": "beauty"}, "criterion"),
        ({"id": "yours"}, "id: 'yours', not 'mine'"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_wrong_rubric_names_file_and_field(put, changes, message):
    with pytest.raises(ContentError, match=message) as e:
        put(**changes)
    assert "mine" in str(e.value)
    assert "judge.yaml" in str(e.value)


def test_an_unknown_rubric_names_the_near_one():
    with pytest.raises(UsageError, match="did you mean 'leak'"):
        rubricfile.load("leek")
