"""The patterns of the cues: what marks a sentence as a policy, and what decides its kind. No decision is made here.

All look at plain lower-case text on one line (cues.py). The order within a table matters where the first match wins.
"""

import re

from evalkit.benchmarks.cuewords import ABOUT, AGENT, IMPERATIVES, MONEY, RULED, N
from evalkit.core.types import PolicyKind


def any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns))


BE = r"(?:is|are|be|been|was|were)"
NOT = r"(?:not|n't|never|no longer|neither)"
COMMAND = re.compile(
    r"^(?:please |first |then |next |also |politely |kindly |immediately |instead |simply |only |always |never |"
    rf"do not |don't |to )*(?:{'|'.join(IMPERATIVES)}|name (?:the|a|no|every|both)|see (?:for yourself|that|to it))\b"
    r"(?! (?:(?:is|are|was|were|of|has|have|will|may|can)\b|\())"
)
SUBORDINATE = re.compile(
    r"^(?:if|when|whenever|where|while|before|after|once|until|unless|for|in|on|with|without|should|to|"
    r"during|at|from|upon|instead)\b"
)
HEDGE = any_of(
    r"\b(?:usually|mostly|typically|often|sometimes|rarely|on average|generally speaking|tend to|"
    r"for example|for instance)\b",
    rf"\b(?:about|around|roughly|nearly|almost|approximately) {N}",
    r"\b(?:may|might) well\b",
)
NOT_A_RULE = any_of(
    r"\?$",
    r"^(?:for example|for instance|e\.g\.)",
    r"^none\W*$",
    r"\bmust have been\b|\bmust be (?:one of )?the (?:\w+est|most|least)\b",
    r"^(?:thank you|thanks)\b|^there used to be\b",
    r"\bwe (?:can't|cannot) (?:influence|predict|control|know)\b",
    r"^you are an? \w+ ",
    rf"^there (?:is|are) (?:{N} )?[^,]*:",
)
STRONG = (
    ("must", any_of(r"\b(?:must|shall|ought to)\b", r"\b(?:have|has|having) to\b", r"\bneeds?(?: not)? to\b")),
    (
        "should",
        any_of(r"\bshould(?:n't)?\b(?! (?:a|an|the|you|any|this|that) )", r"^should .*, (?:do|please|say|ask)\b"),
    ),
    ("may not", any_of(r"\b(?:may|might) (?:not|only|never|neither)\b", r"\bmay\b.*\bonly\b")),
    (
        "cannot",
        any_of(
            r"\bcan(?:not|'t| not)\b", r"\bcan (?:\w+ )?only\b", r"\bcan (?:\w+ )*?but not\b", r"\bcan\b.* without\b"
        ),
    ),
    (
        "never",
        any_of(r"\bnever\b", r"\bunder no circumstances?\b", r"\bin no case\b", r"\b(?:on no account|by no means)\b"),
    ),
    (
        "always",
        any_of(
            r"\balways\b", r"\bin every case\b", r"\bin all cases\b", r"\bwithout exception\b", r"\bno exceptions\b"
        ),
    ),
    (
        "do not",
        any_of(
            r"(?:^|[,;:] |\b(?:please|and|but|then|or) )(?:do not|don't)\b",
            rf"\b{AGENT} (?:do not|does not|don't|doesn't)\b",
        ),
    ),
    (
        "not allowed",
        any_of(
            rf"\b{BE}(?: \w+)? (?:allowed|permitted|authori[sz]ed|entitled|eligible|obliged|obligated|"
            r"expected|supposed|free) "
            r"(?:only )?(?:to|for)\b",
            rf"\b{BE} {NOT} (?:\w+ )?(?:allowed|permitted|possible|available|eligible|accepted|covered|"
            r"offered|supported|"
            r"shared|given|paid|included|valid|acceptable|repeated|disclosed|waived|an option|to|refund\w*|transfer\w*|"
            r"chang\w*|exchang\w*|cancel\w*|combin\w*|honou?red|negotiable|reimburs\w*|returnable|charged|"
            r"required|made|"
            r"extended|issued|done|owed|counted|granted|authori[sz]ed)\b",
            rf"\b{BE} never\b",
        ),
    ),
    (
        "forbidden",
        any_of(
            r"\b(?:prohibited|forbidden|banned|disallowed|off-limits|out of (?:scope|bounds)|ineligible|unacceptable|"
            r"non-(?:refundable|transferable|changeable|returnable|negotiable)|nonrefundable|confidential)\b",
            r"\bexcluded from\b",
            r"\brefrain from\b",
            r"\b(?:may|shall|will|must|can) under no\b",
        ),
    ),
    (
        "required",
        any_of(
            r"\b(?:required|requires?|presupposes?|mandatory|obligatory|compulsory)\b",
            r"\bneeds? (?:an? |the |prior |written |\w+'s )+(?:approval|consent|permission|confirmation|"
            r"agreement|signature)\b",
        ),
    ),
    (
        "is to",
        any_of(
            rf"\b{BE} (?:not )?to be \w+", r"\b(?:agent|assistant|you|customer|user)s? (?:is|are) (?:not )?to [a-z]+"
        ),
    ),
    ("make sure", any_of(r"\b(?:make|be) (?:sure|certain)\b", r"\bensure\b", r"\bresponsib\w+ (?:for|of|to)\b")),
    (
        "at most",
        any_of(
            r"\bat (?:the )?(?:most|least)\b",
            r"\b(?:no|not) (?:more|less|fewer|later|longer|earlier|greater|larger) than\b",
            r"\b(?:limited|capped|restricted) (?:to|at)\b",
            r"\bnot (?:more|less) (?:often|frequently)\b",
            rf"\bcan be \w+ (?:once|twice|{N} times)\b",
            r"\b(?:upper|lower|maximum|minimum|max)\b.*" + N,
            r"\bone .*\bat a time\b",
            r"\bcan .* up to\b",
            r"\bat most\b",
            r"\b(?:does|do|must|should) not exceed\b",
        ),
    ),
    (
        "unless",
        any_of(
            r"\bunless\b",
            r"\bif,? and only if\b",
            r"\bonly (?:if|when|after|once|where|in case|on condition)\b",
            r"(?:^|, )only [a-z]+ .*\b(?:if|when|after|once|where|to)\b",
        ),
    ),
    (
        "is advised",
        any_of(
            rf"\b{BE} (?:strongly )?(?:asked|advised|encouraged|instructed|reminded|needed|necessary|essential|"
            r"crucial|vital|imperative)\b",
            r"\b(?:prerequisites?|preconditions?|zero tolerance|reserves? the right|subject to|at the discretion of)\b",
            r"\bliable\b",
        ),
    ),
    ("takes precedence", any_of(r"\b(?:takes? precedence|overrid\w+|overrul\w+|prevails?|supersedes?)\b")),
)
WEAK = (
    (
        "may, with a condition",
        any_of(
            r"\bmay\b.*\b(?:if|when|once|as long as|until|after|before|within|up to|provided|except|for|per)\b",
            rf"\b(?:{AGENT}|{RULED}) may\b",
        ),
    ),
    (
        "can, with a condition",
        any_of(
            r"\bcan be .*\b(?:if|once|as long as|until|within|up to|provided|except|without|any time|only|"
            r"regardless)\b",
            r"\bcan\b.*\b(?:only|provided|as long as)\b",
        ),
    ),
    (
        "only",
        any_of(
            r"\b(?:only|solely|exclusively) (?:if|when|after|once|with|by|for|one|two|on|through|in|"
            r"between|from|the|those|to)\b"
        ),
    ),
    (
        "bound",
        any_of(
            r"\bonce (?:per|a|in)\b",
            r"\b(?:within|inside|until|up to|more than|less than|fewer than|over|above|below|under|exceeding|"
            r"beyond|after|for) "
            rf"(?:the (?:first|last) )?{N}(?: \w+){{0,2}}? (?:\w+ )?(?:minutes?|hours?|days?|weeks?|"
            r"months?|years?|times?|attempts?|messages?)\b",
            rf"{N}[\w %]{{0,12}} or (?:less|fewer|more|older|younger)\b",
            rf"\b{N} (?:\w+ ){{0,3}}(?:per|each|a) (?:order|customer|booking|account|year|month|day|person|"
            r"passenger|conversation|item)\b",
            rf"\btakes? (?:up to )?{N}\b",
            rf"\b(?:have|has|gets?|receives?|lasts?|runs?|holds?) {N} (?:\w+ )?"
            r"(?:days?|weeks?|months?|hours?|years?)\b",
            rf"\b(?:gets?|receives?|earns?|has|have) {N} (?:\w+ ){{1,3}}(?:in|per|every|each|a) \w+\b",
        ),
    ),
    ("amount", any_of(MONEY, rf"{N} free\b", rf"{N} (?:\w+ ){{1,4}}for each\b")),
    ("reserved", any_of(r"\b(?:is|are) (?:reserved|restricted|limited) (?:for|to)\b")),
    ("negated passive", any_of(r"\b(?:is|are) not (?:\w+ly )?\w+(?:ed|en|ne|ld|nt|de)\b")),
    ("ruled passive", any_of(rf"\b{BE} (?:then |first |also |only |immediately |automatically |not )?(?:{ABOUT})\b")),
    (
        "stays",
        any_of(
            r"\b(?:stays?|remains?) (?:as|the same|internal|private|unchanged|valid|in force|with|"
            r"confidential|open|closed)\b"
        ),
    ),
    (
        "refund goes",
        any_of(
            r"\brefunds?\b.* (?:go(?:es)?|paid|made|issued|sent|credited|returned|processed)\b",
            r"\b(?:goes?|passed?) to (?:the|an?|our|your)\b.*"
            r"\b(?:team|lead|manager|desk|office|department|supervisor)\b",
        ),
    ),
    (
        "entitled",
        any_of(
            r"\b(?:entitles?|qualif(?:y|ies)|eligible|(?:is|are) (?:valid|good) (?:for|until)|expires?|"
            r"lapses?|bears? the|"
            r"appl(?:y|ies) (?:to|only|for|when|if)|counts? as|does not count|pays? the|deserves?)\b"
        ),
    ),
    (
        "does not cover",
        any_of(
            r"\b(?:do|does) not (?:cover|include|apply|extend|entitle|count|change|qualify|earn|replace|mean)\b",
            rf"\b{BE} (?:not|no) an? (?:yes|excuse|exception|reason|proof|substitute|agreement|consent)\b",
            rf"\bwhat counts\b|\bproves? nothing\b|\b{BE} an? \w+ secret\b|\bkeep\b.* to yourself\b",
        ),
    ),
    (
        "customer pays",
        any_of(
            rf"^(?:an?|the|every|all|each)? ?(?:\w+ )?{RULED} "
            r"(?:pays?|bears?|loses?|forfeits?|keeps?|signs?|presents?|brings?) ",
            r"\bfree of charge\b|\bat no (?:extra |further )?(?:cost|charge)\b|\bhave .* back\b",
        ),
    ),
    (
        "nothing is",
        any_of(
            r"\bno (?:[\w-]+ ){1,6}?(?:is|are|will|may|can|shall|gets?|receives?|applies|apply)\b",
            r"\b(?:nothing|nobody|no one|none) (?:\w+ )?(?:is|are|may|can|will|shall)\b",
            r"\b(?:without|no) (?:refund|charge|fee|cost|compensation)s?\b",
        ),
    ),
    (
        "will",
        any_of(
            r"\bwill (?:only|not be|never|always|be (?:refunded|charged|credited|issued|applied|waived|"
            r"billed|declined|refused|cancelled))\b"
        ),
    ),
    (
        "except",
        any_of(r"\b(?:except|regardless of|irrespective of|provided that|on condition that|even if|even when)\b"),
    ),
    (
        "role does",
        any_of(
            rf"^(?!we )(?:an?|the|every|all|each)? ?{AGENT} (?:\w+ly )?(?:handles?|serves?|asks?|offers?|"
            r"gives?|transfers?|uses?|keeps?|checks?|confirms?|verif(?:y|ies)|"
            r"answers?|speaks?|explains?|refuses?|declines?|informs?|collects?|records?|escalates?|"
            r"reports?|waits?|takes?|follows?|treats?|applies|apply|stops?|closes?)\b"
        ),
    ),
    ("avoid", any_of(r"^avoid\b", r"\bstrictly\b", r"\bat (?:their|the customer's|its) own\b")),
)
OF_MAIN_CLAUSE = frozenset({"ruled passive", "negated passive", "stays", "entitled"})
KIND_OF_LEAD: dict[str, PolicyKind] = {
    "negative lead-in": "prohibition",
    "conditional lead-in": "conditional",
    "permission with terms": "conditional",
}
LEADS = (
    (
        "negative lead-in",
        any_of(
            r"\b(?:must|may|shall|should|can|are|is|do|does|will) (?:not|never)\b",
            r"\b(?:cannot|never|don't|can't|prohibited|forbidden|excluded|not allowed|avoid)\b",
        ),
    ),
    (
        "lead-in",
        any_of(
            r"\b(?:must|shall|should|ought|required?|requires|needs?|has to|have to|always|ensure|make sure)\b",
            r"\bonly (?:if|when|after)\b",
        ),
    ),
    (
        "conditional lead-in",
        any_of(
            r"^(?:if|when|whenever|where|unless|for (?!each|example|instance|more)|in case|once|after|"
            r"before|in the event)\b.*:$",
            r"\b(?:if|when|unless|where|once|provided)\b[^,]*:$",
            r"\b(?:conditions?|criteria|exceptions?)\b",
        ),
    ),
    (
        "permission with terms",
        any_of(r"\bmay (?!be (?:because|due))", r"\b(?:eligible|allowed|permitted|entitled|accept(?:ed|able)?)\b"),
    ),
    (
        "rules",
        any_of(
            r"\b(?:rules?|guidelines?|requirements?|obligations?|steps|procedure|do(?:es)? the following|"
            r"limits?|keep .* in mind)\b"
        ),
    ),
)
