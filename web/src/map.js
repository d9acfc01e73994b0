// The map: one view in the CRS of the first raster, without a base map.

import OlMap from "ol/Map.js";
import View from "ol/View.js";
import { defaults } from "ol/interaction/defaults.js";
import Projection from "ol/proj/Projection.js";

/** Pixels of the screen across a pixel of the raster, where the user has zoomed in all the way. */
const LARGEST_PIXEL = 64;

/** How much wider than the raster the view may become. */
const WIDEST = 3;

const METRES_OF_DEGREE = 111_319.49;

/** The page's CRS as OpenLayers knows one; nothing is ever reprojected. */
export function projectionOf({ crs, extent }) {
  return new Projection({
    code: "page",
    units: crs.geographic ? "degrees" : "m",
    metersPerUnit: crs.geographic ? METRES_OF_DEGREE : (crs.metres ?? 1),
    extent: wider(extent, WIDEST),
    worldExtent: undefined,
    global: false,
  });
}

export function makeMap(target, description, projection) {
  const { extent } = description;
  const size = Math.max(extent[2] - extent[0], extent[3] - extent[1]);
  const pixel = description.grid.transform[0];
  return new OlMap({
    target,
    controls: [],
    interactions: defaults({ altShiftDragRotate: false, pinchRotate: false, onFocusOnly: false }),
    view: new View({
      projection,
      extent: wider(extent, 1.2),
      constrainOnlyCenter: true,
      showFullExtent: true,
      enableRotation: false,
      center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
      resolution: size / 600,
      minResolution: pixel / LARGEST_PIXEL,
      maxResolution: Math.max((WIDEST * size) / 600, pixel),
    }),
  });
}

/** Room that panels leave to the map at its top, right, bottom and left, in pixels. */
export function showAll(map, extent, padding) {
  map.getView().fit(extent, { padding, size: map.getSize() });
}

/** Metres on the ground across a pixel of the screen at the middle of the view. */
export function metresOfPixel(view, crs) {
  const resolution = view.getResolution();
  if (!crs.geographic) return resolution * crs.metres;
  return resolution * METRES_OF_DEGREE * Math.cos((view.getCenter()[1] * Math.PI) / 180);
}

function wider([left, bottom, right, top], times) {
  const x = ((times - 1) * (right - left)) / 2;
  const y = ((times - 1) * (top - bottom)) / 2;
  return [left - x, bottom - y, right + x, top + y];
}
