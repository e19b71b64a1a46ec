// Loads Plotly, which is large, once the page has been painted. It is a script and no module: it
// sets `globalThis.Plotly`.

let loading = null;

/**
 * @returns {Promise<any>} Plotly
 * @throws {Error} where it cannot be loaded; the next call tries again
 */
export function loadPlotly() {
  if (globalThis.Plotly) return Promise.resolve(globalThis.Plotly);
  loading ??= new Promise((resolve, reject) => {
    allowStyleAttributes();
    const script = document.createElement("script");
    script.src = new URL("./plotly.min.js", import.meta.url).href;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("plotly.min.js cannot be loaded."));
    };
    document.head.append(script);
  });
  return loading;
}

// The page's policy refuses `setAttribute("style", ...)`, which Plotly uses; the same declarations
// are allowed where a script sets them one by one.
function allowStyleAttributes() {
  const original = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function setAttribute(name, value) {
    if (name === "style" && this.style) this.style.cssText = value;
    else original.call(this, name, value);
  };
}
