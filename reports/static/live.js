// A page of `evalkit view`: asks now and then whether there is more, and shows it without taking anything from a reader.
const EVERY = 2000; // milliseconds
const mine = document.body.dataset.source.split("/").at(-2); // the state that this page shows

function liveLine() {
  let line = $("live");
  if (line) return line;
  line = el("p", { class: "notice" });
  line.id = "live";
  line.setAttribute("role", "status");
  line.hidden = true;
  document.querySelector("header.page").append(line);
  return line;
}

function tellLive(text, button) {
  const line = liveLine();
  line.replaceChildren(text);
  if (button) {
    const show = el("button", { type: "button" }, "Show them");
    show.addEventListener("click", () => location.reload());
    line.append(" ", show);
  }
  line.hidden = !text;
}

// Somebody who reads a sample, types or has marked a text is asked first.
function inUse() {
  const typing = document.activeElement && ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName);
  return location.hash.includes("=") || typing || String(getSelection()) !== "";
}

async function lookForMore() {
  if (!document.hidden) {
    try {
      const reply = await fetch("version", { cache: "no-store" });
      const now = await reply.json();
      if (now.error) tellLive(now.error, false);
      else if (now.version === mine) tellLive("", false);
      else if (inUse()) tellLive(`There are new results: ${now.head}.`, true);
      else location.reload();
    } catch {
      tellLive("The server does not answer: this page shows what was there last.", false);
    }
  }
  setTimeout(lookForMore, EVERY);
}
setTimeout(lookForMore, EVERY);
