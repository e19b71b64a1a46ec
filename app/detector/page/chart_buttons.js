// The buttons beside a chart: zoom, and the picture.

import { byId, download } from "./dom.js";
import { fileName } from "./found.js";

/**
 * @param {() => any} chart what `draw` returned; null before there is one
 * @param {() => string} name of the series, for the name of the file
 */
export function chartButtons(chart, name) {
  byId("zoom-in").addEventListener("click", () => chart()?.zoom(1.6));
  byId("zoom-out").addEventListener("click", () => chart()?.zoom(1 / 1.6));
  byId("zoom-reset").addEventListener("click", () => chart()?.reset());
  byId("save-png").addEventListener("click", async () => {
    if (!chart()) return;
    // The policy lets no request read a data address.
    const [, base64] = (await chart().image()).split(",");
    const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
    download(fileName(name(), "png"), new Blob([bytes], { type: "image/png" }));
  });
}
