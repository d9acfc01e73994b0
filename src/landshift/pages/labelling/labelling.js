// The page on which a sample's units are labelled. All text from files and people is set as text.
"use strict";

const $ = (id) => document.getElementById(id);
const KEYS = [..."123456789acdefghijklmpqrtuvwxyz"]; // b, n, o and s do something else
const KEPT = 6; // units of which what is said is kept

let asked; // what the page asks; see `Labelling.asked`
let current; // the unit that is shown
let busy = false; // an answer is on its way
let viewer; // shows the unit on both dates: linked maps, or pictures where the maps aren't built
const seen = []; // units shown before, for going back
const known = new Map(); // unit -> promise of what is said of it

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function complain(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

async function ask(address, told, signal) {
  const options = told === undefined ? { signal } : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(told),
  };
  let reply;
  try {
    reply = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(told === undefined
      ? "The server doesn't answer: start it again, and open the address that it prints."
      : "Not saved: the server doesn't answer. Start it again, and open the address that it " +
        "prints; all answers before this one are safe.");
  }
  if (!reply.ok) {
    const found = await reply.json().catch(() => ({}));
    throw new Error(found.error || `The server refused (${reply.status}); reload the page.`);
  }
  return reply;
}

// ---- What is shown of a unit

function about(unit) {
  const coming = known.get(unit) ?? ask(`units/${unit}`).then((reply) => reply.json());
  known.delete(unit); // the last asked for comes last
  known.set(unit, coming);
  coming.catch(() => outdate(unit)); // asked again when it is shown again
  for (const old of [...known.keys()].slice(0, -KEPT)) known.delete(old);
  return coming;
}

function outdate(unit) { // what is said of it has changed
  known.delete(unit);
}

function checker(isPart) {
  $("checkered").hidden = !isPart;
}

// ---- The form

function group(name, title, options, row) {
  const choices = make("div", row ? { class: "row" } : {});
  options.forEach((option, k) => {
    const key = KEYS[k];
    const radio = make("input", { type: "radio", name, value: option });
    if (key) radio.setAttribute("aria-keyshortcuts", key);
    choices.append(make("label", {}, radio, make("span", {}, option), ...(key ? [make("kbd", {}, key)] : [])));
  });
  const hint = name === "after" && asked.asked.length === 2
    ? [make("span", { class: "hint" }, make("kbd", {}, "0"), " as before")] : [];
  return make("fieldset", { id: `group-${name}` }, make("legend", {}, title), choices, ...hint);
}

function build_form() {
  const two = asked.asked.length === 2;
  for (const name of asked.asked) {
    $("groups").append(group(name, two ? `Class ${name}` : "Class", asked.choices, false));
  }
  $("groups").append(group("confidence", "Confidence", asked.confidences, true));
  $("notes").maxLength = asked.notes;
  $("same").hidden = !two;
}

const groups = () => [...asked.asked, "confidence"];
const chosen = (name) => $("form").elements[name].value;
const radios = (name) => [...document.querySelectorAll(`input[name="${name}"]`)];

function here() {
  const name = document.activeElement?.name;
  if (groups().includes(name)) return name;
  return groups().find((g) => !chosen(g)) ?? "confidence";
}

function mark() {
  const name = groups().includes(document.activeElement?.name) ? document.activeElement.name : null;
  for (const g of groups()) $(`group-${g}`).classList.toggle("here", g === name);
}

function go_to(name, options = {}) {
  const among = radios(name);
  (among.find((r) => r.checked) ?? among[0]).focus(options);
}

function choose(name, value) {
  const option = radios(name).find((r) => r.value === value);
  if (!option) return;
  option.checked = true;
  const after = groups()[groups().indexOf(name) + 1];
  if (after) go_to(after);
  else option.focus();
}

function answer() {
  const said = { notes: $("notes").value };
  for (const name of groups()) said[name] = chosen(name) || null;
  return said;
}

function set_form(said) {
  for (const name of groups()) {
    for (const r of radios(name)) r.checked = Boolean(said) && said[name] === r.value;
  }
  $("notes").value = said?.notes ?? "";
}

function show_others(others) {
  $("others").hidden = !others.length;
  $("others").replaceChildren(...others.map((other, k) => {
    const labels = asked.asked.map((name) => other[name]).join(" → ");
    const key = [",", "."][k];
    const about = [other.confidence && `${other.confidence} confidence`, other.notes].filter(Boolean);
    const button = make("button", { type: "button" }, `${other.labeller}: `, make("b", {}, labels), " ",
      ...(key ? [make("kbd", {}, key)] : []), make("small", {}, about.join("; ")));
    if (key) button.setAttribute("aria-keyshortcuts", key);
    button.addEventListener("click", () => {
      for (const name of asked.asked) choose(name, other[name]);
      go_to("confidence");
    });
    return button;
  }));
}

// ---- From unit to unit

function show_progress({ units, answered, skipped, left }) {
  $("bar").max = units;
  $("bar").value = answered;
  const done = asked.review ? "reviewed" : "labelled";
  $("counts").textContent = `${answered} of ${units} ${done}, ${skipped} skipped, ${left} left`;
}

async function show(unit) {
  document.body.dataset.ready = "";
  current = unit;
  if (unit === null) return finish();
  $("end").hidden = true;
  $("main").hidden = false;
  const its = await about(unit);
  if (unit !== current) return undefined;
  $("unit").textContent = `Unit ${unit}`;
  show_place(its);
  $("mapped").hidden = its.map === null;
  $("mapped").textContent = its.map === null ? "" : `Map: ${its.map}`;
  set_form(its.answer);
  show_others(its.others);
  go_to(groups().find((g) => !chosen(g)) ?? groups()[0], { preventScroll: true });
  window.scrollTo(0, 0); // on a phone the pictures come first
  $("back").disabled = !seen.length && its.previous === null;
  $("spoken").textContent = `Unit ${unit}. ${$("counts").textContent}`;
  await viewer.show(unit, its);
  if (unit !== current) return undefined;
  document.body.dataset.ready = String(unit);
  if (its.next !== null) about(its.next).catch(() => {}); // told when it is shown
  return undefined;
}

function show_place(its) { // links that load nothing until they are clicked
  const sides = { N: its.latitude, S: -its.latitude, E: its.longitude, W: -its.longitude };
  const named = (one, other) => `${Math.max(sides[one], sides[other]).toFixed(5)}° ${
    sides[one] < 0 ? other : one}`;
  $("place").textContent = `${named("N", "S")}, ${named("E", "W")}`;
  $("street").hidden = its.wgs84 === null;
  if (its.wgs84 === null) return;
  const [longitude, latitude] = its.wgs84.map((degrees) => degrees.toFixed(6));
  const round = 40_075_017 * Math.cos(latitude * Math.PI / 180); // metres once around the Earth there
  const zoom = Math.log2(round / its.frames.context.metres); // the wide picture fills 256 pixels
  const near = Math.min(Math.max(Math.round(zoom) + 1, 3), 19);
  $("place").href = `geo:${latitude},${longitude}`;
  $("street").href = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=${
    near}/${latitude}/${longitude}`;
}

function finish() {
  $("main").hidden = true;
  $("end").hidden = false;
  $("ended").textContent = $("counts").textContent;
  $("end").focus();
  document.body.dataset.ready = "end";
}

async function leave(job) {
  if (busy || current === null || current === undefined) return;
  busy = true;
  const unit = current;
  try {
    const { progress, next, unfilled } = await job(unit);
    outdate(unit);
    seen.push(unit);
    show_progress(progress);
    complain(unfilled ?? "");
    busy = false;
    await show(next);
  } catch (error) {
    complain(error.message);
  } finally {
    busy = false;
  }
}

function save() {
  const lacking = groups().find((g) => !chosen(g));
  if (lacking) {
    complain(lacking === "confidence" ? "Say how sure you are." : `Choose a class${
      asked.asked.length === 2 ? ` ${lacking}` : ""}.`);
    go_to(lacking);
    return;
  }
  leave(async (unit) => (await ask(`answers/${unit}`, answer())).json());
}

function skip() {
  leave(async (unit) => (await ask(`skips/${unit}`, {})).json());
}

async function back() {
  if (busy) return;
  const to = seen.pop() ?? (current === null ? asked.last : (await about(current)).previous);
  if (to === null || to === undefined) return;
  complain("");
  outdate(to);
  await show(to).catch((error) => complain(error.message));
}

// ---- Keys

function on_key(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.target === $("notes")) {
    if (event.key === "Escape") go_to(here());
    return;
  }
  if ($("main").hidden) {
    if (event.key === "b" && $("keyed").checked) back();
    return;
  }
  if (event.key === "Enter") {
    const own = event.target.closest("button, summary, a");
    if (!own && !$("form").contains(event.target)) {
      event.preventDefault();
      save();
    }
    return;
  }
  if (viewer.key(event, $("keyed").checked)) {
    event.preventDefault();
    return;
  }
  if (!$("keyed").checked) return;
  const key = event.key.toLowerCase();
  const others = $("others").querySelectorAll("button");
  if (key === "b") back();
  else if (key === "s") skip();
  else if (key === "n") $("notes").focus();
  else if (key === "o") $("outlined").click();
  else if (key === "," && others[0]) others[0].click();
  else if (key === "." && others[1]) others[1].click();
  else if (key === "0" && here() === "after" && asked.asked.length === 2) choose("after", chosen("before"));
  else if (KEYS.includes(key)) {
    const name = here();
    const option = radios(name)[KEYS.indexOf(key)];
    if (!option) return;
    choose(name, option.value);
  } else return;
  event.preventDefault();
}

async function start() {
  try {
    asked = await (await ask("asked")).json();
  } catch (error) {
    complain(error.message);
    return;
  }
  const who = asked.review ? "Review" : "Labelling";
  document.title = `${who}: ${asked.map}`;
  $("title").textContent = `${who} of ${asked.map}, ${asked.labeller}`;
  const tools = [asked, $("pictures"), (address, signal) => ask(address, undefined, signal), checker];
  viewer = globalThis.LinkedMaps ? new LinkedMaps(...tools) : new UnitPictures(...tools);
  $("map-keys").hidden = $("licences").hidden = !globalThis.LinkedMaps;
  build_form();
  show_progress(asked.progress);
  document.addEventListener("keydown", on_key);
  document.addEventListener("focusin", mark);
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
  $("back").addEventListener("click", back);
  $("again").addEventListener("click", back);
  $("skip").addEventListener("click", skip);
  $("outlined").addEventListener("change", () => viewer.showOutline($("outlined").checked));
  await show(asked.first).catch((error) => complain(error.message));
}

start();
