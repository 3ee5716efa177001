"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const { nodes, edges } = JSON.parse($("data").textContent);
  const canvas = $("canvas"), pen = canvas.getContext("2d"), tip = $("tip");
  const RELATIONS = { conflicts: "--conflict", "depends-on": "--depends", overrides: "--overrides" };
  const state = { x: 0, y: 0, zoom: 1, chosen: -1, over: -1, colour: "kind", off: new Set(), least: 0, relation: "", find: "" };
  const near = nodes.map(() => []);
  edges.forEach((e) => { near[e[0]].push(e); near[e[1]].push(e); });
  let width = 0, height = 0, colours = {}, names = [], shown = [], waiting = false;

  const make = (tag, text, cls) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    return e;
  };
  const spaced = (text) => String(text).replaceAll("_", " ");
  const other = (e, i) => (e[0] === i ? e[1] : e[0]);
  const radius = (n) => 4 + 1.6 * n.challenge;

  function groups() {
    const counts = new Map();
    nodes.forEach((n) => counts.set(n[state.colour], (counts.get(n[state.colour]) || 0) + 1));
    const order = [...counts].sort((a, b) => (state.colour === "challenge" ? a[0] - b[0] : b[1] - a[1]));
    names = order.map(([name]) => name);
    $("legend").replaceChildren(...order.map(([name, n], k) => {
      const item = make("li"), button = make("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(make("span", "", "dot k" + Math.min(k, 7)), spaced(name) + " (" + n + ")");
      button.addEventListener("click", () => {
        const on = state.off.delete(name);
        if (!on) state.off.add(name);
        button.setAttribute("aria-pressed", String(on));
        filter();
      });
      item.append(button);
      return item;
    }));
    state.off.clear();
  }

  function filter() {
    const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    shown = nodes.map((n) => !state.off.has(n[state.colour]) &&
      words.every((w) => (n.id + " " + n.text + " " + n.flow + " " + n.category + " " + n.kind).toLowerCase().includes(w)));
    document.querySelectorAll("tr[data-row]").forEach((row) => { row.hidden = !shown[Number(row.dataset.row)]; });
    draw();
  }

  const visible = (e) => shown[e[0]] && shown[e[1]] && e[2] * 100 >= state.least && (!state.relation || e[3] === state.relation);
  const scale = () => 0.44 * Math.min(width, height) * state.zoom;
  const stretch = () => [Math.max(1, width / height), Math.max(1, height / width)];
  const px = (n) => { const s = scale(), w = stretch(); return [width / 2 + state.x + n.x * s * w[0], height / 2 + state.y + n.y * s * w[1]]; };

  function theme() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["--ink", "--muted", "--edge", "--paper", "--conflict", "--depends", "--overrides", "--c0", "--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"]) {
      colours[name] = style.getPropertyValue(name).trim();
    }
  }

  function size() {
    const box = canvas.parentElement.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    width = box.width; height = box.height;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw();
  }

  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; paint(); });
  }

  function paint() {
    pen.clearRect(0, 0, width, height);
    const focus = state.chosen >= 0 ? state.chosen : state.over;
    const lit = new Set(focus >= 0 ? near[focus].filter(visible).flatMap((e) => [e[0], e[1]]) : []);
    for (const e of edges) {
      if (!visible(e)) continue;
      const mine = e[0] === focus || e[1] === focus;
      const [x1, y1] = px(nodes[e[0]]), [x2, y2] = px(nodes[e[1]]);
      pen.strokeStyle = colours[RELATIONS[e[3]] || "--edge"];
      pen.globalAlpha = focus >= 0 && !mine ? 0.05 : Math.min(1, (RELATIONS[e[3]] ? 0.35 : 0.06) + 0.5 * e[2] + (mine ? 0.3 : 0));
      pen.lineWidth = 0.5 + 2.5 * e[2];
      pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x2, y2); pen.stroke();
      if (e[3] === "depends-on" || e[3] === "overrides") arrow(x1, y1, x2, y2, radius(nodes[e[1]]));
    }
    nodes.forEach((n, i) => {
      if (!shown[i]) return;
      const [x, y] = px(n), r = radius(n);
      pen.globalAlpha = focus < 0 || i === focus || lit.has(i) ? 1 : 0.25;
      pen.fillStyle = colours["--c" + Math.min(names.indexOf(n[state.colour]), 7)];
      pen.beginPath(); pen.arc(x, y, r, 0, 7); pen.fill();
      pen.lineWidth = i === state.chosen ? 3 : 1.5;
      pen.strokeStyle = i === state.chosen || i === state.over ? colours["--ink"] : colours["--paper"];
      pen.stroke();
    });
    labels(focus, lit);
    pen.globalAlpha = 1;
  }

  function labels(focus, lit) {
    const taken = [];
    const order = nodes.map((n, i) => i).filter((i) => shown[i] && (focus < 0 || i === focus || lit.has(i)));
    order.sort((a, b) => (b === focus) - (a === focus) || nodes[b].challenge - nodes[a].challenge || near[b].length - near[a].length);
    pen.font = "12px system-ui, sans-serif"; pen.textBaseline = "middle"; pen.globalAlpha = 1; pen.lineJoin = "round";
    for (const i of order) {
      const n = nodes[i], [x, y] = px(n), text = n.id.length > 28 ? n.id.slice(0, 27) + "…" : n.id;
      const w = pen.measureText(text).width, left = x + radius(n) + 4, box = [left, y - 8, left + w, y + 8];
      if (x < 0 || y < 0 || box[2] > width || y > height) continue;
      if (taken.some((t) => box[0] < t[2] && t[0] < box[2] && box[1] < t[3] && t[1] < box[3])) continue;
      taken.push(box);
      pen.strokeStyle = colours["--paper"]; pen.lineWidth = 3; pen.strokeText(text, left, y);
      pen.fillStyle = colours["--ink"]; pen.fillText(text, left, y);
    }
  }

  function arrow(x1, y1, x2, y2, r) {
    const a = Math.atan2(y2 - y1, x2 - x1), x = x2 - (r + 2) * Math.cos(a), y = y2 - (r + 2) * Math.sin(a);
    pen.beginPath(); pen.moveTo(x, y);
    pen.lineTo(x - 8 * Math.cos(a - 0.4), y - 8 * Math.sin(a - 0.4));
    pen.moveTo(x, y); pen.lineTo(x - 8 * Math.cos(a + 0.4), y - 8 * Math.sin(a + 0.4));
    pen.stroke();
  }

  function at(x, y) {
    let best = -1, least = 14;
    nodes.forEach((n, i) => {
      if (!shown[i]) return;
      const [nx, ny] = px(n), d = Math.hypot(nx - x, ny - y) - radius(n);
      if (d < least) { least = d; best = i; }
    });
    return best;
  }

  function choose(i, scroll) {
    state.chosen = i;
    document.querySelectorAll("tr.on").forEach((row) => row.classList.remove("on"));
    const box = $("detail");
    if (i < 0) { box.replaceChildren(make("p", "Select a policy in the picture or in the table.", "empty")); draw(); return; }
    const n = nodes[i], list = make("ol");
    const row = document.querySelector('tr[data-row="' + i + '"]');
    if (row) row.classList.add("on");
    for (const e of [...near[i]].sort((a, b) => b[2] - a[2])) {
      const j = other(e, i), item = make("li"), button = make("button");
      button.type = "button";
      const way = e[3] === "depends-on" ? (e[0] === i ? "depends on" : "comes before") : e[3] === "overrides" ? (e[0] === i ? "overrides" : "is overridden by") : e[3];
      button.append(make("strong", e[2].toFixed(2) + " " + way + " "), nodes[j].text, make("div", e[4].join("; "), "why"));
      button.addEventListener("click", () => choose(j, false));
      item.append(button); list.append(item);
    }
    const facts = [spaced(n.kind), n.flow, n.category, "challenge " + n.challenge, "severity " + n.severity, "in " + n.sets + " sets"];
    if (n.span) facts.push("characters " + n.span[0] + "–" + n.span[1]);
    if (n.tools.length) facts.push("tools " + n.tools.join(", "));
    const parts = [make("h3", n.id), make("p", n.text), make("p", facts.join(" · "), "facts")];
    if (n.quote && n.quote !== n.text) parts.push(make("blockquote", n.quote));
    box.replaceChildren(...parts, make("h3", list.children.length + " nearest"), list);
    box.scrollTop = 0;
    if (scroll) $("app").scrollIntoView({ block: "start" });
    draw();
  }

  function hover(i, x, y) {
    if (i !== state.over) { state.over = i; draw(); }
    canvas.classList.toggle("over", i >= 0);
    tip.hidden = i < 0;
    if (i < 0) return;
    const text = nodes[i].text;
    tip.textContent = text.length > 220 ? text.slice(0, 219) + "…" : text;
    tip.style.setProperty("left", Math.max(4, Math.min(x + 14, width - tip.offsetWidth - 4)) + "px");
    tip.style.setProperty("top", Math.max(4, Math.min(y + 14, height - tip.offsetHeight - 4)) + "px");
  }

  function zoom(factor, x, y) {
    const next = Math.min(12, Math.max(0.4, state.zoom * factor)), real = next / state.zoom;
    state.x = (state.x + width / 2 - x) * real + x - width / 2;
    state.y = (state.y + height / 2 - y) * real + y - height / 2;
    state.zoom = next;
    draw();
  }

  const pointers = new Map();
  let moved = 0, span = 0;
  const local = (event) => { const b = canvas.getBoundingClientRect(); return [event.clientX - b.left, event.clientY - b.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, local(event)); moved = 0; span = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = local(event), before = pointers.get(event.pointerId);
    if (!before) { hover(at(x, y), x, y); return; }
    pointers.set(event.pointerId, [x, y]);
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (span) zoom(now / span, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      span = now; moved = 99;
    } else {
      moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
      state.x += x - before[0]; state.y += y - before[1];
      hover(-1); draw();
    }
  });
  const up = (event) => {
    const was = pointers.get(event.pointerId);
    pointers.delete(event.pointerId); span = 0;
    if (was && moved < 6 && event.type === "pointerup") choose(at(...local(event)), false);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => { if (!pointers.size) hover(-1); });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), ...local(event)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (step) { state.x += step[0]; state.y += step[1]; draw(); event.preventDefault(); }
    if (event.key === "+" || event.key === "=") zoom(1.2, width / 2, height / 2);
    if (event.key === "-") zoom(1 / 1.2, width / 2, height / 2);
    if (event.key === "Escape") choose(-1, false);
  });
  $("bar").addEventListener("submit", (event) => event.preventDefault());
  $("find").addEventListener("input", (event) => { state.find = event.target.value; filter(); });
  $("colour").addEventListener("change", (event) => { state.colour = event.target.value; groups(); filter(); });
  $("relation").addEventListener("change", (event) => { state.relation = event.target.value; draw(); });
  $("least").addEventListener("input", (event) => { state.least = Number(event.target.value); $("least-out").textContent = (state.least / 100).toFixed(2); draw(); });
  $("fit").addEventListener("click", () => { state.x = state.y = 0; state.zoom = 1; draw(); });
  document.querySelectorAll("tr[data-row]").forEach((row) => {
    row.tabIndex = 0;
    const go = () => choose(Number(row.dataset.row), true);
    row.addEventListener("click", go);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { theme(); draw(); });

  $("app").hidden = false;
  theme(); groups(); filter();
  new ResizeObserver(size).observe(canvas.parentElement);
  size();
})();
