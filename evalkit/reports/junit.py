"""Gates as JUnit XML: one test case a gate, and one for the share of errors. Decides nothing."""

import re
from xml.etree import ElementTree as Xml

from evalkit.engine.gated import Case, Gated

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not: control characters, halves of surrogate pairs."""


def junit(gated: Gated) -> str:
    """The document as text. Violations fail a case only through a gate: the file says what the exit code says."""
    cases = [_gate(gated, case) for case in gated.cases]
    cases.append(_errors(gated))
    undecided = gated.errors is not None
    failures, skipped = (0, len(gated.cases)) if undecided else (len(gated.failed), 0)
    counts = {"tests": len(cases), "failures": failures, "errors": int(undecided)}
    numbers = {k: str(v) for k, v in counts.items()}
    root = Xml.Element("testsuites", {"name": "evalkit", **numbers})
    suite = Xml.SubElement(root, "testsuite", {"name": text(gated.title), **numbers, "skipped": str(skipped)})
    properties = Xml.SubElement(suite, "properties")
    for name, value in (("run", str(gated.run)), *gated.numbers):
        Xml.SubElement(properties, "property", {"name": text(name), "value": text(value)})
    suite.extend(cases)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def text(value: str) -> str:
    """`value` without what XML cannot hold: each such character is shown by its number."""
    return _NO_XML.sub(lambda m: f"‹U+{ord(m.group()):04X}›", value)


def _gate(gated: Gated, case: Case) -> Xml.Element:
    checked = case.checked
    found = Xml.Element("testcase", {"classname": _class(gated), "name": text(checked.text), "time": "0"})
    if gated.errors is not None:  # an outage neither passes nor fails
        Xml.SubElement(found, "skipped", {"message": text(f"not decided: {gated.errors}")})
    elif checked.why is not None:
        kind = "gate" if checked.measured else "not measured"
        failure = Xml.SubElement(found, "failure", {"message": text(checked.why), "type": kind})
        failure.text = text("\n".join([checked.why, *case.evidence]))
    return found


def _errors(gated: Gated) -> Xml.Element:
    found = Xml.Element("testcase", {"classname": _class(gated), "name": text(gated.limit), "time": "0"})
    if gated.errors is not None:
        error = Xml.SubElement(found, "error", {"message": text(gated.errors), "type": "errors"})
        error.text = text(gated.errors)
    return found


def _class(gated: Gated) -> str:
    return text(f"evalkit.{gated.suite}")
