"""What makes a sentence a policy: deontic cues, and the kind, category, challenge and severity that follow from them.

Decides on the words of one sentence and of the lead-in it stands under; knows nothing of documents (normative.py puts
the two together). English. The lists are ours; their coverage and precision on documents they were not made from are
measured by tests/benchmarks/measure_policies.py.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from evalkit.benchmarks.cuewords import ABOUT, AGENT, CATEGORIES, GRAVE, IMPERATIVES, LIGHT, MONEY, N, RULED
from evalkit.core.text import fold
from evalkit.core.types import PolicyKind


@dataclass(frozen=True)
class Reading:
    """What one sentence is. `cues` names what was found, strongest first; no cues, no policy."""

    cues: tuple[str, ...]
    kind: PolicyKind
    challenge: int
    severity: int
    category: str

    @property
    def normative(self) -> bool:
        """Whether the sentence states a policy."""
        return bool(self.cues)


def read(sentence: str, head: str = "") -> Reading:
    """A plain sentence, and the lead-in of the list that it is an item of ("The agent must not:")."""
    text, lead = _plain(sentence), _plain(head)
    own = tuple(name for name, pattern in _STRONG if pattern.search(text))
    if not own and not _HEDGE.search(text):
        main = main_clause(text)
        own = tuple(name for name, pattern in _WEAK if pattern.search(main if name in _OF_MAIN_CLAUSE else text))
    if not own and _imperative(text):
        own = ("imperative",)
    given = (lead_in(head),) if head and not own else ()
    cues = () if _NOT_A_RULE.search(text) else own or tuple(g for g in given if g)
    whole = f"{lead.rstrip(': ')} {text}" if given and cues else text
    kind = kind_of(text if own else whole)
    if cues and not own and kind in ("obligation", "prohibition"):
        kind = _KIND_OF_LEAD.get(cues[0], kind)
    return Reading(cues, kind, challenge_of(whole), severity_of(whole), category_of(whole))


@lru_cache(maxsize=1024)
def lead_in(head: str) -> str:
    """What a lead-in makes of the items under it: the name of its cue, or "" where they must speak for themselves."""
    text = _plain(head)
    return next((name for name, pattern in _LEADS if pattern.search(text)), "")


def kind_of(text: str) -> PolicyKind:
    """One of the six kinds; the first that fits, from the most special to the most general.

    A rule that forbids stays a prohibition when a condition trails it ("cannot be cancelled unless insured"); one that
    starts with its condition is conditional.
    """
    text = _plain(text)
    if _DISCLOSE.search(text) and _RESTRAINT.search(text) and not _NOT_GROUNDED.search(text):
        return "non_disclosure"
    if _ORDER.search(text):
        return "ordering"
    if _BOUND.search(text):
        return "limit"
    forbids = bool(_NEGATIVE.search(main_clause(text)) or _EXCLUSIVE.search(text))
    if _LEADING.search(text) or (_CONDITION.search(text) and not forbids):
        return "conditional"
    if _QUANTITY.search(text):
        return "limit"
    return "prohibition" if forbids else "obligation"


def main_clause(text: str) -> str:
    """The text without the clause of condition or time that it starts with, and without "unless ..." and "even if ..."."""
    return _TRAILING.sub("", _FRONTED.sub("", text))


def challenge_of(text: str) -> int:
    """1 to 5: one point to start with, and one each for what makes a rule easy to miss.

    A condition; an exception or a concession ("unless", "even if"); arithmetic (two numbers, a share, a difference) or
    a bound on time; something to be done before or after; more than 28 words or two alternatives.
    """
    text = _plain(text)
    numbers = len(re.findall(N, text))
    points = [
        bool(_CONDITION.search(text)),
        bool(_EXCEPTION.search(text)),
        numbers >= 2 or bool(_ARITHMETIC.search(text)),
        bool(_ORDER.search(text)),
        len(text.split()) > 28 or len(re.findall(r"\bor\b", text)) >= 2,
    ]
    return min(5, 1 + sum(points))


def severity_of(text: str) -> int:
    """3 where a break harms somebody (privacy, money taken, safety, law), 1 for manners, else 2."""
    text = _plain(text)
    if GRAVE.search(text):
        return 3
    return 1 if LIGHT.search(text) else 2


def category_of(text: str) -> str:
    """What the policy is about, by the words that tell most; "general" where none does."""
    text = _plain(text)
    scores = [(len(set(pattern.findall(text))), -i, name) for i, (name, pattern) in enumerate(CATEGORIES)]
    best, _, name = max(scores)
    return name if best else "general"


def negative(text: str) -> bool:
    """Whether the rule forbids."""
    return bool(_NEGATIVE.search(_plain(text)))


def exception(text: str) -> bool:
    """Whether the rule names an exception, or stands as one."""
    return bool(_EXCEPTION.search(_plain(text)))


def temporal_clause(text: str) -> str:
    """What must not have happened yet: the words after "before" or "until"; "" where there is no such clause."""
    m = _BEFORE.search(_plain(text))
    return m[1] if m else ""


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    return " ".join(fold(text).text.replace("*", "").split())


def _imperative(text: str) -> bool:
    """Whether a clause tells somebody to do something: the first one, or one after a condition ("If it is late, say so").

    Two words are not enough: "issue date" is a noun.
    """
    for part in re.split(r"[;:]\s+", text):
        first, *later = re.split(r"(?:,\s+|\)\s+)(?:and |then |or |but |please )*", part)
        clauses = [first, *later] if _SUBORDINATE.match(part) else [first]
        if len(part.split()) > 2 and any(_COMMAND.match(c) for c in clauses):
            return True
    return False


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns))


_BE = r"(?:is|are|be|been|was|were)"
_NOT = r"(?:not|n't|never|no longer|neither)"
_COMMAND = re.compile(
    r"^(?:please |first |then |next |also |politely |kindly |immediately |instead |simply |only |always |never |"
    rf"do not |don't |to )*(?:{'|'.join(IMPERATIVES)})\b(?! (?:(?:is|are|was|were|of|has|have|will|may|can)\b|\())"
)
_SUBORDINATE = re.compile(
    r"^(?:if|when|whenever|where|while|before|after|once|until|unless|for|in|on|with|without|should|to|during|at|from|upon|instead)\b"
)
_HEDGE = _any(
    r"\b(?:usually|mostly|typically|often|sometimes|rarely|on average|generally speaking|tend to|for example|for instance)\b",
    rf"\b(?:about|around|roughly|nearly|almost|approximately) {N}",
)
_NOT_A_RULE = _any(
    r"\?$", r"^(?:for example|for instance|e\.g\.)", r"^none\W*$", r"\bmust have been\b", r"^you are an? \w+ ", rf"^there (?:is|are) (?:{N} )?[^,]*:"
)
_STRONG = (
    ("must", _any(r"\b(?:must|shall|ought to)\b", r"\b(?:have|has|having) to\b", r"\bneeds?(?: not)? to\b")),
    ("should", _any(r"\bshould(?:n't)?\b(?! (?:a|an|the|you|any|this|that) )", r"^should .*, (?:do|please|say|ask)\b")),
    ("may not", _any(r"\b(?:may|might) (?:not|only|never|neither)\b", r"\bmay\b.*\bonly\b")),
    (
        "cannot",
        _any(r"\bcan(?:not|'t| not)\b", r"\bcan (?:\w+ )?only\b", r"\bcan (?:\w+ )*?but not\b", r"\bcan\b.* without\b"),
    ),
    ("never", _any(r"\bnever\b", r"\bunder no circumstances?\b", r"\bin no case\b", r"\b(?:on no account|by no means)\b")),
    ("always", _any(r"\balways\b", r"\bin every case\b", r"\bin all cases\b", r"\bwithout exception\b", r"\bno exceptions\b")),
    ("do not", _any(r"(?:^|[,;:] |\b(?:please|and|but|then|or) )(?:do not|don't)\b", rf"\b{AGENT} (?:do not|does not|don't|doesn't)\b")),
    (
        "not allowed",
        _any(
            rf"\b{_BE}(?: \w+)? (?:allowed|permitted|authori[sz]ed|entitled|eligible|obliged|obligated|expected|supposed|free) "
            r"(?:only )?(?:to|for)\b",
            rf"\b{_BE} {_NOT} (?:\w+ )?(?:allowed|permitted|possible|available|eligible|accepted|covered|offered|supported|"
            r"shared|given|paid|included|valid|acceptable|repeated|disclosed|waived|an option|to|refund\w*|transfer\w*|"
            r"chang\w*|exchang\w*|cancel\w*|combin\w*|honou?red|negotiable|reimburs\w*|returnable|charged|required|made|"
            r"extended|issued|done|owed|counted|granted|authori[sz]ed)\b",
            rf"\b{_BE} never\b",
        ),
    ),
    (
        "forbidden",
        _any(
            r"\b(?:prohibited|forbidden|banned|disallowed|off-limits|out of (?:scope|bounds)|ineligible|unacceptable|"
            r"non-(?:refundable|transferable|changeable|returnable|negotiable)|nonrefundable|confidential)\b",
            r"\bexcluded from\b", r"\brefrain from\b", r"\b(?:may|shall|will|must|can) under no\b",
        ),
    ),
    ("required", _any(r"\b(?:required|requires?|mandatory|obligatory|compulsory)\b", r"\bneeds? (?:an? |the |prior |written |\w+'s )+(?:approval|consent|permission|confirmation|agreement|signature)\b")),
    ("is to", _any(rf"\b{_BE} (?:not )?to be \w+", r"\b(?:agent|assistant|you|customer|user)s? (?:is|are) (?:not )?to [a-z]+")),
    ("make sure", _any(r"\b(?:make|be) (?:sure|certain)\b", r"\bensure\b", r"\bresponsib\w+ (?:for|of|to)\b")),
    ("at most", _any(r"\bat (?:the )?(?:most|least)\b", r"\b(?:no|not) (?:more|less|fewer|later|longer|earlier|greater|larger) than\b",
                     r"\b(?:limited|capped|restricted) (?:to|at)\b", r"\b(?:upper|lower|maximum|minimum|max)\b.*" + N,
                     r"\bonce (?:per|a|in)\b", r"\bone .*\bat a time\b", r"\bcan .* up to\b", r"\bat most\b", r"\b(?:does|do|must|should) not exceed\b")),
    ("unless", _any(r"\bunless\b", r"\bif,? and only if\b", r"\bonly (?:if|when|after|once|where|in case|on condition)\b",
                    r"(?:^|, )only [a-z]+ .*\b(?:if|when|after|once|where|to)\b")),
    ("takes precedence", _any(r"\b(?:takes? precedence|overrid\w+|overrul\w+|prevails?|supersedes?)\b")),
)  # fmt: skip
_WEAK = (
    ("may, with a condition", _any(r"\bmay\b.*\b(?:if|when|once|as long as|until|after|before|within|up to|provided|except|for|per)\b",
                                   rf"\b(?:{AGENT}|{RULED}) may\b")),
    ("can, with a condition", _any(r"\bcan be .*\b(?:if|once|as long as|until|within|up to|provided|except|without|any time|only|regardless)\b",
                                   r"\bcan\b.*\b(?:only|provided|as long as)\b")),
    ("only", _any(r"\b(?:only|solely|exclusively) (?:if|when|after|once|with|by|for|one|two|on|through|in|between|from|the|those|to)\b")),
    ("bound", _any(rf"\b(?:within|until|up to|more than|less than|fewer than|over|above|below|under|exceeding|beyond|after|for) "
                   rf"(?:the (?:first|last) )?{N}(?: \w+){{0,2}}? (?:\w+ )?(?:minutes?|hours?|days?|weeks?|months?|years?|times?|attempts?|messages?)\b",
                   rf"{N}[\w %]{{0,12}} or (?:less|fewer|more|older|younger)\b", rf"\b{N} (?:\w+ ){{0,3}}(?:per|each|a) (?:order|customer|booking|account|year|month|day|person|passenger|conversation|item)\b",
                   rf"\btakes? (?:up to )?{N}\b", rf"\b(?:have|has|get|gets|receives?) {N} (?:\w+ )?(?:days?|weeks?|months?|hours?|years?)\b")),
    ("amount", _any(MONEY, rf"{N} free\b", rf"{N} (?:\w+ ){{1,4}}for each\b")),
    ("negated passive", _any(r"\b(?:is|are) not (?:\w+ly )?\w+(?:ed|en|ne|ld|nt|de)\b")),
    ("ruled passive", _any(rf"\b{_BE} (?:then |first |also |only |immediately |automatically |not )?(?:{ABOUT})\b")),
    ("stays", _any(r"\b(?:stays?|remains?) (?:as|the same|internal|private|unchanged|valid|in force|with|confidential|open|closed)\b")),
    ("refund goes", _any(r"\brefunds?\b.* (?:go(?:es)?|paid|made|issued|sent|credited|returned|processed)\b", r"\b(?:goes?|passed?) to the\b.*\b(?:team|lead|manager|desk|office|department|supervisor)\b")),
    ("entitled", _any(r"\b(?:entitles?|qualif(?:y|ies)|eligible|(?:is|are) (?:valid|good) (?:for|until)|expires?|lapses?|bears? the|"
                      r"appl(?:y|ies) (?:to|only|for|when|if)|counts? as|does not count|pays? the|deserves?)\b")),
    ("nothing is", _any(r"\bno (?:[\w-]+ ){1,6}?(?:is|are|will|may|can|shall|gets?|receives?|applies|apply)\b", r"\b(?:nothing|nobody|no one|none) (?:\w+ )?(?:is|are|may|can|will|shall)\b",
                        r"\b(?:without|no) (?:refund|charge|fee|cost|compensation)s?\b")),
    ("will", _any(r"\bwill (?:only|not be|never|always|be (?:refunded|charged|credited|issued|applied|waived|billed|declined|refused|cancelled))\b")),
    ("except", _any(r"\b(?:except|regardless of|irrespective of|provided that|on condition that|even if|even when)\b")),
    ("role does", _any(rf"^(?!we )(?:an?|the|every|all|each)? ?{AGENT} (?:\w+ly )?(?:handles?|serves?|asks?|offers?|gives?|transfers?|uses?|keeps?|checks?|confirms?|verif(?:y|ies)|"
                       r"answers?|speaks?|explains?|refuses?|declines?|informs?|collects?|records?|escalates?|reports?|waits?|takes?|follows?|treats?|applies|apply|stops?|closes?)\b")),
    ("avoid", _any(r"^avoid\b", r"\bstrictly\b", r"\bat (?:their|the customer's|its) own\b")),
)  # fmt: skip
_OF_MAIN_CLAUSE = frozenset({"ruled passive", "negated passive", "stays", "entitled"})
_KIND_OF_LEAD: dict[str, PolicyKind] = {
    "negative lead-in": "prohibition", "conditional lead-in": "conditional", "permission with terms": "conditional",
}  # fmt: skip
_LEADS = (
    ("negative lead-in", _any(r"\b(?:must|may|shall|should|can|are|is|do|does|will) (?:not|never)\b", r"\b(?:cannot|never|don't|can't|prohibited|forbidden|excluded|not allowed|avoid)\b")),
    ("lead-in", _any(r"\b(?:must|shall|should|ought|required?|requires|needs? to|has to|have to|always|ensure|make sure)\b", r"\bonly (?:if|when|after)\b")),
    ("conditional lead-in", _any(r"^(?:if|when|whenever|where|unless|for (?!each|example|instance|more)|in case|once|after|before|in the event)\b.*:$",
                                 r"\b(?:if|when|unless|where|once|provided)\b[^,]*:$", r"\b(?:conditions?|criteria|exceptions?)\b")),
    ("permission with terms", _any(r"\bmay (?!be (?:because|due))", r"\b(?:eligible|allowed|permitted|entitled|accept(?:ed|able)?)\b")),
    ("rules", _any(r"\b(?:rules?|guidelines?|requirements?|obligations?|steps|procedure|do(?:es)? the following|limits?|keep .* in mind)\b")),
)  # fmt: skip
_DISCLOSE = _any(
    r"\b(?:disclos\w*|reveal\w*|divulg\w*|leak\w*|confidential\w*|secrets?|read out|give out|giv\w+ (?:away|out)|expos\w+)\b",
    r"\b(?:shar(?:e|es|ed|ing)|repeat\w*|pass(?:ed|es)? on|private)\b(?!.* flights?\b)", r"\bstays? (?:internal|private)\b", r"\binternal\b.*\b(?:information|notes?|polic\w+)\b",
    r"\b(?:tell|telling|told|say|show|showing|shown|mention\w*|confirm|discuss\w*|give|read|name|talk)\b.*\b(?:other (?:customer|user|passenger|patient|person|people|member|client)s?|"
    r"another (?:customer|user|passenger|patient|person|member|client)|third part\w+|passports?|card numbers?|passwords?|account numbers?|phone|e-?mail|"
    r"notes|who\b|whose|whether|how many|diagnos\w+|salary|date of birth|home address)\b",
)  # fmt: skip
_RESTRAINT = _any(
    r"\b(?:not|never|cannot|no|nobody|without|only|forbidden|prohibited|confidential|internal|stays?|private|refuse|decline|except|unless|secret|neither|nor|refrain)\b|n't\b"
)
_NOT_GROUNDED = _any(r"\bnot (?:provided|in|found|from) (?:by|the|in)\b", r"\bmade? up\b", r"\binvent", r"\b(?:opinions?|subjective)\b")
_ORDER = _any(
    rf"\b(?:before|prior to)\b(?! {N})(?! (?:departure|that|this|arrival|midnight|noon|\d))(?!.{{0,40}}\bfor a fee)",
    r"\buntil (?:the|you|it|they|he|she|a|an|[a-z]+ing|[a-z]+ (?:has|have|is|are))\b(?!.*\b(?:hours?|days?) before)",
    r"\b(?:must|should|shall|to|has|have|is|are|agent|assistant|you) first\b", r"\bfirst\b.*\bthen\b", r"\bonly (?:after|once)\b",
    r"\bfirst (?:described|confirmed|verified|checked|asked|obtained)\b", r"^(?:first|next|finally),? ", r"\bsteps?\b.*\border\b", r"\bif .*\bask\b.*\bbefore\b",
)  # fmt: skip
_UNIT = r"(?:minutes?|hours?|days?|weeks?|months?|years?|business|working|calendar|hrs?|%|percent|kg|words|characters|items?|passengers?|nights?)"
_BOUND = _any(
    rf"\b(?:at most|at least|no more than|not more than|no less than|no fewer than|no later than|no longer than|up to|maximum|minimum|max|most|limit(?:ed)?|capped|exceed\w*)\b.*",
    rf"{N}[\w %]{{0,12}} or (?:less|fewer|more)\b", r"\bat a time\b", r"\bonce per\b", r"\bonly one\b", r"\b(?:more|less|fewer) than (?:one|an?)\b",
    rf"\b(?:within|more than|less than|fewer than|over|above|below|exceeding|until|after|for|takes?) (?:the (?:first|last) )?{N}(?: to {N})? (?:\w+ )?{_UNIT}\b",
    rf"\b(?:over|above|below|under|exceeding|more than|less than) {MONEY}",
)  # fmt: skip
_QUANTITY = _any(MONEY, rf"\b{N} (?:\w+ )?{_UNIT}\b", rf"\bonly {N}\b", rf"^{N} ", rf"\b{N} \w+ (?:per|each|for each)\b")
_CONDITION = _any(
    r"(?<!even )\b(?:if|when|whenever|provided|in case|in the event|as long as|otherwise|should a)\b", r"\b(?:unless|except|depending)\b",
    r"\b(?:for|of) (?:gold|silver|regular|premium|basic|new|existing|business|members?|any other|children|customers? with|customers? who)\b", r"\bonly (?:together )?with\b",
    r"\b(?:with|without) (?:the|their|a|prior) \w+ (?:consent|approval)\b",
)  # fmt: skip
_LEADING = _any(r"^(?:[\w ]{1,30}: )?(?:if|when|whenever|where|unless|in case|in the event|otherwise|should|for (?!each|every|example|all))\b",
                r"^(?:[\w ]{1,30}: )?(?:after|once|as soon as|upon)\b.*,(?!.*\b(?:not|never|cannot|no longer)\b)", r"\bonly (?:if|when|where|in case)\b", r"\bif,? and only if\b")
_FRONTED = re.compile(r"^(?:if|when|whenever|where|while|after|once|until|unless|as soon as|should|for|in|on|at|from|before)\b[^,]*,\s*(?:then )?")
_TRAILING = re.compile(r",?\s*\b(?:unless|even if|even when|if|when|as long as|provided|except)\b.*$")
_EXCLUSIVE = _any(r"\b(?:can|may|is|are|must|should|will) (?:be )?(?:\w+ )?only\b(?! (?:if|when|after|once|in case|where|with|together))", r"^(?:\w+ )?only (?:on|to|for|from|in|by|the)\b",
                  r"\bonly[.!]?$", r"^\w+ only (?:on|to|for|from|in|by|the)\b", r"\b(?:stays?|remains?) (?:as|the same|unchanged)\b")
_EXCEPTION = _any(
    r"\b(?:unless|except\w*|regardless|irrespective|even (?:if|when|though)|notwithstanding|otherwise|however|instead|despite|other than|but not|overrid\w+|overrul\w+|precedence)\b"
)
_ARITHMETIC = _any(r"\b(?:difference|percent|times the|per|each|total|sum|share|remaining|more than|less than|within|at most|at least|up to|maximum)\b", r"%")
_NEGATIVE = _any(
    r"\b(?:not|never|cannot|nobody|nothing|neither|nor|forbidden|prohibited|banned|excluded|refrain|avoid|decline[ds]?|refused?|deny|denied|"
    r"out of (?:scope|bounds)|ineligible|non-\w+|without refund|no longer)\b|n't\b|\bno (?:\w+ ){1,4}(?:is|are|may|can|will)\b"
)
_BEFORE = re.compile(r"\b(?:before|prior to|until)\s+([^,;.:]+)")
