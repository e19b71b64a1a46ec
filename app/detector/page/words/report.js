// The words of the page that `detect --html` writes, besides those of the page itself.
export const words = {
  en: {
    reportTitle: "Anomalies in {name}",
    reportTitleChange: "Change points of {name}",
    reportWindow: "Points a trend lasts at least",
    reportBoundary: "Margins",
    reportMade: "Made on {when} by {versions}. Everything is in this file: nothing is loaded, and nothing is sent.",
    reportFailed: "The chart cannot be drawn in this browser; the table below has what was found.",
  },
  ja: {
    reportTitle: "{name} の異常",
    reportTitleChange: "{name} の変化点",
    reportWindow: "傾向が続く最小の点数",
    reportBoundary: "境界",
    reportMade: "作成: {when}、{versions}。必要なものはすべてこのファイルにあり、通信は行いません。",
    reportFailed: "このブラウザーではグラフを描けません。見つかったものは下の表にあります。",
  },
};
