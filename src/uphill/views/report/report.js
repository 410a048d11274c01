"use strict";

// The story of a training: a timeline over steps, and the film of each milestone.
//
// A place on the timeline is a chapter and how far its film has come: from the step at which the
// milestone was reached (the film's first picture) to that of the next one (its last).

const PAUSE = 900; // milliseconds between two chapters of the story
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

function startStory(root) {
  const source = root.querySelector("#story-data");
  if (!source) return;
  const { total, chapters } = JSON.parse(source.textContent);
  const find = (selector) => root.querySelector(selector);
  const slider = find("#timeline");
  const playButton = find("#play");
  const cards = [...root.querySelectorAll(".chapter")];
  const films = cards.map((card) => card.querySelector("video"));
  const dots = [...root.querySelectorAll(".chart.large .dot")];
  const playhead = find(".playhead");
  let current = -1;
  let isStory = false;
  let timer = 0;

  const startOf = (k) => chapters[k].steps;
  const endOf = (k) => (k + 1 < chapters.length ? chapters[k + 1].steps : total);

  function reachedBy(steps) {
    let last = -1;
    chapters.forEach((chapter, k) => { if (chapter.steps <= steps) last = k; });
    return last;
  }

  function showSteps(steps) {
    slider.value = steps;
    const share = `${(100 * steps) / total}%`;
    playhead.setAttribute("x1", share);
    playhead.setAttribute("x2", share);
    const words = `${Math.round(steps).toLocaleString("en")} steps`;
    const reached = current < 0 ? "nothing reached yet" : chapters[current].title;
    slider.setAttribute("aria-valuetext", `${words}: ${reached}`);
  }

  function highlight(k) {
    if (k === current) return;
    if (films[current]) films[current].pause();
    current = k;
    cards.forEach((card, n) => {
      if (n === k) card.setAttribute("aria-current", "step");
      else card.removeAttribute("aria-current");
    });
    dots.forEach((dot, n) => dot.classList.toggle("current", n === k));
    find("#now").textContent = k < 0
      ? "Before the first milestone."
      : `${capitalized(chapters[k].title)}, ${chapters[k].when}.`;
  }

  function goTo(k) {
    highlight(k);
    showSteps(startOf(k));
    if (films[k]) films[k].currentTime = 0;
  }

  function play(k) {
    if (films[k]) films[k].play().catch(() => {});
  }

  // --- the timeline, moved by hand

  function scrub() {
    stopStory();
    // The slider's last stop may lie short of the end, which is no multiple of its steps.
    const value = Number(slider.value);
    const steps = value + Number(slider.step) > total ? total : value;
    const k = reachedBy(steps);
    highlight(k);
    showSteps(steps);
    const film = films[k];
    if (!film) return;
    film.pause();
    const length = endOf(k) - startOf(k);
    const share = length > 0 ? (steps - startOf(k)) / length : 0;
    if (film.duration) film.currentTime = Math.min(share, 0.999) * film.duration;
  }

  function letGo() {
    if (!calm.matches && current >= 0) play(current);
  }

  function step(by) {
    stopStory();
    goTo(Math.max(0, Math.min(chapters.length - 1, current + by)));
    if (!calm.matches) play(current);
  }

  // --- the story, played in order

  function startStoryAt(k) {
    isStory = true;
    showPlaying();
    goTo(k);
    if (films[k]) play(k);
    else timer = setTimeout(nextInStory, 2 * PAUSE);
  }

  function nextInStory() {
    if (!isStory) return;
    if (current + 1 < chapters.length) startStoryAt(current + 1);
    else stopStory();
  }

  function stopStory() {
    clearTimeout(timer);
    isStory = false;
    showPlaying();
    films.forEach((film) => film && film.pause());
  }

  function toggleStory() {
    if (isStory) { stopStory(); return; }
    const isAtEnd = current < 0 || current === chapters.length - 1;
    startStoryAt(isAtEnd ? 0 : current);
  }

  function showPlaying() {
    playButton.setAttribute("aria-pressed", String(isStory));
    playButton.textContent = isStory ? "Pause" : "Play the story";
  }

  // --- what a film shows while it plays

  function follow(k) {
    const film = films[k];
    const share = film.duration ? film.currentTime / film.duration : 0;
    showSoFar(k, film);
    if (k === current && !film.paused) showSteps(startOf(k) + share * (endOf(k) - startOf(k)));
    if (!film.paused) requestAnimationFrame(() => follow(k));
  }

  function showSoFar(k, film) {
    const { returns, fps } = chapters[k].film;
    const label = cards[k].querySelector(".so-far");
    if (!label || returns.length === 0) return;
    const frame = Math.min(Math.floor(film.currentTime * fps), returns.length - 1);
    label.hidden = false;
    label.querySelector("strong").textContent = returns[frame];
  }

  films.forEach((film, k) => {
    if (!film) return;
    film.controls = false; // the timeline is the control
    film.muted = true;
    film.addEventListener("play", () => requestAnimationFrame(() => follow(k)));
    film.addEventListener("seeked", () => showSoFar(k, film));
    film.addEventListener("ended", () => {
      if (isStory && k === current) timer = setTimeout(nextInStory, PAUSE);
    });
    film.addEventListener("click", () => { stopStory(); goTo(k); play(k); });
  });
  cards.forEach((card, k) => {
    card.querySelector(".pick").addEventListener("click", () => { stopStory(); goTo(k); play(k); });
  });
  slider.addEventListener("input", scrub);
  slider.addEventListener("change", letGo);
  slider.addEventListener("keydown", (event) => {
    const actions = { " ": toggleStory, PageUp: () => step(1), PageDown: () => step(-1) };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });
  playButton.addEventListener("click", toggleStory);
  find("#previous").addEventListener("click", () => step(-1));
  find("#next").addEventListener("click", () => step(1));
  find("#together")?.addEventListener("click", () => {
    stopStory();
    films.forEach((film, k) => { if (film) { film.currentTime = 0; play(k); } });
  });

  slider.hidden = false;
  find(".controls").hidden = false;
  find("#story").classList.add("ready");
  highlight(chapters.length - 1);
  showSteps(total);
}

// Says so where a table is wider than the screen.
function tellWideTables(root) {
  root.querySelectorAll(".wide").forEach((table) => {
    const tell = () => { table.nextElementSibling.hidden = table.scrollWidth <= table.clientWidth; };
    new ResizeObserver(tell).observe(table);
  });
}

function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

startStory(document);
tellWideTables(document);
