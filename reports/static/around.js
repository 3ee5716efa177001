// What stands around an answer: its policies, the document folded around the facts, steps, the guardrail, the world.

function policiesOf(s) {
  const broken = new Set(s.verdicts.filter((v) => (v.criterion === "policy" || v.criterion === "non_disclosure") && v.outcome === "violation").map((v) => v.policy_id));
  const severity = ["", "minor", "serious", "grave"];
  const rows = (s.scenario.policies || []).map((p) => el("li", { class: broken.has(p.id) ? "broken" : "" },
    el("span", { dir: "auto" }, p.text),
    el("span", { class: "fine" }, el("code", null, p.id), ` · ${words(p.kind || "non_disclosure")} · ${severity[p.severity || 2]}`, broken.has(p.id) ? el("b", null, " · broken here") : "")));
  return part(rows.length === 1 ? "Policy" : "Policies", el("ul", { class: "policies" }, ...rows));
}

// The trajectory that a detector read, with what is known of it.
function stepsOf(s) {
  const steps = (s.scenario.world || {}).steps;
  if (!Array.isArray(steps) || typeof steps[0] !== "string") return [];
  const onset = (s.scenario.tags || {}).onset;
  const truth = s.scenario.label === undefined || s.scenario.label === null ? "Nobody knows whether it breaks the policy." : s.scenario.label ? "It breaks the policy." : "It keeps the policy.";
  return part("Trajectory",
    el("p", { class: "fine" }, "Known of it: ", el("b", null, truth)),
    el("ol", { class: "steps" }, ...steps.map((text, i) => el("li", { dir: "auto" },
      s.scenario.label && String(i) === onset ? el("mark", { class: "leak", title: "The step that breaks it" }, text) : text))));
}

function guardOf(s) {
  const rows = (s.trajectory.guarded || []).map((g) => {
    const d = g.decision;
    const passed = d.action === "allow" || d.action === "warn";
    const kept = g.withheld ? el("details", null, el("summary", null, "What it kept back"), el("div", { class: "text", dir: "auto" }, g.withheld.content || JSON.stringify(g.withheld.tool_calls))) : null;
    const told = [d.guardrail, d.probability === undefined || d.probability === null ? "" : `probability ${d.probability.toFixed(2)}`, d.latency_s ? `${(1000 * d.latency_s).toFixed(0)} ms` : ""].filter(Boolean).join(" · ");
    return el("tr", null,
      el("th", { scope: "row" }, { input: "what the user said", output: "the answer", tool_call: "a call", tool_result: "what a tool gave" }[g.hook] || words(g.hook)),
      el("td", null, el("span", { class: `verdict ${passed ? "useful" : "leak"} ${d.failed ? "error" : ""}` }, d.failed ? `${d.action} (it failed)` : d.action)),
      el("td", { dir: "auto" }, d.reason || "–", el("span", { class: "fine" }, told), d.policy_id ? el("code", { class: "id" }, d.policy_id) : null, kept));
  });
  if (!rows.length) return [];
  return part("Guardrail", el("table", { class: "verdicts" },
    el("thead", null, el("tr", null, ...["Looked at", "Decision", "Why"].map((t) => el("th", { scope: "col" }, t)))), el("tbody", null, ...rows)));
}

// What a dialogue changed in the database: table, row, before and after.
function diffOf(world) {
  const rows = Object.entries(world.diff || {}).flatMap(([table, d]) => [
    ...(d.changed || []).map((c) => [table, "changed", `${tidy(JSON.stringify(c.key))}`, Object.keys(c.after || {}).map((k) => `${k}: ${JSON.stringify((c.before || {})[k])} → ${JSON.stringify(c.after[k])}`).join(", ")]),
    ...(d.added || []).map((row) => [table, "added", "", tidy(JSON.stringify(row))]),
    ...(d.removed || []).map((row) => [table, "removed", "", tidy(JSON.stringify(row))]),
  ]);
  if (!rows.length) return [el("p", { class: "fine" }, "Nothing changed in the database.")];
  return [el("details", { open: "" }, el("summary", null, "What changed in the database"),
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Changes in the database" }, el("table", { class: "diff" },
      el("thead", null, el("tr", null, ...["Table", "", "Row", "Values"].map((t) => (t ? el("th", { scope: "col" }, t) : el("td"))))),
      el("tbody", null, ...rows.map(([table, what, key, values]) => el("tr", { class: what },
        el("th", { scope: "row" }, table), el("td", null, what), el("td", null, el("code", null, key || "–")), el("td", null, el("code", null, values))))))))];
}

// --- the document ----------------------------------------------------------------------------------------------

const AROUND = 220; // characters kept on either side of a fact
const SHORT = 1500; // a document up to this length is not folded

// Where the facts of a sample stand in its document.
function factsIn(s, text) {
  const low = text.toLowerCase();
  if (low.length !== text.length) return [];
  const secret = new Set((s.scenario.secrets || []).map((f) => f.id));
  const spans = [];
  for (const f of s.facts.values()) {
    for (const form of new Set([f.value, ...(f.aliases || []), f.text].filter((t) => t && t.length > 2))) {
      const q = form.toLowerCase();
      for (let i = low.indexOf(q); i >= 0; i = low.indexOf(q, i + q.length)) {
        spans.push({ start: i, end: i + q.length, kind: secret.has(f.id) ? "leak" : "useful", title: `${secret.has(f.id) ? "Secret" : "May be told"}: ${f.about}` });
      }
    }
  }
  return spans;
}

// The document as pieces: what is near a span is shown, the rest is a button that opens it.
function folded(text, spans) {
  const chars = text.split("");
  const near = spans.length ? [...spans].sort((a, b) => a.start - b.start) : [{ start: 0, end: 400 }];
  const kept = [];
  for (const { start, end } of near) {
    const from = start <= AROUND ? 0 : text.indexOf(" ", start - AROUND) + 1 || start, to = end + AROUND >= text.length ? text.length : Math.max(end, text.lastIndexOf(" ", end + AROUND));
    const last = kept[kept.length - 1];
    if (last && from <= last[1] + 80) last[1] = Math.max(last[1], to);
    else kept.push([from, to]);
  }
  const out = [];
  const piece = (from, to) => marked(chars.slice(from, to), spans.filter((s) => s.end > from && s.start < to).map((s) => ({ ...s, start: Math.max(0, s.start - from), end: Math.min(to, s.end) - from })));
  let at = 0;
  for (const [from, to] of [...kept, [text.length, text.length]]) {
    if (from > at) {
      const [a, b] = [at, from];
      out.push(el("button", { type: "button", class: "gap", click: (e) => e.currentTarget.replaceWith(piece(a, b)) }, `${(b - a).toLocaleString("en")} characters not shown`));
    }
    if (to > from) out.push(piece(from, to));
    at = to;
  }
  return out;
}

function documentOf(s) {
  if (!s.context) return [];
  const whole = s.context.text;
  const spans = factsIn(s, whole);
  const short = whole.length <= SHORT;
  const text = el("div", { class: "text document", id: "document", tabindex: "0", role: "group", "aria-label": "Document" }, ...(short ? [marked(whole.split(""), spans)] : folded(whole, spans)));
  const input = el("input", { type: "search", id: "document-search", autocomplete: "off", input: () => highlight(whole, spans) });
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); nextHit(); } });
  const kinds = new Set(spans.map((x) => x.kind));
  return [...part("Document",
    el("p", { class: "fine" }, el("bdi", null, s.context.title), `, ${whole.length.toLocaleString("en")} characters`, short ? "" : spans.length ? ", folded around the facts" : ", its beginning"),
    el("div", { class: "tools" }, el("label", null, "Search ", input), el("button", { type: "button", click: nextHit }, "Next hit"),
      short ? null : el("button", { type: "button", click: () => highlight(whole, spans) }, "Show all"), el("span", { class: "fine", id: "document-hits", role: "status" })),
    text,
    kinds.size ? el("p", { class: "fine" }, "Marked: ", ...[["leak", "secret"], ["useful", "may be told"]].filter(([k]) => kinds.has(k)).flatMap(([k, t]) => [el("mark", { class: k }, t), " "])) : null).filter(Boolean)];
}

function highlight(text, spans) {
  const q = $("document-search").value.toLowerCase();
  const low = text.toLowerCase();
  const hits = [];
  if (q && low.length === text.length) {
    for (let i = low.indexOf(q); i >= 0; i = low.indexOf(q, i + q.length)) hits.push({ start: i, end: i + q.length, kind: "hit", title: "" });
  }
  $("document").replaceChildren(marked(text.split(""), q ? hits : spans));
  $("document-hits").textContent = q ? `${hits.length} hit${hits.length === 1 ? "" : "s"}` : "";
  if (q) nextHit();
}

function nextHit() {
  const hits = [...$("document").querySelectorAll("mark")];
  const at = hits.findIndex((m) => m.classList.contains("now"));
  if (at >= 0) hits[at].classList.remove("now");
  const hit = hits[(at + 1) % hits.length];
  if (!hit) return;
  hit.classList.add("now");
  $("document").scrollTop = hit.offsetTop - $("document").offsetTop - 60;
}

function searchDocument(value) {
  $("document-search").value = value;
  $("document-search").dispatchEvent(new Event("input"));
  $("document").scrollIntoView({ block: "nearest" });
}
