"""Rules that are said as facts: "Dogs stay on a lead", "Whoever asks is taken off the list". By points.

A policy document states many rules in the present tense without a word of duty. What speaks for a rule: a condition, a
negation, a universal subject, the passive without an agent, an amount, a permission. What speaks against one: the past,
hedges, sentences that name, describe or place things. The words are those of English grammar and of no business;
cuepatterns.py has those that need no points. Knows sentences only, no documents.
"""

import re

from evalkit.benchmarks.cuewords import AGENT, MONEY, RULED, N
from evalkit.benchmarks.kindpatterns import FRONTED

ENOUGH = 2
"""Points from which a sentence is taken for a rule."""
AGAINST_WEAK = -2
"""Points up to which a weak cue does not make a rule: "The club has a party once a year"."""
_BE = r"(?:is|are|be|isn't|aren't)"
_PAST_PARTICIPLE = (
    r"(?:\w+(?:ed|en|ept|ade|old|aid|iven|ent|ost|own|orn|oken|one|eft|ut down|ut back|ut right)|put|cut|"
    r"set|read|lost|met|held|sold|told|done|kept|found|bought|brought|taught|made|paid|said|sent|built|"
    r"lent|left|won)"
)
_UNIT = (
    r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|times?|kilos?|kg|metres?|miles?|"
    r"sentences?|words|pages?|percent|per cent|%)"
)
FOR = (
    # a condition, in front (with its comma) or behind
    (
        2,
        r"^(?:if|when|whenever|where|wherever|while|until|unless|as (?:soon|long) as|in case|once|before|"
        r"after|whoever|whatever|in (?:the|an) (?:case|event)|should|were|had|provided|except|apart from|"
        r"without|for|with|on|by|upon|within|during|in)\b[^,]{3,90},|^in an? (?:\w+ )?(?:emergency|case|event)\b",
    ),
    (
        2,
        r"\b(?:unless|provided|(?:as|so) long as|as soon as|in case|whoever|on condition|on request|"
        r"on (?:presentation|sight|receipt|production|proof)|against payment|subject to|except|"
        r"with (?:[\w']+ ){1,3}(?:consent|agreement|approval))\b",
    ),
    (1, r"\b(?:if|when|whenever|until|once|before|after|while|without|only|except|unless)\b"),
    # a negation
    (2, r"\b(?:not|never|cannot|neither|nor|nobody|no one|nothing|none|no longer|nowhere)\b|n't\b"),
    (
        2,
        r"^(?:no|nobody(?:'s)?|none|neither|nothing)\b|\b(?:has|have|with|are|is|gives?|takes?|carr(?:y|"
        r"ies)|needs?|at|makes?|accepts?|gets?|offers?) no\b|'s no\b|\bno (?:place|business|amount|authority|"
        r"claim|right|"
        r"guarantee|need|exceptions?)\b",
    ),
    (
        2,
        r"\bim(?:possible|permissible)\b|\bout of (?:the question|reach|our hands)\b|\b(?:refuses?|refused|"
        r"excluded|barred|"
        r"exempt|ineligible|final|off limits|taboo|closed to)\b",
    ),
    # who it is for
    (
        2,
        r"^(?:every|each|all|any|anyone|anybody|anything|everyone|everybody|everything|such|whoever|both|"
        r"either|those who)\b",
    ),
    (
        1,
        rf"^(?:an?|the|our)? ?(?:\w+ ){{0,2}}{AGENT} (?:\w+ly )?[a-z]+s?\b|^(?:an?|"
        rf"the)? ?(?:\w+ ){{0,2}}{RULED} [a-z]+\b",
    ),
    (
        2,
        r"\b(?:is|are) (?:best |better )?(?:for|up to|down to|the (?:business|affair|job|task|duty|decision) of|"
        r"nobody's|"
        r"left to|reserved)\b|\b(?:decides?|(?:makes?|has|have) (?:that|the|this|the last|the final) (?:call|"
        r"decision|say|word))\b|"
        r"\b(?:the same (?:goes|applies|holds|is true)|likewise)\b|^one \w+ \w+s one\b|\b(?:go(?:es)?|"
        r"returns?) (?:back )?to (?!bed|sleep|work|sea)|\bgo(?:es)? back (?:the|to|"
        r"as)\b|\bbelongs? (?:to|with)\b|\brests? with\b",
    ),
    (
        1,
        r"\b(?:stays?|remains?|needs?|requires?|bears?|counts?|follows?|expires?|lapses?|starts? on|"
        r"ends? on|will do|suffices?)\b",
    ),
    (
        2,
        r"\b(?:right|entitle\w*|claim|duty|obligation|permission|leave|authority|limit|ceiling|cap|"
        r"deadline|minimum|maximum|exception|condition|guarantee|priority|precedence)\b(?! (?:hand|side|"
        r"now|away|as)\b)",
    ),
    (
        1,
        r"\b(?:needs?|takes|requires?|calls? for|depends? on|counts?|suffices?|applies|apply|starts? on|"
        r"ends? (?:on|with)|follows?|comes? (?:first|back|second|last|out)|come (?:first|back|second|"
        r"last)|stays?|remains?|costs?|gets?|earns?|bears?|pays?|owes?|carries|expires?|lapses?|travels?|"
        r"receives?|waits?|will do|works? one)\b",
    ),
    (1, r"\b(?:can|may|do|does|must|shall|should|could)\b"),
    (
        2,
        r"(?:\b(?:is|are|will be)|'s) (?:not )?(?:fine|welcome|possible|all right|acceptable|ok|okay|"
        r"enough|sufficient|essential|free|due|open to|secret|private|confidential|internal|under wraps|"
        r"classified)\b",
    ),
    (1, rf"{MONEY}|\b{N} (?:\w+ )?{_UNIT}\b"),
    (
        1,
        r"\b(?:instead|at once|straight away|the same day|immediately|in advance|in full|in hand|"
        r"in writing|first|second|at a time|per|free of charge|on (?:their|his|her|its) own|alone|"
        r"of (?:its|their) own|most we|the most|the least|the (?:longest|smallest|largest|highest|"
        r"lowest))\b",
    ),
)  # fmt: skip
OF_MAIN_CLAUSE = (
    # what is done, by nobody in particular
    (
        2,
        (
            rf"\b(?:is|are|gets?) (?:not |then |first |also |always |only |never |"
            rf"\w+ly )?{_PAST_PARTICIPLE}\b(?! (?:by|in the|as an?) )"
        ),
    ),
    (1, rf"\b(?:is|are) {_PAST_PARTICIPLE}\b"),
)
AGAINST = (
    # what a thing consists of, what a machine does, what somebody will notice
    (
        3,
        r"^(?:each|every|all|an?|the)\b[^,;]*\b(?:has|have|contains?|includes?|specif(?:y|ies)|"
        r"consists? of|comes with)\b(?! (?:no|to|only|the right)\b)",
    ),
    (2, r"^the (?:[\w-]+ ){0,5}(?:tool|system|status|page|form(?! of)|button|screen|website|app|"
        r"software)\b(?: will)?"),
    (5, r"\b(?:will|would) (?:not )?(?:have|see|notice|know|feel|lose|be (?:lost|updated|shown|seen))\b"),
    (2, r"\b(?:likes?|loves?|knows?|notices?|enjoys?|remembers?|thinks?|hopes?|forgets?|sees?|does not see)\b"),
    (
        2,
        r"\b(?:you|users?|customers?) can (?:help|look|use|see|find|add)\b|^you help\b|"
        r"\bcan (?:be reached|be (?:\w+, )+)",
    ),
    (
        4,
        r"^(?!if|when|whenever|where|unless|once|should|had|were)(?:[^,]* )?(?:was|were|had|did|has been|"
        r"have been|has become|used to)\b(?!.*,.*\b(?:is|are|can|may|gets?|do)\b)",
    ),
    (
        2,
        r"\b(?:(?<!the )most|mostly|usually|often|frequently|sometimes|typically|rarely|seldom|generally|"
        r"tend to|some|many|several|hardly|a (?:fifth|third|quarter|half) of (?:our|the|all)|"
        r"half of (?:the|our|all)|on average|in practice|nearly|almost|roughly|popular|famous)\b",
    ),
    (
        2,
        rf"\b(?:about|around|some|nearly|roughly) {N}\b(?! {_UNIT})|\b(?:each|every|a) (?:day|week|month|"
        rf"year|season|summer|winter)[.,]?$",
    ),
    (
        2,
        r"^(?:there (?:is|are)|it is located|this (?:document|guide|page|manual|handbook|chapter)|it has|"
        r"they (?:are|have)|we (?:have|are|sell|run|own)|our)\b(?!.*\b(?:no|not|only|at most)\b)",
    ),
    (
        2,
        r"\b(?:is|are) (?:called|named|known|located|situated|based|described|printed|typed|run|written|"
        r"designed|rebuilt|staffed|updated|shown|listed|stored in|kept in|opened by|made of)\b",
    ),
    (
        2,
        r"\b(?:is|are) (?!(?:the|an?) (?:exception|limit|ceiling|condition|right|most|means|price|cost|"
        r"maximum|minimum|smallest|largest|longest)\b)(?:an?|the) (?!\w+ (?:rate|price|fee)\b)\w+",
    ),
    (
        1,
        r"\b(?:sits?|stands?|lies?|looks? like|begins? with|smells?|likes?|loves?|sells?|runs?|"
        r"arrives? in|comes? by|come by|fits?|breaks?|writes?|hears?|surprises?)\b",
    ),
    (
        1,
        r"^(?:[a-z]+ & [a-z]+|it|they|he|she|this|these|that|since|because)\b(?! (?:is not|isn't|cannot|"
        r"can|may|does not|are not)|(?:'s| is) no\b)",
    ),
    (2, r"\b(?:can|may|might|will|would|could) (?:well )?(?:feel|seem|look|sound|appear|happen)\b|\b(?:care|"
        r"understand)\b"),
    (3, r"\b(?:happy|glad|pleased) to help\b|\bwe have (?:\w+ )?\w+ed\b|\b(?:notes|rules|pages|lines) (?:below|"
        r"above|that follow)\b"),
    (1, r"\b(?:which is|who is|since|because|whose)\b"),
)  # fmt: skip
_OF_MAIN_CLAUSE = tuple((n, re.compile(p)) for n, p in OF_MAIN_CLAUSE)
_FOR = tuple((n, re.compile(p)) for n, p in FOR)
_AGAINST = tuple((n, re.compile(p)) for n, p in AGAINST)
_VALUE = re.compile(rf"{N}|\b(?:none|nothing|not|no|never|only|free|half|all|whole|unlimited|everything|always)\b")
_SHORT = 3
_BRACKETS = re.compile(r"\s*\([^()]*\)")
_ASIDE = re.compile(
    r"^(?:what|which|who|how|where|whether|whoever)\b.{3,60}? (?=(?:is|are|stays?|remains?|belongs?|"
    r"depends?|goes|can|may)\b)|\b(?:that|who|which|whom|those who|as|than)\b[^,;:]*"
)
"""Clauses whose tense is their own: "a ticket that was bought", "the way it came"."""
_ASKS = re.compile(
    r"\bdepends? on\b|\bhow (?:long|much|many|often|early|late|far)\b|\b(?:deadlines?|fees?|limits?|"
    r"prices?|rates?|charges?|refunds?|times|periods?|notice|allowances?|ceilings?)\b"
)


def points(text: str) -> int:
    """What speaks for a rule, less what speaks against one; of a plain lower-case sentence."""
    main, bare = FRONTED.sub("", text), _ASIDE.sub("", text)
    return (
        sum(n for n, p in _FOR if p.search(text))
        + sum(n for n, p in _OF_MAIN_CLAUSE if p.search(main))
        - sum(n for n, p in _AGAINST if p.search(bare))
    )


def stated(text: str) -> bool:
    """Whether the sentence states a rule."""
    text = _BRACKETS.sub("", text)
    return not text.endswith(":") and len(text.split()) >= _SHORT and points(text) >= ENOUGH


def valued(text: str, head: str) -> bool:
    """Whether an item gives the value that its lead-in asks for: "pots: 30 days" under "how long they have:"."""
    return _ASKS.search(head) is not None and _VALUE.search(text) is not None
