"""Word lists of the cues: commands, roles, numbers, money, what rules are about, categories. Decides nothing."""

import re


def _each(text: str) -> tuple[str, ...]:
    """The words of a list; `_` stands for a space."""
    return tuple(w.replace("_", " ") for w in text.split())


def _words(text: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(_each(text))})\b")


IMPERATIVES = _each("""
    accept acknowledge act add address advise agree allow always announce answer apologi[sz]e apply approve ask
    assess assign assist attach avoid base be begin block book break bring calculate call cancel celebrate change
    charge check choose cite clarify close collect compare compensate complete comply confirm connect consider
    contact continue convey correct create credit deactivate decline deduct defer delete deliver deny describe
    determine direct discuss dismiss display document double-check encourage end enter escalate establish estimate
    evaluate exchange exit explain express file fill find flag follow forward gather get give go greet guide hand
    handle help hold honou?r identify ignore include inform insist inspect invite invoke issue keep leave let limit
    list listen locate lock log look maintain make match mention monitor move never note notify obtain offer open
    order pass pause pay perform permit place point prefer prepare present prevent prioriti[sz]e proceed process
    promise protect prove provide put quote read reassure rebook recommend record redact redirect reduce refer
    refrain refund refuse register reinforce reissue reject release remember remind remove repeat replace reply
    report request require reschedule reset resolve respect respond restart restrict return reveal review revoke
    route run save say schedule search select send separate serve set share show sign speak split state stay stop
    store submit suggest summari[sz]e suspend switch take tell terminate thank transfer treat try turn unlock
    update upgrade use validate verify void wait waive warn withhold work write
""")
_AGENTS = _each("""
    agents? assistants? chat_?bots? bots? you we representatives? staff employees? advis[eo]rs? operators? clerks?
    colleagues team_members? support tellers? nurses? receptionists?
""")
AGENT = rf"(?:{'|'.join(_AGENTS)})"
_RULED = _each("""
    customers? users? clients? members? passengers? travell?ers? guests? patients? parents callers? buyers? holders?
    tenants? students? orders? bookings? reservations? accounts? items? refunds? returns? payments? names? vouchers?
    cards? requests?
""")
RULED = rf"(?:{'|'.join(_RULED)})"
_NUMBERS = _each("""
    one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty sixty ninety
    hundred """)
N = rf"(?:\d[\d.,]*(?:st|nd|rd|th)?|\b(?:{'|'.join(_NUMBERS)})\b)"
_CURRENCIES = _each(r"percent\b per_cent\b dollars?\b euros?\b pounds?\b eur\b usd\b gbp\b chf\b cents\b")
MONEY = rf"(?:[$€£¥]\s?\d[\d.,]*|{N}\s?(?:%|{'|'.join(_CURRENCIES)}))"
_DONE = _each(r"""
    refunded charged deducted paid waived credited treated considered cancelled excluded exempt\w* declined refused
    rejected honou?red accepted taken_by recorded logged kept passed forwarded transferred escalated restored closed
    void final owed due bound approved described_in carried_out served handed shared released granted offered issued
    verified confirmed identified deleted destroyed reported billed reimbursed replaced exchanged returned_to suspended
    locked blocked denied allowed permitted handled_by reviewed added limited fulfilled counted given provided non-\w+
""")
ABOUT = "|".join(_DONE)
GRAVE = re.compile(
    r"\b(?:disclos\w*|reveal\w*|confidential|passwords?|pin|card numbers?|identity|identif\w+|verif\w+|authenticat\w+|"
    r"fraud\w*|safety|threat\w*|emergenc\w+|danger\w*|legal|law|medical|dose|dosage|prescri\w+|minors?|children|"
    r"personal data|privacy|without (?:their |the |a )?(?:\w+ )?consent|explicit\w*|another customer|other customers|"
    r"third part\w+|unauthori[sz]ed)\b"
)
LIGHT = re.compile(
    r"\b(?:polite\w*|friendly|tone|greet\w*|thank\w*|exclamation|emoji\w*|brief|concise|language|words or|apologi\w+|"
    r"honest|encourag\w+|professional|compliment\w*|celebrat\w*|first name|family name)\b"
)
CATEGORIES = (
    ("privacy", _words(r"""
    privacy private personal disclos\w* reveal\w* confidential\w* secrets? share[sd]? internal\w* third-party
    another """)),
    ("authentication", _words(r"""
        identit\w+ identif\w+ verif\w+ authenticat\w+ passwords? pin log-?in locator user_id date_of_birth
    """)),
    ("consent", _words(r"""
        consent\w* agree[sd]? confirmation confirm\w* yes explicit\w* approval approv\w+ permission
    """)),
    ("refund", _words(r"refund\w* compensat\w+ reimburs\w+ goodwill certificates? credit claims? voucher\w*")),
    ("payment", _words(r"""
        pay\w* cards? price[sd]? fees? charge[sd]? cost\w* discount\w* codes? bill\w* invoices? dollars balance
        transfers? amounts?
    """)),
    ("escalation", _words(r"""
        escalat\w+ human colleague\w* manager supervisor team_lead hand_over transfer_to hand-over specialist
    """)),
    ("safety", _words(r"safety threat\w* emergenc\w+ danger\w* smok\w+ shock medical urgent\w* harm\w*")),
    ("tool use", _words(r"""
        tools? api call\w* database system function\w* log record\w* notes? register\w* updat\w+
    """)),
    ("truthfulness", _words(r"""
        information knowledge invent\w* promis\w+ guess\w* opinions? subjective honest accurate facts?
    """)),
    ("conduct", _words(r"""
        polite\w* friendly tone language words greet\w* apologi\w+ professional encourag\w+ answer\w*
    """)),
    ("eligibility", _words(r"eligib\w+ entitle\w* qualif\w+ members?\w* within expired? age valid only allowed")),
    ("change", _words(r"chang\w+ modif\w+ cancel\w* exchang\w+ return\w* book\w* reschedul\w+ upgrad\w+")),
)  # fmt: skip
