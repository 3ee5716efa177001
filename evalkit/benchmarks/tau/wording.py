"""What a tau task tells the simulated user, said by the user: "You want to cancel ..." becomes "I want to cancel ...".

Rules for English instructions; sentences that tell how to behave are left to a model that plays the user.
"""

import re

from evalkit.core.text import sentences

_BEHAVIOUR = re.compile(
    r"\b(?:if|when|unless|once|after|before)\b[^.]*\b(?:agent|assistant|representative|asked|asks|"
    r"says|tells|offers|refuses?)\b|"
    r"\byou (?:are|should be) (?:\w+ (?:and|or|,) )*(?:reactive|polite|calm|impatient|emotional|"
    r"direct|cautious|busy|insecure|shy|"
    r"confident|curious|dependent|detailed|independent|logical|messy|optimistic|organized|outgoing|"
    r"patient|pessimistic|quiet|"
    r"relaxing|rigid|sad|sarcastic|flexible|happy|rude|creative|cold)\b|"
    r"\b(?:do not|don't|never|only) (?:mention|say|tell|give|reveal|provide|volunteer|bring)\b|"
    r"\bmake sure to\b|\bpretend\b|"
    r"^(?:if|mention|ask|insist|tell|say|start|be|respond|end|accept|refuse|remember)\b|\bplaying the role\b",
    re.IGNORECASE,
)
_VERBS = (
    "for|to|with|of|from|by|at|about|told|tells|tell|gave|gives|give|asked|offers?|offered|lets?|let|charged|made|makes|"
    "helps?|helped|allows?|allowed|causes?|caused|sent|sends?|owes?|refunds?"
)
_OBJECT = re.compile(
    rf"\b({_VERBS}) you\b(?! (?:to )?(?:are|want|would|will|have|had|can|need|do|did|were)\b)", re.IGNORECASE
)
_WORDS = (
    (r"\byou are\b", "I am"),
    (r"\byou're\b", "I'm"),
    (r"\byou were\b", "I was"),
    (r"\byou've\b", "I've"),
    (r"\byou'd\b", "I'd"),
    (r"\byou'll\b", "I'll"),
    (r"\bare you\b", "am I"),
    (r"\bdo you\b", "do I"),
    (r"\byourself\b", "myself"),
    (r"\byours\b", "mine"),
    (r"\byour\b", "my"),
    (r"\byou\b", "I"),
)


def spoken(text: str) -> str:
    """The text in the first person, without what only tells how to behave; all of it if nothing would be left."""
    parts = [" ".join(text[a:b].split()) for a, b in sentences(text)]
    kept = [p for p in parts if p and not _BEHAVIOUR.search(p)] or [p for p in parts if p]
    return " ".join(_first_person(p) for p in kept)


def _first_person(sentence: str) -> str:
    said = _OBJECT.sub(lambda m: f"{m[1]} me", sentence)
    for pattern, word in _WORDS:
        said = re.sub(pattern, word, said, flags=re.IGNORECASE)
    return re.sub(r"(^|[.!?]\s+)([a-z])", lambda m: m[1] + m[2].upper(), said)
