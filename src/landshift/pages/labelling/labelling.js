// The page on which a sample's units are labelled. All text from files and people is set as text.
"use strict";

const $ = (id) => document.getElementById(id);
const KEYS = [..."123456789acdefghijklmpqrtuvwxyz"]; // b, n, o and s do something else
const ZOOMS = { close: "close", context: "around it" };
const KEPT = 6; // units whose pictures are kept

let asked; // what the page asks; see `Labelling.asked`
let current; // the unit that is shown
let following = null; // the unit after it
let busy = false; // an answer is on its way
let shapes = null; // width and height of each frame's picture, the shorter one 100
const seen = []; // units shown before, for going back
const loaded = new Map(); // unit -> promise of what is shown of it

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function drawn(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function complain(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

async function ask(address, told) {
  const options = told === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(told),
  };
  let reply;
  try {
    reply = await fetch(address, options);
  } catch {
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

// ---- Pictures

async function picture(unit, date, zoom, which, shape) {
  const reply = await ask(`pictures/${unit}/${date.name}/${zoom}/${which}/${shape.join("x")}`);
  const address = URL.createObjectURL(await reply.blob());
  const image = new Image();
  image.alt = `Unit ${unit} ${date.name}, ${ZOOMS[zoom]}, ${date.pictures[which]}`;
  image.src = address;
  await image.decode();
  return { image, address, seen: reply.headers.get("Landshift-Seen") };
}

function load(unit) {
  const found = loaded.get(unit) ?? { about: null, pictures: pictures_of(unit) };
  if (found.about === null) {
    found.about = ask(`units/${unit}`).then((reply) => reply.json());
    found.about.catch(() => loaded.delete(unit)); // asked again when it is shown again
  }
  loaded.delete(unit); // the last asked for comes last
  loaded.set(unit, found);
  for (const old of [...loaded.keys()].slice(0, -KEPT)) if (old !== current) drop(old);
  return found;
}

function pictures_of(unit) {
  const found = new Map();
  shapes ??= measured();
  for (const zoom of asked.zooms) {
    for (const date of asked.dates) {
      for (const which of Object.keys(date.pictures)) {
        const place = `${date.name}-${zoom}-${which}`;
        const coming = picture(unit, date, zoom, which, shapes.get(place));
        coming.catch(() => {}); // told where it is shown
        found.set(place, coming);
      }
    }
  }
  return found;
}

function measured() {
  return new Map([...document.querySelectorAll(".frame")].map((frame) => {
    const { width, height } = frame.getBoundingClientRect();
    const ratio = Math.min(Math.max(width / height || 1, 1 / asked.longest), asked.longest);
    const sides = ratio > 1 ? [100 * ratio, 100] : [100, 100 / ratio];
    return [frame.id, sides.map(Math.round)];
  }));
}

function on_resize() { // small differences are cropped, larger ones need other pictures
  if (shapes === null || $("main").hidden) return;
  const now = measured();
  const ratio = ([width, height]) => width / height;
  const change = Math.max(...[...now].map(([place, sides]) =>
    Math.abs(Math.log(ratio(sides) / ratio(shapes.get(place))))));
  if (change < 0.08) return;
  for (const unit of [...loaded.keys()]) drop(unit);
  shapes = now;
  show_pictures(current).catch((error) => complain(error.message));
}

function outdate(unit) { // what is said of it has changed, its pictures haven't
  if (loaded.has(unit)) loaded.get(unit).about = null;
}

function drop(unit) {
  for (const coming of loaded.get(unit).pictures.values()) {
    coming.then(({ address }) => URL.revokeObjectURL(address)).catch(() => {});
  }
  loaded.delete(unit);
}

const one_picture = (date) => Object.keys(date.pictures).length === 1;

function lay_out() {
  for (const date of asked.dates) {
    const places = make("div");
    for (const zoom of asked.zooms) {
      for (const [which, bands] of Object.entries(date.pictures)) {
        places.append(make("figure", {},
          make("div", { class: "frame", id: `${date.name}-${zoom}-${which}` }),
          make("figcaption", { "data-zoom": zoom, "data-bands": bands }, `0.00 km across, ${bands}`)));
      }
    }
    const title = make("h3", {}, `${capital(date.name)} `, make("span", {}, date.files.join(", ")));
    const kinds = one_picture(date) ? "date one" : "date";
    $("pictures").append(make("section", { class: kinds, "aria-label": date.name }, title, places));
  }
  const alone = asked.dates.length === 1 && one_picture(asked.dates[0]);
  $("pictures").classList.toggle("alone", alone); // close and wide side by side
  new ResizeObserver(() => {
    clearTimeout(resizing);
    resizing = setTimeout(on_resize, 250);
  }).observe($("pictures"));
}

let resizing; // waits for the end of a change of the window's size

function outline(frames, zoom, [width, height]) { // in sides of the square in the picture's middle
  const short = Math.min(width, height);
  const [w, h] = [width / short, height / short];
  const svg = drawn("svg", { viewBox: `${(1 - w) / 2} ${(1 - h) / 2} ${w} ${h}`,
    preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" });
  const points = frames[zoom].outline.map(([x, y]) => `${x},${y}`).join(" ");
  if (zoom === "context") { // where the close picture lies
    const side = frames.close.metres / frames.context.metres;
    const [xs, ys] = [0, 1].map((k) => frames.context.outline.map((p) => p[k]));
    const middle = (v) => (Math.min(...v) + Math.max(...v)) / 2;
    for (const line of ["outer dashed", "inner dashed"]) {
      svg.append(drawn("rect", { x: middle(xs) - side / 2, y: middle(ys) - side / 2,
        width: side, height: side, class: line }));
    }
  }
  for (const line of ["outer", "inner"]) svg.append(drawn("polygon", { points, class: line }));
  return svg;
}

function distance(metres) {
  const [value, unit] = metres < 1000 ? [metres, "m"] : [metres / 1000, "km"];
  return `${Number(value.toPrecision(3))} ${unit} across`;
}

const WORDS = { outside: "Outside the image", nothing: "No data in the image here" };

async function fill(unit, place, coming, frames) {
  const frame = $(place);
  const zoom = place.split("-")[1];
  try {
    const { image, seen } = await coming;
    if (unit !== current) return;
    frame.replaceChildren(image, outline(frames, zoom, shapes.get(place)));
    if (WORDS[seen]) frame.append(make("p", {}, WORDS[seen]));
    if (seen === "part") $("checkered").hidden = false;
  } catch (error) {
    if (unit === current) frame.replaceChildren(make("p", {}, error.message));
  }
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
  following = null;
  if (unit === null) return finish();
  $("end").hidden = true;
  $("main").hidden = false;
  const found = load(unit);
  const about = await found.about;
  if (unit !== current) return undefined;
  following = about.next;
  $("unit").textContent = `Unit ${unit}`;
  show_place(about);
  $("mapped").hidden = about.map === null;
  $("mapped").textContent = about.map === null ? "" : `Map: ${about.map}`;
  set_form(about.answer);
  show_others(about.others);
  go_to(groups().find((g) => !chosen(g)) ?? groups()[0], { preventScroll: true });
  window.scrollTo(0, 0); // on a phone the pictures come first
  $("back").disabled = !seen.length && about.previous === null;
  $("spoken").textContent = `Unit ${unit}. ${$("counts").textContent}`;
  return show_pictures(unit);
}

async function show_pictures(unit) {
  document.body.dataset.ready = "";
  const found = load(unit);
  const { frames } = await found.about;
  if (unit !== current) return;
  for (const frame of document.querySelectorAll(".frame")) {
    const { zoom, bands } = frame.nextSibling.dataset;
    const [width, height] = shapes.get(frame.id);
    const metres = frames[zoom].metres * Math.max(width / height, 1);
    frame.nextSibling.textContent = `${distance(metres)}, ${bands}`;
    frame.replaceChildren();
  }
  $("checkered").hidden = true;
  const places = [...found.pictures];
  await Promise.all(places.map(([place, coming]) => fill(unit, place, coming, frames)));
  if (unit !== current || loaded.get(unit) !== found) return;
  document.body.dataset.ready = String(unit);
  if (following !== null) load(following);
}

function show_place(about) { // links that load nothing until they are clicked
  const sides = { N: about.latitude, S: -about.latitude, E: about.longitude, W: -about.longitude };
  const named = (one, other) => `${Math.max(sides[one], sides[other]).toFixed(5)}° ${
    sides[one] < 0 ? other : one}`;
  $("place").textContent = `${named("N", "S")}, ${named("E", "W")}`;
  $("street").hidden = about.wgs84 === null;
  if (about.wgs84 === null) return;
  const [longitude, latitude] = about.wgs84.map((degrees) => degrees.toFixed(6));
  const round = 40_075_017 * Math.cos(latitude * Math.PI / 180); // metres once around the Earth there
  const zoom = Math.log2(round / about.frames.context.metres); // the wide picture fills 256 pixels
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
  const to = seen.pop() ?? (current === null ? asked.last : (await load(current).about).previous);
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
  lay_out();
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
  $("outlined").addEventListener("change", () =>
    $("pictures").classList.toggle("bare", !$("outlined").checked));
  await show(asked.first).catch((error) => complain(error.message));
}

start();
