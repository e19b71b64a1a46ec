// The sliders and fields of a detection, and their place in the address.

import { byId, fill } from "./dom.js";
import { DEFAULTS, defaultThreshold, WINDOWS } from "./request.js";

const IMPUTE_MODES = ["auto", "linear", "previous", "zero", "fixed", "notFill"];
// A stranger's link is checked like any input: what is out of bounds is the default.
const BOUNDS = {
  sensitivity: [0, 99, true], maxAnomalyRatio: [0.01, 0.49], threshold: [0.01, 0.99], period: [0, 8640, true],
  stableTrendWindow: [3, 8640, true], imputeFixedValue: [-1e100, 1e100],
};

/**
 * @param {import("./state.js").State} state
 * @returns {import("./request.js").Options} those that the address has
 */
function readOptions(state) {
  return { ...DEFAULTS, ...valid(state.get) };
}

/** Those of the options that `get` has by their names, and that are within their bounds. */
function valid(get) {
  const options = {};
  for (const [name, [least, most, whole]] of Object.entries(BOUNDS)) {
    const text = String(get(name) ?? "").trim();
    const value = text === "" ? NaN : Number(text);
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) options[name] = value;
  }
  const mode = get("imputeMode");
  if (IMPUTE_MODES.includes(mode)) options.imputeMode = mode;
  return options;
}

/**
 * @param {Object<string, string>} words
 * @param {import("./state.js").State} state
 * @param {() => void} onChange
 */
export function createOptions(words, state, onChange) {
  let options = readOptions(state);
  let mode = "entire";
  let granularity = "none";
  let foundPeriod = null;
  const field = {
    sensitivity: byId("sensitivity"), maxAnomalyRatio: byId("max-anomaly-ratio"), threshold: byId("threshold"),
    period: byId("period"), periodAuto: byId("period-auto"), window: byId("stable-trend-window"),
    windowAuto: byId("window-auto"), imputeMode: byId("impute-mode"), imputeFixedValue: byId("impute-fixed-value"),
  };

  function show() {
    field.sensitivity.value = options.sensitivity;
    field.maxAnomalyRatio.value = options.maxAnomalyRatio;
    field.threshold.value = options.threshold ?? defaultThreshold(granularity);
    field.periodAuto.checked = options.period === null;
    field.period.disabled = options.period === null;
    field.period.value = options.period ?? foundPeriod ?? "";
    field.windowAuto.checked = options.stableTrendWindow === null;
    field.window.disabled = options.stableTrendWindow === null;
    field.window.value = options.stableTrendWindow ?? WINDOWS[granularity];
    field.imputeMode.value = options.imputeMode;
    field.imputeFixedValue.value = options.imputeFixedValue;
    showTexts();
  }

  function showTexts() {
    byId("sensitivity-shown").textContent = String(options.sensitivity);
    byId("max-anomaly-ratio-shown").textContent = fill(words.percent, { n: Math.round(options.maxAnomalyRatio * 100) });
    field.maxAnomalyRatio.setAttribute("aria-valuetext", byId("max-anomaly-ratio-shown").textContent);
    byId("threshold-shown").textContent = (options.threshold ?? defaultThreshold(granularity)).toFixed(2);
    byId("period-shown").textContent = foundPeriod === null ? "" : foundPeriod < 2 ? words.noSeason : fill(words.points, { n: foundPeriod });
    byId("window-shown").textContent = fill(words.points, { n: options.stableTrendWindow ?? WINDOWS[granularity] });
    field.imputeFixedValue.hidden = options.imputeMode !== "fixed";
    for (const part of document.querySelectorAll("#options [data-for]")) {
      part.hidden = !part.dataset.for.split(" ").includes(mode);
    }
  }

  /** For the address: what is not as it is by default. */
  function kept() {
    const changed = {};
    for (const name of Object.keys(DEFAULTS)) changed[name] = options[name] === DEFAULTS[name] ? null : options[name];
    if (options.imputeMode !== "fixed") changed.imputeFixedValue = null;
    return changed;
  }

  function set(changes) {
    options = { ...options, ...changes };
    state.set(kept());
    showTexts();
    onChange();
  }

  function number(input, name, otherwise) {
    const [least, most, whole] = BOUNDS[name];
    const value = input.value === "" ? NaN : Number(input.value);
    const fits = value >= least && value <= most && (!whole || Number.isInteger(value));
    input.setAttribute("aria-invalid", String(!fits));
    return fits ? value : otherwise;
  }

  // `input` comes while a slider moves, `change` only when it is let go.
  for (const name of ["sensitivity", "maxAnomalyRatio", "threshold"]) {
    field[name].addEventListener("input", () => set({ [name]: Number(field[name].value) }));
  }
  field.imputeMode.addEventListener("change", () => set({ imputeMode: field.imputeMode.value }));
  field.imputeFixedValue.addEventListener("input", () =>
    set({ imputeFixedValue: number(field.imputeFixedValue, "imputeFixedValue", options.imputeFixedValue) }));
  field.period.addEventListener("input", () => set({ period: number(field.period, "period", options.period) }));
  field.window.addEventListener("input", () => set({ stableTrendWindow: number(field.window, "stableTrendWindow", options.stableTrendWindow) }));
  field.periodAuto.addEventListener("change", () => {
    field.period.disabled = field.periodAuto.checked;
    set({ period: field.periodAuto.checked ? null : number(field.period, "period", foundPeriod ?? 0) });
    if (!field.periodAuto.checked) field.period.value = options.period;
  });
  field.windowAuto.addEventListener("change", () => {
    field.window.disabled = field.windowAuto.checked;
    set({ stableTrendWindow: field.windowAuto.checked ? null : number(field.window, "stableTrendWindow", WINDOWS[granularity]) });
  });
  byId("options").addEventListener("submit", (event) => event.preventDefault());
  byId("reset-options").addEventListener("click", () => {
    set({ ...DEFAULTS });
    show();
  });
  show();

  return {
    get: () => options,
    kept,
    /** Take a sensitivity that was chosen elsewhere. */
    setSensitivity(value) {
      field.sensitivity.value = value;
      set({ sensitivity: value });
    },
    /** Read the address again, after "back". */
    reread() {
      options = readOptions(state);
      show();
    },
    /**
     * Begin with another series: forget the period, the window and the threshold of the one before,
     * and take the options that came with this one. The address is left to the caller, who makes it
     * one step with the series.
     * @param {Object<string, any>} [given]
     */
    begin(given = {}) {
      foundPeriod = null;
      options = { ...options, period: null, stableTrendWindow: null, threshold: null, ...valid((name) => given[name]) };
      show();
    },
    setMode(to) {
      mode = to;
      showTexts();
    },
    setGranularity(to) {
      granularity = to;
      show();
    },
    /** Tell which period the service found. */
    setPeriod(period) {
      foundPeriod = period;
      if (options.period === null) field.period.value = period;
      showTexts();
    },
  };
}
