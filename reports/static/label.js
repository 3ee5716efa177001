"use strict";
// Labelling, one item at a time. Model text is untrusted: it reaches the page only as text nodes, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const here = location.pathname.replace(/\/$/, "");
  let all = null; // what is labelled: items, choices, raters
  let rater = "";
  let given = new Map(); // item number to {label, note}, of this rater
  let at = 0; // index of the item shown
  let order = []; // numbers labelled in this sitting, the last one last
  let queue = Promise.resolve(); // what was pressed is done one after the other: nothing pressed fast is lost

  const STEERING = /[\p{Cc}\p{Cs}\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu;
  const visible = (text) =>
    text.replace(STEERING, (c) => ("\t\n\r".includes(c) ? c : `‹U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`));
  const put = (id, text) => { $(id).textContent = visible(text); };

  function show(name) {
    for (const id of ["start", "work", "end", "closed"]) $(id).hidden = id !== name;
  }

  async function ask(path, body) {
    const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    let reply;
    try {
      reply = await fetch(here + path, options);
    } catch {
      throw new Error("Not saved: the program in the terminal is not running any more. Start it again with the same command; what you labelled before is kept.");
    }
    if (!reply.ok) throw new Error(await reply.text());
    return reply.json();
  }

  function trouble(error) {
    $("trouble").textContent = error ? error.message : "";
    $("trouble").hidden = !error;
  }

  // --- who -----------------------------------------------------------------------------------------------------

  async function begin() {
    all = await ask("/items");
    $("known").replaceChildren(...all.raters.map(({ name, done }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = done ? `${visible(name)} (${done} of ${all.items.length} done)` : visible(name);
      button.addEventListener("click", () => act(() => open(name)));
      return button;
    }));
    $("new").hidden = all.fixed;
    $("name").required = !all.fixed;
    $("name").value = "";
    show("start");
    if (!all.fixed) $("name").focus();
  }

  async function open(name) {
    rater = name;
    const found = await ask(`/labels?rater=${encodeURIComponent(name)}`);
    given = new Map(Object.entries(found).map(([number, label]) => [Number(number), label]));
    order = [];
    put("change", `${rater}: not you?`);
    forward(-1);
  }

  // --- one item ------------------------------------------------------------------------------------------------

  function draw() {
    const item = all.items[at];
    const label = given.get(item.number);
    show("work");
    put("fact", item.fact);
    $("fact-box").hidden = !item.fact;
    put("question", item.question);
    put("policy", item.policy);
    $("policy-row").hidden = !item.policy;
    put("part", item.parts > 1 ? `secret ${item.part} of ${item.parts} for this answer`.replace("secret", all.thing) : "");
    put("answer", item.answer);
    $("answer").scrollTop = 0;
    $("document").hidden = !item.document;
    $("document").open = false;
    $("document-text").textContent = "";
    put("position", `Item ${at + 1} of ${all.items.length}`);
    put("done-count", `${given.size} of ${all.items.length} done`);
    $("bar").max = all.items.length;
    $("bar").value = given.size;
    $("note").value = label ? label.note : "";
    $("note-row").hidden = !(label && label.note);
    [...$("choices").children].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(Boolean(label) && label.label === all.choices[i].label));
    });
    $("back").disabled = at === 0;
    $("undo").disabled = given.size === 0;
    scrollTo(0, 0);
    $("ask").focus({ preventScroll: true });
  }

  function move(step) {
    at = Math.min(Math.max(at + step, 0), all.items.length - 1);
    draw();
  }

  // The next item without a label, from the start again at the end; the last page where none is left.
  function forward(from) {
    const count = all.items.length;
    for (let i = 1; i <= count; i++) {
      const next = (from + i + count) % count;
      if (!given.has(all.items[next].number)) {
        at = next;
        return draw();
      }
    }
    finished();
  }

  async function save(item, label, withdrawn) {
    const note = $("note").value.trim();
    await ask("/labels", { rater, number: item.number, label, note: withdrawn ? "" : note, withdrawn });
    if (withdrawn) given.delete(item.number);
    else given.set(item.number, { label, note });
    put("saved", withdrawn ? "taken back" : `saved: ${all.choices.find((c) => c.label === label).text}`);
  }

  async function choose(i) {
    const item = all.items[at];
    await save(item, all.choices[i].label, false);
    order = [...order.filter((n) => n !== item.number), item.number];
    forward(at);
  }

  async function undo() {
    const number = order.pop() ?? [...given.keys()].pop();
    if (number === undefined) return;
    at = all.items.findIndex((item) => item.number === number);
    await save(all.items[at], null, true);
    draw();
  }

  function openNote() {
    $("note-row").hidden = false;
    $("note").focus();
  }

  // The note of an item that has no label yet goes with the label.
  async function keepNote() {
    const item = all.items[at];
    const label = given.get(item.number);
    if (label && label.note !== $("note").value.trim()) await save(item, label.label, false);
  }

  async function closeNote() {
    await keepNote();
    $("note-row").hidden = !$("note").value.trim();
    $("ask").focus({ preventScroll: true });
  }

  async function readDocument() {
    if (!$("document").open || $("document-text").textContent) return;
    const number = all.items[at].number;
    const { title, text } = await ask(`/document?item=${number}`);
    if (all.items[at].number !== number) return;
    put("document-text", `${title}\n\n${text}`);
    $("document").scrollIntoView();
  }

  function finished() {
    const count = (label) => [...given.values()].filter((g) => g.label === label).length;
    put("end-count", `${rater}: ${all.choices.map((c) => `${count(c.label)} ${c.text}`).join(", ")}.`);
    show("end");
    $("end-title").focus();
  }

  async function finish() {
    await ask("/finish", {});
    show("closed");
  }

  // --- what is pressed -------------------------------------------------------------------------------------------

  function act(step) {
    queue = queue.then(step).then(() => trouble(null), trouble);
  }

  function press(event) {
    if ($("work").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === $("note")) {
      if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
        event.preventDefault();
        act(closeNote);
      }
      return;
    }
    const inside = event.target.closest("#answer, #document-text") !== null;
    const steps = {
      1: () => choose(0), 2: () => choose(1), 3: () => choose(2), u: undo, n: openNote,
      ArrowLeft: () => move(-1), ArrowRight: () => move(1),
      d: () => { $("document").open = !$("document").open; },
    };
    const step = Object.hasOwn(steps, event.key) ? steps[event.key] : null;
    if (!step || (inside && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    act(step);
  }

  function wire() {
    const choices = all.choices.map((choice, i) => {
      const button = document.createElement("button");
      const key = document.createElement("kbd");
      key.textContent = String(i + 1);
      button.type = "button";
      button.append(key, ` ${choice.text[0].toUpperCase()}${choice.text.slice(1)}`);
      button.addEventListener("click", () => act(() => choose(i)));
      return button;
    });
    $("choices").replaceChildren(...choices);
    $("who").addEventListener("submit", (event) => {
      event.preventDefault();
      const name = $("name").value.trim();
      if (name) act(() => open(name));
    });
    for (const [id, step] of Object.entries({
      back: () => move(-1), next: () => move(1), undo, "note-open": openNote, change: begin, another: begin, finish,
      review: () => { at = 0; draw(); },
    })) $(id).addEventListener("click", () => act(step));
    $("note").addEventListener("blur", () => act(keepNote)); // hides nothing: a button must not move under the finger
    $("document").addEventListener("toggle", () => act(readDocument));
    document.addEventListener("keydown", press);
  }

  act(async () => {
    await begin();
    wire();
  });
})();
