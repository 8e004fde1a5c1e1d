// Asks the run how it is, and shows it. The answer takes as long as it may take: the server says when.
"use strict";

const OUTCOMES = {
  running: ["running", ""],
  finished: ["ended", "The run has ended. What it wrote lies in its output folder."],
  failed: ["failed", "The run ended with an error. The terminal says which."],
  interrupted: ["interrupted", "The run was interrupted."],
  lost: ["no answer", "The run does not answer any more: it has ended, or the way to it is cut. Trying again."],
};
const AGAIN = 5000; // ms
const CAPTIONS = { amplitude: ["amplitude", ""], phase: ["phase less its mean", " rad"] };
let picture = 0;

const at = (id) => document.getElementById(id);
const short = (value) => (value === null ? "not a number" : Number(value.toPrecision(4)).toString());

function duration(seconds) {
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

function tell(outcome, word) {
  const [badge, end] = OUTCOMES[outcome];
  at("outcome").dataset.outcome = outcome;
  at("outcome").textContent = badge;
  at("word").textContent = end || word;
  document.title = `${badge}: ${at("title").textContent}`;
}

function showNumbers(progress) {
  const shown = [[progress.stage, `${progress.done} of ${progress.total}`]];
  if (progress.value !== null) shown.push([progress.measure, short(progress.value)]);
  if (progress.rate > 0) shown.push([`${progress.unit} a second`, short(progress.rate)]);
  if (progress.seconds_left !== null) shown.push(["time left", duration(progress.seconds_left)]);
  at("numbers").replaceChildren(...shown.map(([name, value]) => {
    const tile = document.createElement("div");
    tile.append(document.createElement("dt"), document.createElement("dd"));
    tile.firstChild.textContent = name;
    tile.lastChild.textContent = value;
    return tile;
  }));
  at("bar").max = Math.max(progress.total, 1);
  at("bar").value = progress.done;
}

function showPictures(version, limits) {
  if (version === picture) return;
  picture = version;
  for (const [name, [low, high]] of Object.entries(limits)) {
    const [caption, unit] = CAPTIONS[name];
    const words = `${caption}, from ${short(low)} to ${short(high)}${unit}`;
    // The picture before stays until the next one is here: the run may end in between, and its server with it.
    const next = at(name).cloneNode();
    next.onload = () => {
      at(name).nextElementSibling.hidden = true;
      at(name).replaceWith(next);
      at(`${name}-caption`).textContent = words;
    };
    next.hidden = false;
    next.src = `${name}.png?${version}`;
  }
}

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawing(points) {
  const values = points.map(([, value]) => value);
  const logarithmic = Math.min(...values) > 0;
  const height = (value) => (logarithmic ? Math.log(value) : value);
  const low = height(Math.min(...values)), high = height(Math.max(...values));
  const first = points[0][0], last = points[points.length - 1][0];
  const place = ([number, value]) => {
    const x = last > first ? (100 * (number - first)) / (last - first) : 100;
    return `${x},${high > low ? 4 + (92 * (high - height(value))) / (high - low) : 50}`;
  };
  const svg = element("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" });
  for (const y of [4, 50, 96]) svg.append(element("line", { x1: 0, x2: 100, y1: y, y2: y }));
  svg.append(element("polyline", { points: points.map(place).join(" ") }));
  return [svg, `${short(Math.max(...values))} to ${short(Math.min(...values))}${logarithmic ? ", logarithmic" : ""}`];
}

function row(...texts) {
  const line = document.createElement("div");
  line.className = "axis";
  line.append(...texts.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  return line;
}

function showCurves(curves) {
  at("curves").replaceChildren(...Object.entries(curves).flatMap(([name, all]) => {
    const points = all.filter(([, value]) => value !== null);
    if (!points.length) return [];
    const figure = document.createElement("figure");
    figure.className = "panel";
    const [svg, span] = drawing(points);
    const [last, value] = points[points.length - 1];
    svg.setAttribute("aria-label", `${name}, now ${short(value)}`);
    const caption = document.createElement("figcaption");
    caption.textContent = `${name}: ${short(value)}`;
    figure.append(row(span), svg, row(points[0][0], last), caption);
    return [figure];
  }));
}

function show(state) {
  at("title").textContent = state.title;
  tell(state.outcome, state.progress === null ? "Reading and preparing." : `Now: ${state.progress.stage}.`);
  if (state.progress !== null) showNumbers(state.progress);
  showPictures(state.picture, state.limits);
  showCurves(state.curves);
}

async function watch(address) {
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const state = await answer.json();
    show(state);
    if (state.outcome === "running") watch("state.json?wait");
  } catch (error) {
    tell("lost", "");
    setTimeout(watch, AGAIN, "state.json");
  }
}

watch("state.json");
