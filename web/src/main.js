// The map page: reads what there is to show, and puts its parts together.

import { compareSection } from "./compare.js";
import { coordinates, northArrow, scaleBar, zoomButtons } from "./corner.js";
import { pairOf, rank, readDescription, sameGrid } from "./description.js";
import { drawn, element, iconButton } from "./dom.js";
import { PlaceCard } from "./identify.js";
import { keyList, listen } from "./keys.js";
import { layerList } from "./layerlist.js";
import { MapLayer } from "./layers.js";
import { toggle } from "./legend.js";
import { lonLatOf } from "./lonlat.js";
import { makeMap, projectionOf, showAll } from "./map.js";
import { Notices } from "./notices.js";
import { follow, taken } from "./permalink.js";
import { placeSection } from "./places.js";
import { polygonSection } from "./polygons.js";
import { State } from "./state.js";
import { Divider } from "./swipe.js";

/** Room around what the map shows, in pixels. */
const ROOM = 24;

const PANEL = ["M4 6h16", "M4 12h16", "M4 18h16"];

/** Pixels of the screen across one of the raster where the user goes to a place. */
const CLOSE = 4;

export async function start() {
  const notices = new Notices();
  let description;
  try {
    description = await readDescription();
    hasGraphics();
  } catch (error) {
    document.body.append(
      element(
        "main",
        { class: "broken" },
        element("h1", {}, "The map can't be shown"),
        element("p", {}, error.message),
      ),
    );
    return;
  }
  const page = new Page(description, notices);
  page.show();
}

function hasGraphics() {
  const context = document.createElement("canvas").getContext("webgl");
  if (!context)
    throw new Error(
      "This browser has no WebGL, by which the map is drawn; another browser, or graphics switched on, shows it.",
    );
  context.getExtension("WEBGL_lose_context")?.loseContext();
}

/** The parts of the page, each of which finds the others here. */
class Page {
  constructor(description, notices) {
    const pair = pairOf(description);
    if (pair) description.layers.push(pair);
    this.description = description;
    this.notices = notices;
    this.topFirst = [...description.layers].sort((one, other) => rank(other) - rank(one));
    this.ways = lonLatOf(description);
    this.state = new State(description);
    this.confidence = description.layers.find(({ role }) => role === "confidence") ?? null;
  }

  show() {
    const { description, state } = this;
    document.title = description.title;
    const target = element("div", {
      id: "map",
      tabindex: "0",
      role: "application",
      "aria-label": `Map of ${description.title}`,
    });
    const main = element("main", {}, target);
    document.body.replaceChildren(main);
    const projection = projectionOf(description);
    this.map = makeMap(target, description, projection);
    target.append(cross());
    this.divider = new Divider(
      this.map,
      state,
      new Map(description.layers.map(({ id, title }) => [id, title])),
    );
    this.layers = description.layers.map(
      (spec) =>
        new MapLayer(spec, this.map, {
          projection,
          confidence: this.confidence,
          failed: (text) => this.notices.warn(text),
        }),
    );
    for (const layer of this.layers) layer.clip = this.divider;
    this.card = new PlaceCard(this);
    this.panel = this.#panel();
    main.append(
      zoomButtons(this),
      ...[northArrow(this), scaleBar(this)].filter(Boolean),
      coordinates(this),
      this.card.box,
      this.notices.box,
    );
    document.body.append(this.panel);
    this.togglePanel(!isPhone());
    this.map.updateSize();
    this.showAll();
    taken(location.hash.slice(1), this);
    state.follow(() => this.layers.forEach((layer) => layer.follow(state)));
    follow(this);
    listen(this);
    this.#sayWhetherBusy(target);
  }

  /** The map is busy from a change until everything that it asks for is drawn. */
  #sayWhetherBusy(target) {
    const busy = (is) => target.setAttribute("aria-busy", String(is));
    this.state.follow(() => busy(true));
    this.map.getView().on(["change:center", "change:resolution"], () => busy(true));
    this.map.on("rendercomplete", () => busy(this.layers.some((layer) => layer.waiting)));
  }

  /** Turn a layer on or off. */
  turn(spec, on) {
    this.state.change(({ layers }) => {
      layers[spec.id].on = on;
    });
  }

  canFade(spec) {
    return this.confidence !== null && sameGrid(this.confidence.grid, spec.grid);
  }

  padding(room = ROOM) {
    return [room, room, room, room];
  }

  showAll() {
    showAll(this.map, this.description.extent, this.padding());
  }

  goTo(place) {
    const view = this.map.getView();
    view.setCenter(place);
    view.setResolution(Math.min(view.getResolution(), this.description.grid.transform[0] / CLOSE));
    this.card.show(place);
    this.closeSheet();
  }

  askPlace() {
    this.togglePanel(true);
    const input = this.panel.querySelector(".go-to");
    input.closest("details").open = true;
    input.focus();
  }

  /** Open or close the panel. */
  togglePanel(open = document.body.classList.contains("panel-closed")) {
    document.body.classList.toggle("panel-closed", !open);
    this.panelButton.setAttribute("aria-expanded", String(open));
    this.panelBody.inert = !open;
  }

  /** On a phone the panel covers the map: make room for what happens there. */
  closeSheet() {
    if (isPhone()) this.togglePanel(false);
  }

  #panel() {
    const { description } = this;
    this.panelButton = iconButton(PANEL, "Panel", () => this.togglePanel(), {
      class: "icon panel-button",
      "aria-controls": "panel-body",
    });
    const compare = compareSection(this);
    this.panelBody = element(
      "div",
      { class: "panel-body", id: "panel-body" },
      ...(description.left_out.length ? [leftOut(description.left_out)] : []),
      compare.length ? section("Compare", compare, true) : null,
      section(
        "Layers",
        [
          layerList(this),
          toggle(
            this.state,
            "Colours for colour-blind readers",
            () => this.state.safeColours,
            (on) => {
              this.state.safeColours = on;
            },
          ),
        ],
        true,
      ),
      section("Areas in a polygon", polygonSection(this), false),
      section("Place and link", placeSection(this), false),
      section("Keys", [keyList()], false),
      section("About", about(description), false),
    );
    return element(
      "aside",
      { class: "panel", "aria-label": "Layers and tools" },
      element("header", {}, element("h1", {}, description.title), this.panelButton),
      this.panelBody,
    );
  }
}

function section(title, parts, open) {
  return element(
    "details",
    { open },
    element("summary", {}, element("h2", {}, title)),
    element("div", { class: "section" }, ...parts),
  );
}

function leftOut(lines) {
  const count = lines.length === 1 ? "One file is left out" : `${lines.length} files are left out`;
  return element(
    "details",
    { class: "left-out" },
    element("summary", {}, count),
    ...lines.map((line) => element("p", {}, line)),
  );
}

function about({ crs, policy, isInside }) {
  return [
    element(
      "p",
      {},
      `The map is drawn in ${crs.name}, the coordinate reference system of the first raster. Nothing is fetched from anywhere else.`,
    ),
    ...policy.map((line) => element("p", {}, line)),
    element(
      "p",
      {},
      "Drawn by landshift. ",
      isInside ? null : element("a", { href: "licences.txt" }, "Licences of the libraries"),
    ),
  ];
}

function cross() {
  return drawn(
    "svg",
    { class: "cross", viewBox: "0 0 40 40", "aria-hidden": "true" },
    drawn("path", { d: "M20 4v12M20 24v12M4 20h12M24 20h12", class: "halo" }),
    drawn("path", { d: "M20 4v12M20 24v12M4 20h12M24 20h12" }),
  );
}

function isPhone() {
  return matchMedia("(max-width: 700px)").matches;
}
