
// --- uphill watch ---------------------------------------------------------------------------------

const shown = { text: document.querySelector("main").innerHTML };

// --- runs are filtered, sorted, and ticked to be compared -------------------------

// What was chosen outlives the page that was left, for as long as its window is open.
const choice = { filter: "", sort: "newest", ticked: [], ...remembered() };

function remembered() {
  try { return JSON.parse(sessionStorage.getItem("choice")) ?? {}; } catch { return {}; }
}

function remember(changes) {
  Object.assign(choice, changes);
  try { sessionStorage.setItem("choice", JSON.stringify(choice)); } catch { /* then not */ }
}

// Negative where row a stands before row b; what has no return stands last.
function order(a, b) {
  const key = choice.sort;
  const ties = a.dataset.newest - b.dataset.newest;
  if (key === "newest") return ties;
  const [x, y] = [a.dataset[key], b.dataset[key]];
  if (key !== "return") return x.localeCompare(y, "en", { numeric: true }) || ties;
  return (y !== "") - (x !== "") || y - x || ties;
}

function startList(root) {
  const form = root.querySelector("#choice");
  if (!form) return;
  const find = (selector) => root.querySelector(selector);
  const [filter, sort] = [find("#filter"), find("#sort")];
  const body = find(".runs tbody");
  const rows = [...body.rows];
  const ticks = [...body.querySelectorAll("input")];

  function arrange() {
    const words = choice.filter.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
    body.append(...[...rows].sort(order));
    find("#none").hidden = rows.some((row) => !row.hidden);
  }

  function count() {
    const num = choice.ticked.length;
    find("#compare").disabled = num < 2;
    find("#compare").textContent = num < 2 ? "Compare" : `Compare ${num} runs`;
    find("#chosen").textContent = num < 2
      ? `Tick ${num ? "one more run" : "two runs or more"} to compare them.`
      : "";
  }

  filter.value = choice.filter;
  sort.value = choice.sort;
  ticks.forEach((tick) => { tick.checked = choice.ticked.includes(tick.value); });
  remember({ ticked: ticks.filter((tick) => tick.checked).map((tick) => tick.value) });
  filter.addEventListener("input", () => { remember({ filter: filter.value }); arrange(); });
  sort.addEventListener("change", () => { remember({ sort: sort.value }); arrange(); });
  body.addEventListener("change", () => {
    remember({ ticked: ticks.filter((tick) => tick.checked).map((tick) => tick.value) });
    count();
  });
  arrange();
  count();
}

startList(document);

// --- the page renews itself while its run grows --------------------------------------------------

// Only `main` is replaced, and only when it has changed: the window stays where it was scrolled to,
// what was opened stays open, and what had the focus has it.

function openDetails(main) {
  return [...main.querySelectorAll("details")].map((part) => part.open);
}

function renew(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const [old, fresh] = [document.querySelector("main"), page.querySelector("main")];
  if (!fresh || fresh.innerHTML === shown.text) return;
  shown.text = fresh.innerHTML;
  const opened = openDetails(old);
  const focus = document.activeElement?.id;
  const caret = document.activeElement?.selectionStart;
  old.replaceWith(fresh);
  document.title = page.title;
  fresh.querySelectorAll("details").forEach((part, k) => { part.open = opened[k] ?? part.open; });
  startStory(document);
  startList(document);
  tellWideTables(document);
  if (!focus) return;
  const again = document.getElementById(focus);
  again?.focus({ preventScroll: true });
  if (Number.isInteger(caret)) again?.setSelectionRange(caret, caret);
}

async function keepRenewing() {
  for (;;) {
    const seconds = Number(document.querySelector("main").dataset.refresh ?? 0);
    if (!seconds) return;
    await new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });
    try {
      const answer = await fetch(window.location.href, { cache: "no-store" });
      if (answer.ok) renew(await answer.text());
    } catch {
      // The server may be gone for a while; the page stays as it is, and asks again.
    }
  }
}

keepRenewing();
