// The curve of how many points each sensitivity would flag. It is a slider by itself: a click or an
// arrow key takes a sensitivity.

import { byId, fill } from "./dom.js";
import { ApiError } from "./api.js";
import { body, TUNE_PATH } from "./request.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 210;
const ROOM = { left: 44, right: 12, top: 14, bottom: 30 };

/**
 * @param {{api: any, words: Object<string, string>, onSensitivity: (value: number) => void}} page
 */
export function createTune({ api, words, onSensitivity }) {
  const box = byId("tune-curve");
  let curve = null;
  let current = 95;
  let asked = null;
  let sending = null;
  let input = null;

  const svg = make("svg", { height: HEIGHT, role: "slider", tabindex: "0", "aria-valuemin": 0, "aria-valuemax": 99, "aria-valuenow": 95 });
  const area = make("path", { class: "tune-area" });
  const line = make("path", { class: "tune-line" });
  const marks = make("g", { class: "tune-marks" });
  const rule = make("line", { class: "tune-rule", y1: ROOM.top, y2: HEIGHT - ROOM.bottom });
  const dot = make("circle", { class: "tune-dot", r: 5.5 });
  const label = make("text", { class: "tune-label" });
  svg.append(marks, area, line, rule, dot, label);
  box.append(svg);

  const width = () => Math.max(240, box.clientWidth);
  const most = () => Math.max(1, ...curve.anomalies);
  const x = (sensitivity) => ROOM.left + (sensitivity / 99) * (width() - ROOM.left - ROOM.right);
  const y = (count) => HEIGHT - ROOM.bottom - (count / most()) * (HEIGHT - ROOM.top - ROOM.bottom);

  function draw() {
    if (!curve || !box.clientWidth) return;
    svg.setAttribute("width", String(width()));
    const steps = curve.sensitivities.map((each, at) => `${at ? "L" : "M"}${x(each).toFixed(1)} ${y(curve.anomalies[at]).toFixed(1)}`).join("");
    line.setAttribute("d", steps);
    area.setAttribute("d", `${steps}L${x(99)} ${y(0)}L${x(0)} ${y(0)}Z`);
    marks.replaceChildren(
      ...[0, 25, 50, 75, 99].map((each) => text(x(each), HEIGHT - 10, String(each), "middle")),
      ...[0, most()].map((each) => text(ROOM.left - 8, y(each) + 4, each.toLocaleString(), "end")),
      make("line", { x1: ROOM.left, x2: width() - ROOM.right, y1: y(0), y2: y(0) }),
    );
    drawCurrent();
  }

  // The curve of another series, or of other options, would say something wrong of these.
  function forget() {
    curve = asked = null;
    sending?.abort();
    sending = null;
    take.hidden = true;
    box.classList.add("waiting");
  }

  function drawCurrent() {
    if (!curve) return;
    const count = curve.anomalies[current];
    const [left, top] = [x(current), y(count)];
    rule.setAttribute("x1", String(left));
    rule.setAttribute("x2", String(left));
    dot.setAttribute("cx", String(left));
    dot.setAttribute("cy", String(top));
    label.textContent = fill(words.tuneFlags, { n: current, count: count.toLocaleString() });
    const isRight = current > 55;
    label.setAttribute("x", String(left + (isRight ? -11 : 11)));
    // Above the curve, and below its top edge where there is no room above.
    label.setAttribute("y", String(top < ROOM.top + 20 ? top + 24 : top - 10));
    label.setAttribute("text-anchor", isRight ? "end" : "start");
    svg.setAttribute("aria-valuenow", String(current));
    svg.setAttribute("aria-valuetext", label.textContent);
    svg.setAttribute("aria-label", fill(words.tuneCurve, { n: current, count }));
  }

  function choose(value) {
    const next = Math.max(0, Math.min(99, Math.round(value)));
    if (curve && next !== current) onSensitivity(next);
  }

  const atPointer = (event) => {
    const place = event.clientX - svg.getBoundingClientRect().left;
    choose(((place - ROOM.left) / (width() - ROOM.left - ROOM.right)) * 99);
  };
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    atPointer(event);
  });
  svg.addEventListener("pointermove", (event) => event.buttons && atPointer(event));
  svg.addEventListener("keydown", (event) => {
    const to = {
      ArrowRight: current + 1, ArrowUp: current + 1, ArrowLeft: current - 1, ArrowDown: current - 1,
      PageUp: current + 10, PageDown: current - 10, Home: 0, End: 99,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(to);
  });
  new ResizeObserver(draw).observe(box);

  const share = byId("tune-share");
  const take = byId("tune-take");
  take.addEventListener("click", () => choose(Number(take.dataset.sensitivity)));
  share.addEventListener("change", () => load(true));

  /** Ask the service, unless it has answered the same question. */
  async function load(again = false) {
    const { series, options } = input;
    const normal = Number(share.value);
    const isValid = share.value !== "" && normal >= Number(share.min) && normal < 100;
    share.setAttribute("aria-invalid", String(!isValid));
    if (!isValid) return;
    const { sensitivity: _, ...others } = options;
    // Six digits, because 1 - 0.99 is not 0.01 in binary.
    const anomalyShare = Number((1 - normal / 100).toFixed(6));
    const question = `${series.id} ${JSON.stringify(others)} ${anomalyShare}`;
    if (!again && question === asked) return;
    asked = question;
    sending?.abort();
    sending = new AbortController();
    const mine = sending;
    try {
      const sent = { method: "POST", body: body("entire", series, options, { anomalyShare }), signal: mine.signal };
      const answer = await api.send(TUNE_PATH, sent);
      if (mine !== sending) return;
      curve = answer.body;
      box.classList.remove("waiting");
      say("");
      take.hidden = false;
      take.dataset.sensitivity = curve.sensitivity;
      take.textContent = fill(words.tuneTake, { n: curve.sensitivity });
      draw();
    } catch (error) {
      if (mine !== sending || error.name === "AbortError") return;
      forget();
      if (!(error instanceof ApiError)) throw error;
      say(error.message);
    }
  }

  function say(message) {
    byId("tune-error").textContent = message;
    byId("tune-error").hidden = !message;
  }

  let waiting = null;
  return {
    /**
     * Take a series whose answer is shown; the curve comes once nothing moves any more.
     * @param {import("./samples.js").Series} series
     * @param {import("./request.js").Options} options
     */
    show(series, options) {
      byId("tune").hidden = false;
      if (input?.series.id !== series.id) forget();
      input = { series, options };
      current = options.sensitivity;
      drawCurrent();
      clearTimeout(waiting);
      waiting = setTimeout(load, 200);
    },
    hide() {
      clearTimeout(waiting);
      byId("tune").hidden = true;
    },
  };
}

function make(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

function text(x, y, words, anchor) {
  const made = make("text", { x, y, "text-anchor": anchor });
  made.textContent = words;
  return made;
}
