"use strict";
// The samples under the numbers. Model text is untrusted: it reaches the page only as text nodes, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const PAGE = 60;
  const ORDER = ["leaked", "broken", "near miss", "goal missed", "over-refused", "missed", "false alarm", "undecided", "error", "refused", "kept", "answered", "caught", "passed", "done", "unlabelled"];
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
  let data = null; // the embedded document, unpacked when first needed
  let found = []; // what the filters let through, in order
  let shown = 0; // how many of them are drawn
  let drawnFor = null; // the filters that `found` belongs to
  let overviewAt = 0; // where the reader was before the samples were opened
  let overviewFocus = null;

  // --- the embedded data -------------------------------------------------------------------------------------

  function say(text) {
    $("status").textContent = text;
    $("status").hidden = !text;
  }

  async function load() {
    if (!("DecompressionStream" in window)) {
      say("This browser is too old to unpack the samples (it has no DecompressionStream); the tables are complete.");
      return null;
    }
    say("Unpacking the samples…");
    await new Promise((done) => setTimeout(done)); // let the line above be drawn
    try {
      const bytes = Uint8Array.from(atob($("data").textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const whole = JSON.parse(await new Response(stream).text());
      whole.samples = whole.runs.flatMap((run) => run.samples.map((sample) => joined(whole, run, sample)));
      whole.byId = new Map(whole.samples.map((sample) => [sample.id, sample]));
      say("");
      fillFilters(whole);
      return whole;
    } catch (error) {
      say(`The samples cannot be unpacked: ${error.message}. The file may be damaged; the tables are complete.`);
      return null;
    }
  }

  function joined(whole, run, sample) {
    const { record, context } = whole.scenarios[sample.s];
    const answer = (sample.t.messages || []).map((m) => m.content || "").join("\n\n");
    return {
      run, scenario: record, answer, outcome: sample.o, parts: sample.m, trajectory: sample.t, verdicts: sample.v,
      context: context === null ? null : whole.contexts[context],
      kind: (record.tags || {}).kind || "",
      id: `${run.key}/${record.id}/${sample.t.epoch || 0}`,
      facts: new Map([...(record.secrets || []), ...(record.shareable || [])].map((f) => [f.id, f])),
    };
  }

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
  const about = (s) => [words(s.scenario.attack), words(s.kind), s.run.epochs > 1 ? `epoch ${s.trajectory.epoch || 0}` : ""].map((x) => x && ` · ${x}`).join("");
  const badge = (outcome) => el("span", { class: `badge ${outcome.replace(" ", "-")}`, title: MEANING[outcome] }, outcome);
  const percent = (a, n) => `${((100 * a) / n).toFixed(1)}%`;

  // --- choosing samples --------------------------------------------------------------------------------------

  function fillFilters(whole) {
    const form = $("filters");
    const fill = (name, all, pairs) =>
      form[name].replaceChildren(el("option", { value: "" }, all), ...pairs.map(([v, t]) => el("option", { value: v }, t)));
    const values = (of) => [...new Set(whole.samples.map(of))].filter(Boolean).sort().map((v) => [v, words(v)]);
    const names = whole.runs.map((r) => r.model);
    const twice = (r) => names.filter((n) => n === r.model).length > 1;
    fill("run", "all", whole.runs.map((r) => [r.key, twice(r) ? `${r.model} (${r.key})` : r.model]));
    fill("attack", "all", values((s) => s.scenario.attack));
    fill("kind", "all kinds", values((s) => s.kind));
    fill("outcome", "all", ORDER.filter((o) => whole.samples.some((s) => s.outcome === o)).map((o) => [o, o]));
  }

  function choose(p) {
    const index = data.metrics.findIndex((m) => m.name === p.get("list"));
    const q = (p.get("q") || "").trim().toLowerCase();
    const wants = (name, value) => !p.get(name) || p.get(name) === value;
    const rows = data.samples.filter((s) =>
      wants("run", s.run.key) && wants("attack", s.scenario.attack) && wants("kind", s.kind) &&
      wants("outcome", s.outcome) && (index < 0 || s.parts[index]) && (!q || haystack(s).includes(q)));
    const rank = index < 0 ? (s) => ORDER.indexOf(s.outcome) : (s) => badness(s.parts[index], data.metrics[index].good);
    return rows.map((s) => [rank(s), s]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
  }

  // What counts against the model comes first, errors last.
  function badness([hits, n], good) {
    return n === 0 ? 2 : good ? hits / n : 1 - hits / n;
  }

  function haystack(s) {
    s.text ??= [s.scenario.id, s.scenario.question, s.answer, ...[...s.facts.values()].flatMap((f) => [f.about, f.text])]
      .join("\n").toLowerCase();
    return s.text;
  }

  // --- the list ----------------------------------------------------------------------------------------------

  function drawList(p) {
    const metric = data.metrics.find((m) => m.name === p.get("list"));
    const run = data.runs.find((r) => r.key === p.get("run"));
    const slice = [run && run.model, p.get("attack"), p.get("kind")].filter(Boolean).map(words);
    $("list-title").replaceChildren(visible([metric ? metric.label : "Samples", ...slice].join(" · ")));
    $("list-sum").replaceChildren(visible(metric ? `${counted(metric)} Here: ${metric.about}.` : ""));
    for (const name of ["run", "attack", "kind", "outcome", "q"]) {
      if ($("filters")[name] !== document.activeElement) $("filters")[name].value = p.get(name) || "";
    }
    $("list").replaceChildren();
    shown = 0;
    drawMore();
  }

  function counted(metric) {
    const index = data.metrics.indexOf(metric);
    const [hits, n, errors] = found.reduce((t, s) => t.map((x, i) => x + s.parts[index][i]), [0, 0, 0]);
    const rate = n ? `${hits.toLocaleString("en")} of ${n.toLocaleString("en")} (${percent(hits, n)})` : "Nothing measured";
    return errors ? `${rate}; ${errors.toLocaleString("en")} not counted because of errors.` : `${rate}.`;
  }

  function drawMore() {
    const next = found.slice(shown, shown + PAGE);
    $("list").append(...next.map((s) => el("li", null, row(s))));
    shown += next.length;
    $("list-count").textContent = found.length ? `${shown} of ${found.length.toLocaleString("en")} samples shown` : "No sample fits these filters.";
    $("more").hidden = shown >= found.length;
  }

  function row(s) {
    const failure = s.trajectory.failure;
    return el("a", { href: linkTo(s), "data-id": s.id },
      el("span", { class: "row-head" }, badge(s.outcome), el("bdi", null, s.run.model), about(s)),
      el("span", { class: "row-question" }, s.scenario.question || s.scenario.id),
      el("span", { class: "row-answer" }, ...(failure ? [`${words(failure.kind)}: ${failure.message}`] : snippet(s))));
  }

  // The evidence of the first leak with a little around it, or how the answer begins.
  function snippet(s) {
    const index = s.trajectory.messages.findIndex((m, i) => spansOf(s, i).some((span) => span.kind === "leak"));
    if (index < 0) return [s.answer.slice(0, 180)];
    const e = spansOf(s, index).find((span) => span.kind === "leak");
    const chars = points(s.trajectory.messages[index]);
    const part = (from, to) => chars.slice(Math.max(0, from), to).join("");
    const told = el("mark", { class: "leak" }, part(e.start, Math.min(e.end, e.start + 160)) + (e.end > e.start + 160 ? "…" : ""));
    return [(e.start > 60 ? "…" : "") + part(e.start - 60, e.start), told, part(e.end, e.end + 60) + (e.end + 60 < chars.length ? "…" : "")];
  }

  function linkTo(s) {
    const p = filters();
    p.delete("sample");
    const rest = p.toString();
    return `#sample=${encodeURIComponent(s.id)}${rest ? "&" + rest : ""}`;
  }

  // --- one sample --------------------------------------------------------------------------------------------

  function drawSample(s) {
    const at = found.indexOf(s);
    const r = s.scenario;
    const step = (by, label, key) => el("button", { type: "button", disabled: found[at + by] ? false : "", title: key, click: () => go(at + by) }, label);
    $("sample").replaceChildren(
      el("div", { class: "tools" },
        el("button", { type: "button", class: "to-list", click: toList }, "List"), step(-1, "Previous", "Arrow left"), step(1, "Next", "Arrow right"),
        el("span", { class: "fine" }, at < 0 ? "not in the list" : `${at + 1} of ${found.length}`),
        el("button", { type: "button", click: (e) => copy(e.target, asJson(s)) }, "Copy JSON"),
        el("button", { type: "button", click: (e) => copy(e.target, location.href) }, "Copy link")),
      el("h3", { id: "sample-title", tabindex: "-1" }, badge(s.outcome), " ", el("code", null, r.id)),
      el("p", { class: "fine" }, el("bdi", null, s.run.model), about(s), ` · ${MEANING[s.outcome]}`),
      ...part("Policy", el("ul", { class: "policies" }, ...(r.policies || []).map((p) => el("li", null, p.text)))),
      ...(isTalk(s) ? [] : part("Question", el("p", { class: "text", dir: "auto" }, r.question || ""))),
      ...answerOf(s), ...factsOf(s), ...documentOf(s), sentOf(s), metaOf(s));
  }

  const part = (title, ...nodes) => [el("h4", null, title), ...nodes];

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
    const world = s.trajectory.world || {};
    const changed = world.diff && Object.keys(world.diff).length ? JSON.stringify(world.diff, null, 2) : "nothing";
    const plan = (s.scenario.world.gold || []).flatMap((t) => [...(t.calls || []).map((c) => `${c.tool}(${JSON.stringify(c.args)})`), `“${t.say}”`]);
    return part("Conversation",
      el("div", { class: "talk" }, ...opening, ...said),
      failure ? el("p", { class: "failure" }, el("b", null, words(failure.kind)), `: ${failure.message} (${failure.boundary || "target"}). Not judged; counts in no rate.`) : null,
      s.verdicts.some((v) => v.outcome === "violation" && (v.evidence || []).length) ? el("p", { class: "fine" }, "Marked: ", el("mark", { class: "leak" }, "where a policy was broken")) : null,
      el("details", null, el("summary", null, "What changed in the database"), el("pre", { class: "text" }, changed)),
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

  function documentOf(s) {
    if (!s.context) return [];
    const text = el("div", { class: "text document", id: "document", tabindex: "0" }, s.context.text);
    const input = el("input", { type: "search", id: "document-search", autocomplete: "off", input: () => highlight(s.context.text) });
    const next = (event) => { if (event.key === "Enter") { event.preventDefault(); nextHit(); } };
    input.addEventListener("keydown", next);
    return [el("details", { id: "document-fold" }, el("summary", null, `Document: ${s.context.title}`),
      el("div", { class: "tools" }, el("label", null, "Search ", input), el("button", { type: "button", click: nextHit }, "Next hit"), el("span", { class: "fine", id: "document-hits", role: "status" })), text)];
  }

  function highlight(text) {
    const q = $("document-search").value.toLowerCase();
    const low = text.toLowerCase();
    const hits = [];
    if (q && low.length === text.length) {
      for (let i = low.indexOf(q); i >= 0; i = low.indexOf(q, i + q.length)) hits.push({ start: i, end: i + q.length, kind: "hit", title: "" });
    }
    $("document").replaceChildren(marked(text.split(""), hits));
    $("document-hits").textContent = q ? `${hits.length} hit${hits.length === 1 ? "" : "s"}` : "";
    nextHit();
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
    $("document-fold").open = true;
    $("document-search").value = value;
    $("document-search").dispatchEvent(new Event("input"));
    $("document-fold").scrollIntoView({ block: "nearest" });
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

  // --- moving about ------------------------------------------------------------------------------------------

  function filters() {
    return new URLSearchParams(location.hash.slice(1));
  }

  function go(index) {
    if (found[index]) location.hash = linkTo(found[index]);
  }

  function toList() {
    const p = filters();
    p.delete("sample");
    if (!p.has("list")) p.set("list", "");
    location.hash = p.toString();
  }

  async function route() {
    const p = filters();
    const wanted = p.has("list") || p.has("sample");
    if (!wanted) return overview();
    if (!data) data = await load();
    if (!data) return overview();
    if (!$("results").hidden) {
      overviewAt = window.scrollY;
      overviewFocus = document.activeElement;
    }
    $("results").hidden = true;
    $("browser").hidden = false;
    const id = p.get("sample");
    p.delete("sample");
    const opened = drawnFor === null;
    if (drawnFor !== p.toString()) {
      drawnFor = p.toString();
      found = choose(p);
      drawList(p);
    }
    drawOne(id, opened);
  }

  function drawOne(id, opened) {
    const sample = id && data.byId.get(id);
    document.body.dataset.view = sample ? "sample" : "list";
    $("sample").hidden = !sample;
    say(id && !sample ? "There is no such sample in this report." : "");
    for (const a of $("list").querySelectorAll("[aria-current]")) a.removeAttribute("aria-current");
    if (sample) {
      drawSample(sample);
      const own = [...$("list").querySelectorAll("a")].find((a) => a.dataset.id === id);
      if (own) {
        own.setAttribute("aria-current", "true");
        $("list").parentElement.scrollTop = own.offsetTop - 80; // the pane, where the list is one
      }
      $("sample-title").focus({ preventScroll: true });
      $("sample").scrollIntoView({ block: "start" });
    } else if (opened || !$("filters").contains(document.activeElement)) {
      window.scrollTo(0, 0);
      $("list-title").focus({ preventScroll: true });
    }
  }

  function overview() {
    const back = !$("browser").hidden;
    $("browser").hidden = true;
    $("results").hidden = false;
    document.body.dataset.view = "overview";
    drawnFor = null;
    if (back && overviewFocus) {
      overviewFocus.focus({ preventScroll: true });
      window.scrollTo(0, overviewAt);
    }
  }

  $("filters").addEventListener("input", (event) => {
    const p = filters();
    p.delete("sample");
    if (event.target.value) p.set(event.target.name, event.target.value);
    else p.delete(event.target.name);
    if (!p.has("list")) p.set("list", "");
    history.replaceState(null, "", "#" + p);
    route();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", drawMore);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const view = document.body.dataset.view;
    const at = found.findIndex((s) => s.id === filters().get("sample"));
    if (view === "sample" && event.key === "ArrowRight") go(at + 1);
    else if (view === "sample" && event.key === "ArrowLeft") go(at - 1);
    else if (view === "sample" && event.key === "Escape") toList();
    else if (view === "list" && event.key === "Escape") location.hash = "results";
  });
  window.addEventListener("beforeprint", () => document.querySelectorAll("#results details").forEach((d) => { d.open = true; }));
  window.addEventListener("hashchange", route);
  route();
})();
