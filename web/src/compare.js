// Comparing: the dates one after another, and two layers beside each other.

import { button, element, labelled, select } from "./dom.js";
import { rank } from "./description.js";
import { toggle } from "./legend.js";

/** Milliseconds that each date is shown while the dates alternate: slower than anything that disturbs. */
const BLINK = 900;

/** Dates that fit beside each other. */
const BESIDE = 3;

export function compareSection(page) {
  return [dateSwitch(page), swipeControls(page)].filter(Boolean);
}

/** Layers of one kind at several dates, images first. */
function datedGroups({ description }) {
  const groups = ["image", "classes"].map((kind) =>
    description.layers.filter((spec) => spec.kind === kind && typeof spec.date === "number"),
  );
  return groups.filter((group) => new Set(group.map(({ date }) => date)).size > 1);
}

/** Whether there are layers of several dates. */
export function hasDates(page) {
  return datedGroups(page).length > 0;
}

/** The date that is shown, or null where it is none or several. */
export function shownDate(page) {
  const on = datedGroups(page)
    .flat()
    .filter(({ id }) => page.state.layers[id].on);
  const dates = new Set(on.map(({ date }) => date));
  return dates.size === 1 ? on[0].date : null;
}

/** Show what is on at one date at another date instead; where nothing is on, the images. */
export function showDate(page, date) {
  const groups = datedGroups(page);
  page.state.change(({ layers }) => {
    const shown = groups.filter((group) => group.some(({ id }) => layers[id].on));
    for (const group of shown.length ? shown : groups.slice(0, 1)) {
      if (!group.some((spec) => spec.date === date)) continue;
      for (const spec of group) layers[spec.id].on = spec.date === date;
    }
  });
}

/** The dates that something is shown at, in order of time. */
function datesOf(page) {
  const dates = datedGroups(page)
    .flat()
    .map(({ date }) => date);
  return [...new Set(dates)].sort((one, other) => one - other);
}

/** Show the next date, or the one before; after the last comes the first. */
export function nextDate(page, by = 1) {
  const dates = datesOf(page);
  const place = dates.indexOf(shownDate(page)) + by;
  showDate(page, dates.at(place % dates.length));
}

let blinking = null;

export function blink(page, on) {
  clearInterval(blinking);
  blinking = on ? setInterval(() => nextDate(page), BLINK) : null;
  if (on) nextDate(page);
  page.state.change((state) => {
    state.blinking = on;
  });
}

function dateSwitch(page) {
  if (!hasDates(page)) return null;
  const { state } = page;
  const choose = (date) => {
    blink(page, false);
    showDate(page, date);
  };
  const few = datesOf(page).length <= BESIDE;
  const start = button("Blink", () => blink(page, !state.blinking), {
    title: "Shows the dates in turn (B)",
  });
  state.follow(() => start.setAttribute("aria-pressed", String(state.blinking)));
  return element(
    "fieldset",
    { class: "dates" },
    element("legend", {}, "Date"),
    few ? dateButtons(page, choose) : dateList(page, choose),
    start,
  );
}

/** A few dates, beside each other. */
function dateButtons(page, choose) {
  const choices = datesOf(page).map((date) => {
    const radio = element("input", {
      type: "radio",
      name: "date",
      on: { change: () => choose(date) },
    });
    page.state.follow(() => {
      radio.checked = shownDate(page) === date;
    });
    const label = element("span", {}, page.description.dates[date]);
    return element("label", { class: "choice" }, radio, label);
  });
  return element("div", { class: "choices" }, ...choices);
}

/** Many dates: a list, and steps from one to the next. */
function dateList(page, choose) {
  const list = select(
    datesOf(page).map((date) => [date, page.description.dates[date]]),
    "",
    (chosen) => choose(Number(chosen)),
    { "aria-label": "Date" },
  );
  page.state.follow(() => {
    list.value = String(shownDate(page) ?? "");
  });
  const step = (text, label, by) =>
    button(text, () => nextDate(page, by), { "aria-label": label, title: label });
  return element(
    "div",
    { class: "date-list" },
    step("‹", "Date before", -1),
    list,
    step("›", "Next date", 1),
  );
}

/** Two layers beside each other, or no longer. */
export function swipe(page, on) {
  const { state } = page;
  state.change(({ swipe: sides }) => {
    if (on && !sides.left) [sides.left, sides.right] = firstSides(page);
    sides.on = on;
    if (on) makeRoom(page);
    else if (sides.before) {
      for (const [id, shown] of Object.entries(sides.before)) state.layers[id].on = shown;
      sides.before = null;
    }
  });
}

/** Turn off the rasters that would cover both sides; what was on comes back when the divider goes. */
function makeRoom({ description, state }) {
  const { swipe: sides } = state;
  sides.before ??= Object.fromEntries(Object.entries(state.layers).map(([id, { on }]) => [id, on]));
  const rankOf = (id) => rank(description.layers.find((spec) => spec.id === id));
  const lowest = Math.min(rankOf(sides.left), rankOf(sides.right));
  for (const spec of description.layers) {
    const isSide = spec.id === sides.left || spec.id === sides.right;
    const isVector = spec.kind === "polygons" || spec.kind === "points";
    if (!isSide && !isVector && rank(spec) >= lowest) state.layers[spec.id].on = false;
  }
}

function firstSides({ description }) {
  const images = description.layers.filter(({ kind }) => kind === "image");
  const rasters = description.layers.filter(({ kind }) => kind !== "polygons" && kind !== "points");
  const both = images.length > 1 ? [images[0], images.at(-1)] : [rasters[0], rasters.at(-1)];
  return both.map(({ id }) => id);
}

function swipeControls(page) {
  const { description, state } = page;
  if (description.layers.length < 2) return null;
  const choices = description.layers.map(({ id, title }) => [id, title]);
  const [left, right] = ["left", "right"].map((side) => {
    const control = select(choices, "", (chosen) =>
      state.change(({ swipe: sides }) => {
        sides[side] = chosen;
        makeRoom(page);
      }),
    );
    state.follow(({ swipe: sides }) => {
      control.value = sides[side] ?? "";
    });
    return labelled(side === "left" ? "Left" : "Right", control);
  });
  const sides = element("div", { class: "pair" }, left, right);
  const check = toggle(
    state,
    "Divider between two layers",
    () => state.swipe.on,
    (on) => swipe(page, on),
  );
  state.follow(() => {
    sides.hidden = !state.swipe.on;
  });
  return element("div", { class: "swipe" }, check, sides);
}
