"""The patterns that decide the kind of a policy, and what else its words show. No decision is made here (cues.py).

All look at plain lower-case text on one line.
"""

import re

from evalkit.benchmarks.cuepatterns import any_of
from evalkit.benchmarks.cuewords import MONEY, N

DISCLOSE = any_of(
    r"\b(?:disclos\w*|reveal\w*|divulg\w*|leak\w*|confidential\w*|secrets?|read out|give out|"
    r"giv\w+ (?:away|out)|expos\w+)\b",
    r"\b(?:shar(?:e|es|ed|ing)|repeat\w*|pass(?:ed|es)? on|private)\b(?!.* flights?\b)",
    r"\b(?:stays?|remains?|is|are) (?:internal|private|confidential)\b|\bbetween us and\b|"
    r"\bnone of \w+ (?:concern|business)\b|"
    r"\bstays? out of\b|\b(?:never|not) (?:be )?told\b|\bannounc\w+|\bkeep\b.* to yourself\b",
    r"\binternal\b.*\b(?:information|notes?|polic\w+)\b",
    r"\b(?:tell|telling|told|say|show|showing|shown|mention\w*|confirm|discuss\w*|give|read|name|"
    r"talk)\b.*\b(?:other (?:customer|user|passenger|patient|person|people|member|client)s?|"
    r"another (?:customer|user|passenger|patient|person|member|client)|third part\w+|passports?|"
    r"card numbers?|passwords?|account numbers?|phone|e-?mail|"
    r"notes|who\b|whose|whether|how many|diagnos\w+|salary|date of birth|home address)\b",
)
RESTRAINT = any_of(
    r"\b(?:not|never|cannot|no|nobody|without|only|forbidden|prohibited|confidential|internal|stays?|"
    r"private|yourself|refuse|decline|except|unless|secret|neither|nor|refrain|none|out of)\b|n't\b"
)
NOT_GROUNDED = any_of(
    r"\bnot (?:provided|in|found|from) (?:by|the|in)\b", r"\bmade? up\b", r"\binvent", r"\b(?:opinions?|subjective)\b"
)
ORDER = any_of(
    rf"\b(?:before|prior to)\b(?! {N})(?! (?:departure|that|this|arrival|midnight|noon|\d))(?!.{{0,40}}\bfor a fee)",
    r"\buntil (?:the|you|it|they|he|she|a|an|[a-z]+ing|[a-z]+ (?:has|have|is|are))\b(?!.*\b(?:hours?|days?) before)",
    r"\b(?:must|should|shall|to|has|have|is|are|agent|assistant|you) first\b",
    r"\bfirst\b.*\bthen\b",
    r"\bonly (?:ever )?(?:\w+ )?(?:after|once)\b|\bahead of \w+ing\b|\bonly (?:afterwards|then)\b|\bnot earlier\b|"
    r"\b(?:yes|consent|go-ahead|agreement) first\b",
    r"\bfirst (?:described|confirmed|verified|checked|asked|obtained)\b",
    r"^(?:first|next|finally),? ",
    r"\bsteps?\b.*\border\b",
    r"\bif .*\bask\b.*\bbefore\b",
)
UNIT = (
    r"(?:minutes?|hours?|days?|weeks?|months?|years?|business|working|calendar|hrs?|%|percent|kg|words|"
    r"characters|items?|passengers?|nights?)"
)
BOUND = any_of(
    r"\b(?:at most|at least|no more than|not more than|no less than|no fewer than|no later than|"
    r"no longer than|up to|maximum|minimum|max|most|limit(?:ed)?|capped|exceed\w*)\b.*",
    rf"{N}[\w %]{{0,12}} or (?:less|fewer|more)\b",
    r"\bat a time\b",
    r"\bonce per\b",
    rf"\b(?:once|twice|{N} times)\b(?! (?:the|a|an|it|they|you|he|she|all|that|this)\b)(?=[^,]*$|;)",
    r"\bonly one\b",
    r"\b(?:more|less|fewer) than (?:one|an?)\b",
    r"\b(?:within|more than|less than|fewer than|over|above|below|exceeding|until|after|for|"
    rf"takes?) (?:the (?:first|last) )?{N}(?: to {N})? (?:\w+ )?{UNIT}\b",
    rf"\b(?:over|above|below|under|exceeding|more than|less than) {MONEY}",
)
QUANTITY = any_of(
    MONEY, rf"\b{N} (?:\w+ )?{UNIT}\b", rf"\bonly {N}\b", rf"^{N} ", rf"\b{N} \w+ (?:per|each|for each)\b"
)
CONDITION = any_of(
    r"(?<!even )\b(?:if|when|whenever|provided|in case|in the event|(?:as|so) long as|otherwise|should a|"
    r"whoever|presupposes?|while|on (?:request|sight|presentation|receipt))\b",
    r"^(?:(?:an?|the|any|every|all) )?(?:(?!is\b|are\b)\w+ ){1,2}(?:who|whose|that (?:is|are|has|have|was|were)|"
    r"with|without) ",
    r"\b(?:unless|except|depending)\b",
    r"\b(?:for|of) (?:gold|silver|regular|premium|basic|new|existing|business|members?|any other|children|"
    r"customers? with|customers? who)\b",
    r"\bonly (?:together )?with\b",
    r"\b(?:with|without) (?:the|their|a|prior) \w+ (?:consent|approval)\b",
)
LEADING = any_of(
    r"^(?:[\w ]{1,30}: )?(?:if|when|whenever|where|unless|in case|in the event|otherwise|should|"
    r"for (?!each|every|example|all))\b",
    r"^(?:[\w ]{1,30}: )?(?:after|once|as soon as|upon)\b.*,(?!.*\b(?:not|never|cannot|no longer)\b)",
    r"\bonly (?:if|when|where|in case)\b",
    r"\bif,? and only if\b",
)
FRONTED = re.compile(
    r"^(?:if|when|whenever|where|while|after|once|until|unless|as soon as|should|for|in|on|at|from|"
    r"before)\b[^,]*,\s*(?:then )?"
)
TRAILING = re.compile(r",?\s*\b(?:unless|even if|even when|if|when|as long as|provided|except)\b.*$")
EXCLUSIVE = any_of(
    r"\b(?:can|may|is|are|must|should|will) (?:be )?(?:\w+ )?only\b(?! (?:if|when|after|once|in case|"
    r"where|with|together))",
    r"^(?:\w+ )?only (?:on|to|for|from|in|by|the)\b",
    r"\bonly[.!]?$",
    r"^\w+ only (?:on|to|for|from|in|by|the)\b",
    r"\b(?:stays?|remains?) (?:as|the same|unchanged)\b",
)
EXCEPTION = any_of(
    r"\b(?:unless|except\w*|regardless|irrespective|even (?:if|when|though)|notwithstanding|otherwise|"
    r"however|instead|despite|other than|but not|overrid\w+|overrul\w+|precedence)\b"
)
OVERRIDING = any_of(
    r"\b(?:unless|except\w*|regardless|irrespective|even (?:if|when|though|so)|notwithstanding|despite|"
    r"overrid\w+|overrul\w+|precedence|prevails?)\b"
)
ARITHMETIC = any_of(
    r"\b(?:difference|percent|times the|per|each|total|sum|share|remaining|more than|less than|within|"
    r"at most|at least|up to|maximum)\b",
    r"%",
)
NEGATIVE = any_of(
    r"\b(?:not|never|cannot|nobody|nothing|neither|nor|forbidden|prohibited|banned|excluded|refrain|avoid|"
    r"decline[ds]?|refused?|deny|denied|"
    r"out of (?:scope|bounds)|ineligible|non-\w+|without refund|no longer)\b|n't\b|"
    r"\bno (?:[\w,-]+ ){1,7}?(?:is|are|may|can|will)\b|^(?:no|none|nobody)\b|\bimpossible\b|\bout of the question\b"
)
BEFORE = re.compile(r"\b(?:before|prior to|until)\s+([^,;.:]+)")
