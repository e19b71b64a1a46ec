// The page that `detect --html` writes: a chart and a table of what was found before, without a
// service. `report.py` puts this file, what it imports and the data into one page.

import { draw } from "./chart.js";
import { chartButtons } from "./chart_buttons.js";
import { byId, el, fill, translate } from "./dom.js";
import { createFound, summary } from "./found.js";
import { allowStyleAttributes } from "./plotly.js";
import { chartData, grid } from "./request.js";
import { words as english } from "./words/en.js";
import { words as japanese } from "./words/ja.js";
import { words as own } from "./words/report.js";

const language = navigator.language.toLowerCase().startsWith("ja") ? "ja" : "en";
const words = language === "ja" ? { ...japanese, ...own.ja } : { ...english, ...own.en };
const { mode, series, options, answer, understood, made, versions } = JSON.parse(byId("data").textContent);
const number = (value) => Number(value).toLocaleString(language, { maximumSignificantDigits: 6 });

document.documentElement.lang = language;
translate(document, words);
const title = fill(mode === "changepoint" ? words.reportTitleChange : words.reportTitle, { name: series.name });
document.title = title;
byId("title").textContent = title;
byId("understood").textContent = understood;
byId("understood").hidden = !understood;

const whole = grid(series);
const data = chartData(mode, series, whole, options, answer);
byId("summary").textContent = summary(data, series.values.length, words);
byId("settings").replaceChildren(
  ...settings().map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
);
const when = new Date(made).toLocaleString(language, { dateStyle: "long", timeStyle: "short" });
byId("made").textContent = fill(words.reportMade, { when, versions });

let chart = null;
createFound(words, (place) => {
  chart?.show(place);
  byId("chart").scrollIntoView({ block: "nearest" });
}).show(data, series.name);

try {
  allowStyleAttributes();
  chart = await draw(byId("chart"), data, words, { name: series.name });
  byId("chart").dataset.state = "done";
} catch (error) {
  console.error(error);
  byId("failed").textContent = words.reportFailed;
  byId("failed").hidden = false;
}
chartButtons(() => chart, () => series.name);

/** The options that counted, by the names that the page has for them. */
function settings() {
  const filling = {
    auto: words.fillAuto, linear: words.fillLinear, previous: words.fillPrevious, last: words.fillPrevious,
    zero: words.fillZero, notFill: words.fillNot, no: words.fillNot,
    fixed: `${words.fillFixed} ${number(options.imputeFixedValue ?? 0)}`,
  };
  const unit = words[`granularity_${options.granularity}`];
  const steps = options.customInterval > 1 ? `${number(options.customInterval)} × ${unit}` : unit;
  const shared = [
    [words.granularity, steps],
    [words.period, answer.period > 1 ? number(answer.period) : words.noSeason],
  ];
  if (mode === "changepoint") {
    return [...shared, [words.threshold, number(options.threshold)], [words.reportWindow, number(options.stableTrendWindow)]];
  }
  return [
    ...shared,
    [words.sensitivity, number(options.sensitivity)],
    [words.maxAnomalyRatio, fill(words.percent, { n: number(options.maxAnomalyRatio * 100) })],
    [words.imputeMode, filling[options.imputeMode]],
    [words.reportBoundary, options.boundaryVersion],
  ];
}
