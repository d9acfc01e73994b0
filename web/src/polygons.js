// The part of the panel for polygons: draw, load, label, save, and the areas inside.

import { FULL_PIXELS, classesInside } from "./areas.js";
import { button, download, element, freshId, labelled, select, swatch } from "./dom.js";
import { Drawing, ringsOf } from "./drawing.js";
import { fromGeoJson, toGeoJson } from "./geojson.js";
import { reason } from "./notices.js";
import { hectares, percent } from "./numbers.js";

export function polygonSection(page) {
  const list = element("ol", { class: "polygons" });
  const result = element("div", {
    class: "inside",
    role: "region",
    "aria-label": "Areas in the polygon",
    "aria-live": "polite",
  });
  const drawing = new Drawing(page.map, () => show());
  page.drawing = drawing;
  const hint = drawingBar(drawing);
  page.map.getTargetElement().after(hint);
  const start = button("Draw a polygon", () => toggleDrawing(page), {
    title: "Draws a polygon on the map (P)",
  });
  const file = element("input", {
    type: "file",
    accept: ".geojson,.json,application/geo+json",
    hidden: true,
    on: { change: () => load(page, file) },
  });
  const save = button("Save as GeoJSON", () => saveAll(page));
  const layers = page.description.layers.filter(
    ({ kind }) => kind === "classes" || kind === "pair",
  );
  let counted = layers.find(({ role }) => role === "change") ?? layers.at(-1) ?? null;
  const layer = select(
    layers.map(({ id, title }) => [id, title]),
    counted?.id ?? "",
    (chosen) => {
      counted = layers.find(({ id }) => id === chosen);
      show();
    },
  );
  const field = labelled("Areas by", layer);

  let shown = null;
  function show() {
    start.setAttribute("aria-pressed", String(drawing.drawing));
    start.textContent = drawing.drawing ? "Stop drawing" : "Draw a polygon";
    hint.hidden = !drawing.drawing;
    save.hidden = drawing.polygons.length === 0;
    field.hidden = !drawing.selected || layers.length < 2;
    list.replaceChildren(...drawing.polygons.map((feature, k) => entry(page, feature, k + 1)));
    const isNew = drawing.selected !== shown;
    shown = drawing.selected;
    fill(page, result, shown, counted).then(() => {
      if (isNew && shown) reveal(page, list);
    });
  }
  show();
  return [
    element(
      "div",
      { class: "buttons" },
      start,
      button("Load GeoJSON", () => file.click()),
      save,
    ),
    file,
    list,
    field,
    result,
  ];
}

/** What helps while a polygon is drawn: how it goes, and buttons where there is no keyboard. */
function drawingBar(drawing) {
  return element(
    "div",
    { class: "hint" },
    element(
      "p",
      { role: "status" },
      "Click each corner, and the first one again to finish.",
      element(
        "span",
        { class: "by-keys" },
        "By keys: arrows move the map, Space sets a corner at the cross, Enter finishes, Backspace takes one back, Escape ends.",
      ),
    ),
    element(
      "div",
      { class: "buttons" },
      button("Finish", () => drawing.finish()),
      button("Take one back", () => drawing.removeCorner()),
      button("Cancel", () => drawing.stop()),
    ),
  );
}

/** Open the part of the panel where a polygon's areas stand. */
function reveal(page, list) {
  page.togglePanel(true);
  const part = list.closest("details");
  part.open = true;
  part.scrollIntoView({ block: "start" });
}

export function toggleDrawing(page) {
  const { drawing, map } = page;
  if (drawing.drawing) {
    drawing.stop();
    return;
  }
  page.closeSheet();
  drawing.start();
  map.getTargetElement().focus();
}

/** A polygon in the list: chosen, labelled, removed. */
function entry(page, feature, number) {
  const { drawing, description } = page;
  const is = drawing.selected === feature;
  const choose = button(
    `Polygon ${number}`,
    () => {
      drawing.select(feature);
      page.map
        .getView()
        .fit(feature.getGeometry(), { padding: page.padding(60), maxZoom: undefined, duration: 0 });
    },
    { "aria-pressed": String(is), class: "choose" },
  );
  const classes = classNames(description);
  const own = feature.get("class");
  if (own && !classes.includes(own)) classes.push(own);
  const name = select(
    [["", "no class"], ...classes.map((each) => [each, each])],
    own,
    (chosen) => feature.set("class", chosen),
    {
      "aria-label": `Class of polygon ${number}`,
    },
  );
  const dates = [...description.dates];
  if (feature.get("date") && !dates.includes(feature.get("date"))) dates.push(feature.get("date"));
  const date = select(
    [["", "no date"], ...dates.map((each) => [each, each])],
    feature.get("date"),
    (chosen) => feature.set("date", chosen),
    {
      "aria-label": `Date of polygon ${number}`,
    },
  );
  const remove = button("Remove", () => drawing.remove(feature), {
    "aria-label": `Remove polygon ${number}`,
  });
  return element("li", {}, choose, remove, element("div", { class: "pair" }, name, date));
}

function classNames({ layers }) {
  const names = layers
    .filter(({ kind }) => kind === "classes")
    .flatMap(({ classes }) => classes.map(({ name }) => name));
  return [...new Set(names)];
}

let asked = 0;

/** Count what lies in a polygon, and show it unless the user has gone on meanwhile. */
async function fill(page, box, feature, spec) {
  asked += 1;
  const own = asked;
  if (!feature || !spec) {
    box.replaceChildren();
    return;
  }
  try {
    const found = await classesInside(
      spec,
      ringsOf(feature),
      page.description.full_pixels ?? FULL_PIXELS,
    );
    if (own === asked) box.replaceChildren(...resultTable(spec, found));
  } catch (error) {
    if (own === asked)
      box.replaceChildren(
        element("p", { class: "warning" }, `${spec.title} can't be read: ${reason(error)}`),
      );
  }
}

function resultTable(spec, { rows, pixels, hectares: total, level, factor }) {
  if (!pixels) return [element("p", {}, "No pixel of the map has its centre in this polygon.")];
  const caption = freshId();
  const unit = total === null ? "pixels" : "ha";
  const amount = (row) =>
    total === null ? row.pixels.toLocaleString("en") : hectares(row.hectares);
  const cells = (row) => [
    element(
      "td",
      {},
      ...row.classes.flatMap(({ name, colour }, k) => [
        k ? " → " : null,
        swatch(colour),
        element("span", {}, name),
      ]),
    ),
    element(
      "td",
      { class: "number", "data-exact": String(total === null ? row.pixels : row.hectares) },
      amount(row),
    ),
    element("td", { class: "number" }, percent(row.pixels / pixels)),
  ];
  const head = ["Class", unit, "share"].map((text, k) =>
    element("th", { scope: "col", class: k ? "number" : "" }, text),
  );
  const overview = level
    ? element(
        "p",
        { class: "note overview" },
        `Counted on an overview: each of its pixels stands for ${Math.round(factor)} × ${Math.round(factor)}.`,
      )
    : null;
  return [
    element(
      "table",
      { "aria-describedby": caption },
      element(
        "caption",
        { id: caption },
        `${spec.title}: ${pixels.toLocaleString("en")} pixels${total === null ? "" : `, ${hectares(total)} ha`}`,
      ),
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row)))),
    ),
    overview,
    spec.note ? element("p", { class: "note" }, spec.note) : null,
    total === null
      ? element("p", { class: "note" }, "The areas of pixels aren't known here.")
      : null,
  ].filter(Boolean);
}

async function load(page, file) {
  const [chosen] = file.files;
  file.value = "";
  if (!chosen) return;
  try {
    const polygons = await fromGeoJson(chosen, page.description, page.ways);
    const features = polygons.map(({ rings, properties }) => page.drawing.add(rings, properties));
    page.drawing.select(features[0]);
    page.map.getView().fit(features[0].getGeometry(), { padding: page.padding(60) });
    page.notices.say(`${features.length} ${features.length === 1 ? "polygon" : "polygons"} loaded`);
  } catch (error) {
    page.notices.warn(error.message);
  }
}

function saveAll(page) {
  const polygons = page.drawing.polygons.map((feature) => ({
    rings: ringsOf(feature),
    properties: { class: feature.get("class"), date: feature.get("date") },
  }));
  const content = JSON.stringify(toGeoJson(polygons, page.description, page.ways), null, 1);
  download("polygons.geojson", new Blob([content], { type: "application/geo+json" }));
}
