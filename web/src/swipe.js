// The divider between two layers: one is shown left of it, the other right of it.

import { getRenderPixel } from "ol/render.js";
import { element } from "./dom.js";

/** How far a key moves the divider, as a share of the map. */
const STEP = 0.02;

/** The divider, which clips the layers of the map. */
export class Divider {
  constructor(map, state, titles) {
    this.map = map;
    this.state = state;
    this.titles = titles;
    this.left = element("span", { class: "divider-name divider-left" });
    this.right = element("span", { class: "divider-name divider-right" });
    this.handle = element(
      "div",
      {
        class: "divider",
        role: "slider",
        tabindex: "0",
        "aria-label": "Divider between two layers",
        "aria-orientation": "horizontal",
        "aria-valuemin": "0",
        "aria-valuemax": "100",
        on: { keydown: (event) => this.#key(event), pointerdown: (event) => this.#grab(event) },
      },
      this.left,
      element("span", { class: "divider-grip", "aria-hidden": "true" }, "‹ ›"),
      this.right,
    );
    map.getTargetElement().append(this.handle);
    state.follow(() => this.#show());
  }

  /** Called before a layer is drawn, with its context. */
  before(layer, event) {
    const side = this.#sideOf(layer.spec.id);
    if (!side) return;
    const [width, height] = this.map.getSize();
    const at = this.state.swipe.at * width;
    const [from, to] = side === "left" ? [0, at] : [at, width];
    const context = event.context;
    if (context instanceof CanvasRenderingContext2D) {
      context.save();
      context.beginPath();
      const corners = [
        [from, 0],
        [to, 0],
        [to, height],
        [from, height],
      ];
      corners
        .map((corner) => getRenderPixel(event, corner))
        .forEach(([x, y]) => context.lineTo(x, y));
      context.clip();
      return;
    }
    const [x, y] = getRenderPixel(event, [from, height]);
    const [right, top] = getRenderPixel(event, [to, 0]);
    context.enable(context.SCISSOR_TEST);
    context.scissor(
      Math.round(x),
      Math.round(y),
      Math.max(0, Math.round(right - x)),
      Math.round(top - y),
    );
  }

  after(layer, event) {
    if (!this.#sideOf(layer.spec.id)) return;
    const context = event.context;
    if (context instanceof CanvasRenderingContext2D) context.restore();
    else context.disable(context.SCISSOR_TEST);
  }

  #sideOf(id) {
    const { swipe } = this.state;
    if (!swipe.on || swipe.left === swipe.right) return null;
    return id === swipe.left ? "left" : id === swipe.right ? "right" : null;
  }

  #show() {
    const { on, at, left, right } = this.state.swipe;
    this.handle.hidden = !on;
    this.handle.style.left = `${100 * at}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(100 * at));
    this.left.textContent = this.titles.get(left) ?? "";
    this.right.textContent = this.titles.get(right) ?? "";
    this.map.render();
  }

  #move(at) {
    this.state.change(({ swipe }) => {
      swipe.at = Math.min(1, Math.max(0, at));
    });
  }

  #key(event) {
    const moves = {
      ArrowLeft: -STEP,
      ArrowRight: STEP,
      PageDown: -5 * STEP,
      PageUp: 5 * STEP,
      Home: -1,
      End: 1,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    this.#move(this.state.swipe.at + moves[event.key]);
  }

  #grab(event) {
    event.preventDefault();
    event.stopPropagation();
    this.handle.focus();
    this.handle.setPointerCapture(event.pointerId);
    const box = this.map.getTargetElement().getBoundingClientRect();
    const drag = ({ clientX }) => this.#move((clientX - box.left) / box.width);
    const drop = () => {
      this.handle.removeEventListener("pointermove", drag);
    };
    this.handle.addEventListener("pointermove", drag);
    this.handle.addEventListener("pointerup", drop, { once: true });
    this.handle.addEventListener("pointercancel", drop, { once: true });
  }
}
