// The pages that have maps: one bundle serves them all, since most of it is the map library.

import { LinkedMaps } from "./labelling/maps.js";
import { start } from "./main.js";

if (document.documentElement.dataset.page === "labelling") globalThis.LinkedMaps = LinkedMaps;
else start();
