
// --- uphill watch: the page renews itself while its run grows -----------------------------------

// Only `main` is replaced, and only when it has changed: the window stays where it was scrolled to,
// what was opened stays open, and what had the focus has it.

const shown = { text: document.querySelector("main").innerHTML };

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
  old.replaceWith(fresh);
  document.title = page.title;
  fresh.querySelectorAll("details").forEach((part, k) => { part.open = opened[k] ?? part.open; });
  startStory(document);
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
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
