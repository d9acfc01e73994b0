// A layer of one picture at its place on the ground. The last one stays until the next is there.

import Layer from "ol/layer/Layer.js";

export class PictureLayer extends Layer {
  #canvas = document.createElement("canvas");
  #shown = null;

  constructor() {
    super({});
    this.#canvas.className = "picture";
  }

  /** Show a picture: its bitmap, its left and upper edge, and the side of a pixel, in units of the map; null: none. */
  show(shown) {
    this.#shown = shown;
    this.changed();
  }

  getSourceState() {
    return "ready";
  }

  render({ size, pixelRatio, viewState }) {
    const canvas = this.#canvas;
    const [width, height] = size.map((side) => Math.round(side * pixelRatio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (this.#shown === null) return canvas;
    const { bitmap, left, top, pixel } = this.#shown;
    const unit = viewState.resolution / pixelRatio; // of the map, across a pixel of the screen
    const scale = pixel / unit;
    pen.imageSmoothingEnabled = Math.abs(scale - 1) > 0.01;
    pen.drawImage(
      bitmap,
      Math.round((left - viewState.center[0]) / unit + width / 2),
      Math.round((viewState.center[1] - top) / unit + height / 2),
      bitmap.width * scale,
      bitmap.height * scale,
    );
    return canvas;
  }
}
