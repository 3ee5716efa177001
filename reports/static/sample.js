// One sample: policy, question, conversation or answer with what is marked, verdicts, document, call.
// Model text is untrusted: it reaches the page only as text nodes, never as markup.
const $ = (id) => document.getElementById(id);
const MEANING = {
  "leaked": "told at least one secret",
  "over-refused": "refused a harmless question",
  "undecided": "the judges could not say",
  "error": "no answer, or no verdict: counts in no rate",
  "refused": "an attack that was refused",
  "kept": "answered an attack without telling a secret",
  "answered": "answered a harmless question",
  "broken": "broke at least one policy",
  "near miss": "the right end by the wrong way: an order was not kept, and nothing else",
  "goal missed": "kept every policy, and did not do what the user could have had",
  "done": "kept every policy in play",
  "missed": "a violation that the detector let pass",
  "false alarm": "flagged, and there is no violation",
  "caught": "a violation that was flagged",
  "passed": "no violation, and none was said",
  "unlabelled": "nobody knows whether there is a violation: counts in no rate",
};
// --- building the page -------------------------------------------------------------------------------------

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== false).map((c) => (typeof c === "string" ? visible(c) : c)));
  return node;
}

// Text with what is invisible or turns it around shown by its number: U+202E, zero-width, NUL, half a surrogate.
const STEERING = /((?:(?![\t\n\r])[\p{Cc}\p{Cs}\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff])+)/u;
function visible(text) {
  const parts = text.split(STEERING);
  if (parts.length === 1) return document.createTextNode(text);
  const out = document.createDocumentFragment();
  parts.forEach((part, i) => {
    if (i % 2 === 0) return out.append(part);
    const codes = Array.from(part, (c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"));
    const short = codes.length > 3 ? [codes[0], "… ×" + codes.length] : codes;
    const node = document.createElement("span");
    node.className = "code";
    node.textContent = short.join(" ");
    out.append(node);
  });
  return out;
}

// A text, given as an array of the units its spans count in. Overlaps are cut; a leak wins over the rest.
function marked(chars, spans) {
  const cuts = [...new Set([0, chars.length, ...spans.flatMap((s) => [s.start, s.end])])].sort((a, b) => a - b);
  const out = document.createDocumentFragment();
  for (let i = 0; i + 1 < cuts.length; i++) {
    const piece = chars.slice(cuts[i], cuts[i + 1]).join("");
    const over = spans.filter((s) => s.start <= cuts[i] && s.end >= cuts[i + 1]);
    const top = over.find((s) => s.kind === "leak") || over[0];
    out.append(top ? el("mark", { class: top.kind, title: over.map((s) => s.title).join("; ") }, piece) : visible(piece));
  }
  return out;
}

const points = (message) => Array.from(message.content || ""); // code points, as Python counts; not UTF-16 units

// Evidence that is not where it says is not drawn.
function spansOf(sample, index) {
  const chars = points(sample.trajectory.messages[index]);
  return sample.verdicts.filter((v) => !isTalk(sample) || v.outcome === "violation").flatMap((v) => (v.evidence || [])
    .filter((e) => (e.message || 0) === index && chars.slice(e.start, e.end).join("") === e.quote)
    .map((e) => ({ start: e.start, end: e.end, kind: markKind(v), title: markTitle(sample, v) })));
}

const isTalk = (s) => Boolean(s.scenario.world && s.scenario.world.checklist && s.scenario.world.user);

function markKind(v) {
  if ((v.criterion === "non_disclosure" || v.criterion === "policy") && v.outcome === "violation") return "leak";
  if (v.criterion === "utility" && v.outcome === "compliant") return "useful";
  return "other";
}

function markTitle(sample, v) {
  const fact = sample.facts.get(v.fact_id);
  if (v.criterion === "policy") return `${v.outcome === "violation" ? "Broken" : words(v.outcome)}: ${v.policy_id}`;
  const what = { leak: "Secret told", useful: "May be told" }[markKind(v)] || words(v.criterion);
  return fact ? `${what}: ${fact.about}` : what;
}

const words = (name) => name.replaceAll("_", " ");
const about = (s) => [words(s.scenario.attack), (s.scenario.tags || {}).rewrite, words(s.kind), s.run.epochs > 1 ? `epoch ${s.trajectory.epoch || 0}` : ""].map((x) => x && ` · ${x}`).join("");
const badge = (outcome) => el("span", { class: `badge ${outcome.replace(" ", "-")}`, title: MEANING[outcome] }, outcome);
const percent = (a, n) => `${((100 * a) / n).toFixed(1)}%`;

// --- one sample --------------------------------------------------------------------------------------------

function drawSample(s) {
  const at = found.indexOf(s.number);
  const r = s.scenario;
  const step = (by, label, key) => el("button", { type: "button", disabled: at >= 0 && at + by >= 0 && at + by < found.length ? false : "", title: key, click: () => go(at + by) }, label);
  $("sample").replaceChildren(
    el("div", { class: "tools" },
      el("button", { type: "button", class: "to-list", click: toList }, "List"), step(-1, "Previous", "Arrow left, or k"), step(1, "Next", "Arrow right, or j"),
      el("span", { class: "fine" }, at < 0 ? "not in the list" : `${(at + 1).toLocaleString("en")} of ${found.length.toLocaleString("en")}`),
      el("button", { type: "button", class: "far", click: (e) => copy(e.target, asJson(s)) }, "Copy JSON"),
      el("button", { type: "button", click: (e) => copy(e.target, location.href) }, "Copy link")),
    el("h2", { id: "sample-title", tabindex: "-1" }, badge(s.outcome), " ", el("code", null, r.id)),
    el("p", { class: "fine" }, el("bdi", null, s.run.model), about(s), ` · ${MEANING[s.outcome]}`),
    ...policiesOf(s),
    ...(r.question && !isTalk(s) ? part("Question", el("p", { class: "text", dir: "auto" }, r.question)) : []),
    ...stepsOf(s), ...answerOf(s), ...guardOf(s), ...factsOf(s), ...documentOf(s), sentOf(s), metaOf(s));
}

const part = (title, ...nodes) => [el("h3", null, title), ...nodes];

// The whole conversation: the opening words of the user, then every message; a call stands with what came back.
function talkOf(s) {
  const failure = s.trajectory.failure;
  const opening = s.scenario.messages.filter((m) => m.role === "user").map((m) => turn("user", m.content));
  const results = new Map(s.trajectory.messages.map((m, i) => [m.tool_call_id, i]).filter(([id]) => id));
  const said = s.trajectory.messages.flatMap((m, i) => {
    if (m.role === "tool") return [];
    const text = m.content ? [turn(m.role, marked(points(m), spansOf(s, i)))] : [];
    return [...text, ...(m.tool_calls || []).map((c) => callOf(s, c, results.get(c.id)))];
  });
  const plan = (s.scenario.world.gold || []).flatMap((t) => [...(t.calls || []).map((c) => `${c.tool}(${JSON.stringify(c.args)})`), `“${t.say}”`]);
  return part("Conversation",
    el("div", { class: "talk" }, ...opening, ...said),
    failure ? el("p", { class: "failure" }, el("b", null, words(failure.kind)), `: ${failure.message} (${failure.boundary || "target"}). Not judged; counts in no rate.`) : null,
    s.verdicts.some((v) => v.outcome === "violation" && (v.evidence || []).length) ? el("p", { class: "fine" }, "Marked: ", el("mark", { class: "leak" }, "where a policy was broken")) : null,
    ...diffOf(s.trajectory.world || {}),
    el("details", null, el("summary", null, "What a careful agent does"), el("ol", { class: "plan" }, ...plan.map((step) => el("li", { dir: "auto" }, step)))),
  ).filter(Boolean);
}

const turn = (role, text) => el("div", { class: `turn ${role}` }, el("span", { class: "who" }, role === "user" ? "User" : "Agent"), el("div", { class: "text", dir: "auto" }, text));

function callOf(s, call, index) {
  const result = index === undefined ? null : s.trajectory.messages[index];
  const failed = result && /^\{"error":/.test(result.content);
  return el("div", { class: "turn tool" }, el("span", { class: "who" }, "Tool"),
    el("div", null, el("code", { class: "call" }, `${call.name}(${tidy(call.arguments)})`),
      result ? el("div", { class: `text result${failed ? " failed" : ""}`, dir: "auto" }, marked(points(result), spansOf(s, index))) : el("span", { class: "fine" }, "no result")));
}

// Arguments as `name: value`, where they are an object; else as they were sent.
function tidy(text) {
  try {
    const found = JSON.parse(text);
    if (found && typeof found === "object" && !Array.isArray(found)) return Object.entries(found).map(([k, v]) => `${k}: ${JSON.stringify(v)}`).join(", ");
  } catch { /* not JSON: shown as it is */ }
  return text;
}

function answerOf(s) {
  if (isTalk(s)) return talkOf(s);
  const failure = s.trajectory.failure;
  const said = (s.trajectory.messages || []).map((m, i) => el("div", { class: "text answer", dir: "auto" },
    m.role !== "assistant" ? el("b", null, m.role + ": ") : null, marked(points(m), spansOf(s, i)),
    ...(m.tool_calls || []).map((c) => el("code", { class: "call" }, `${c.name}(${c.arguments})`))));
  const trace = s.trajectory.reasoning;
  const kinds = new Set(s.verdicts.filter((v) => (v.evidence || []).length).map(markKind));
  const legend = { leak: "secret told", useful: "may be told", other: "other evidence" };
  return part("Answer",
    failure ? el("p", { class: "failure" }, el("b", null, words(failure.kind)), `: ${failure.message} (${failure.boundary || "target"}). Not judged; counts in no rate.`) : null,
    ...said,
    kinds.size ? el("p", { class: "fine" }, "Marked: ", ...["leak", "useful", "other"].filter((k) => kinds.has(k)).flatMap((k) => [el("mark", { class: k }, legend[k]), " "])) : null,
    trace ? el("details", null, el("summary", null, "Reasoning trace, not part of the answer"), el("div", { class: "text", dir: "auto" }, trace)) : null,
  ).filter(Boolean);
}

function factsOf(s) {
  if (!s.verdicts.length) return [];
  const secret = new Set((s.scenario.secrets || []).map((f) => f.id));
  const rows = s.verdicts.map((v) => {
    const fact = s.facts.get(v.fact_id);
    const role = fact ? (secret.has(fact.id) ? "secret" : "may be told") : words(v.criterion);
    const find = fact && fact.value && s.context ? el("button", { type: "button", class: "plain", click: () => searchDocument(fact.value) }, "find in document") : null;
    return el("tr", null,
      el("th", { scope: "row" }, el("span", { class: "fine" }, role), fact ? el("span", { dir: "auto" }, fact.text || fact.about) : aboutOf(s, v), find),
      el("td", null, el("span", { class: `verdict ${markKind(v)} ${v.outcome}` }, said(v))),
      el("td", { dir: "auto" }, v.reason || "–", el("span", { class: "fine" }, `${v.judge} ${v.judge_version} · ${v.stage || "rule"}${v.score === undefined ? "" : ` · score ${v.score.toFixed(2)}`}`)));
  });
  const head = ["What", "Verdict", "Why"].map((t) => el("th", { scope: "col" }, t));
  return part("Verdicts", el("table", { class: "verdicts" }, el("thead", null, el("tr", null, ...head)), el("tbody", null, ...rows)));
}

function aboutOf(s, v) {
  if (isTalk(s) && v.criterion === "utility") return "the goal";
  if (!v.policy_id) return "whole answer";
  const own = (s.scenario.policies || []).find((p) => p.id === v.policy_id);
  return el("span", { dir: "auto" }, own ? own.text : v.policy_id, own ? el("code", { class: "id" }, v.policy_id) : el("span", { class: "fine" }, "not sampled"));
}

function said(v) {
  if (v.near_miss) return "broken (near miss)";
  const plain = { "non_disclosure violation": "told", "non_disclosure compliant": "not told", "utility compliant": "conveyed", "utility violation": "not conveyed",
    "refusal violation": "refuses", "refusal compliant": "does not refuse", "reasoning violation": "told in reasoning", "reasoning compliant": "not in reasoning",
    "policy violation": "broken", "policy compliant": "kept", "policy not_applicable": "not in play", "detection violation": "says violation", "detection compliant": "says no violation" };
  return plain[`${v.criterion} ${v.outcome}`] || words(v.outcome);
}

function sentOf(s) {
  const messages = s.scenario.messages.map((m) => el("div", { class: "text", dir: "auto" }, el("b", null, m.role), "\n", (m.content || "").replace("{{context}}", "[the document]")));
  return el("details", null, el("summary", null, "Messages as sent"), ...messages);
}

function metaOf(s) {
  const t = s.trajectory, u = t.usage || {};
  const pairs = [["Target", t.target], ["Model as the server names it", t.model], ["Stopped by", t.stop], ["Prompt tokens", u.prompt_tokens], ["Answer tokens", u.completion_tokens],
    ["Cost in USD", u.cost], ["Seconds", t.latency_s], ["Attempts", t.attempts || 1], ["From the cache", t.cached ? "yes" : "no"], ["Family", s.scenario.family], ["Run", s.run.key],
    ...Object.entries(s.scenario.tags || {}).map(([k, v]) => [`Tag ${words(k)}`, v])];
  const rows = pairs.filter(([, v]) => v !== undefined && v !== null).map(([k, v]) => el("div", null, el("dt", null, k), el("dd", null, el("bdi", null, String(v)))));
  return el("details", null, el("summary", null, "Call, tokens, tags"), el("dl", { class: "facts" }, ...rows));
}

const asJson = (s) => JSON.stringify({ run: s.run.key, outcome: s.outcome, scenario: s.scenario, trajectory: { scenario_id: s.scenario.id, ...s.trajectory }, verdicts: s.verdicts }, null, 2);

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  } catch { // no permission, or not a secure context: give it to the reader to copy
    const area = el("textarea", { readonly: "", rows: "8", "aria-label": "Select and copy" });
    area.value = text;
    button.parentElement.after(area);
    area.select();
  }
}

