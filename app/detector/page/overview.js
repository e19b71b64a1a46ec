// The whole series in small below the chart: the part that is shown, which dragging moves or
// chooses anew. Plotly's own range slider draws every trace twice, which doubles the time that a
// redraw takes; and here a finger may drag, where the chart leaves it to scroll the page.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 44;
// About the chart's own margins, so that a point lies about below itself.
const ROOM = { left: 56, right: 16 };
const NARROW_ROOM = { left: 44, right: 8 };
const NARROW = 560;
// Less was a click.
const LEAST_DRAG = 4;

/**
 * @param {HTMLElement} box
 * @param {{onRange: (from: number, to: number) => void, onReset: () => void}} listeners
 */
export function createOverview(box, { onRange, onReset }) {
  const svg = make("svg", { height: HEIGHT, "aria-hidden": "true" });
  const ground = make("rect", { class: "overview-ground", y: 0, height: HEIGHT, rx: 6 });
  const line = make("path", { class: "overview-line" });
  const marks = make("path", { class: "overview-marks" });
  const part = make("rect", { class: "overview-part", y: 1, height: HEIGHT - 2, rx: 5 });
  svg.append(ground, line, marks, part);
  box.append(svg);
  let data = null;
  let shown = [0, 1];

  const room = () => (box.clientWidth < NARROW ? NARROW_ROOM : ROOM);
  const span = () => box.clientWidth - room().left - room().right;
  const x = (share) => room().left + share * span();

  function draw() {
    if (!data || !box.clientWidth) return;
    const { values, flags } = data;
    svg.setAttribute("width", String(box.clientWidth));
    ground.setAttribute("x", String(room().left));
    ground.setAttribute("width", String(span()));
    const known = values.filter((value) => value !== null);
    const least = known.reduce((a, b) => Math.min(a, b), Infinity);
    const most = known.reduce((a, b) => Math.max(a, b), -Infinity);
    const y = (value) => HEIGHT - 5 - ((value - least) / (most - least || 1)) * (HEIGHT - 10);
    const place = (index) => x(index / Math.max(1, values.length - 1)).toFixed(1);
    // The highest and the lowest of what shares a pixel is all that can be seen.
    const each = Math.max(1, Math.ceil((values.length / Math.max(1, span())) * 2));
    let path = "";
    for (let from = 0; from < values.length; from += each) {
      const some = values.slice(from, from + each).filter((value) => value !== null);
      if (!some.length) continue;
      for (const value of some.length > 1 ? [Math.min(...some), Math.max(...some)] : some) {
        path += `${path ? "L" : "M"}${place(from)} ${y(value).toFixed(1)}`;
      }
    }
    line.setAttribute("d", path);
    marks.setAttribute("d", flags.map((flag, index) => (flag ? `M${place(index)} 3v${HEIGHT - 6}` : "")).join(""));
    drawPart();
  }

  function drawPart() {
    const [from, to] = shown.map((share) => x(Math.max(0, Math.min(1, share))));
    part.setAttribute("x", String(from));
    part.setAttribute("width", String(Math.max(3, to - from)));
    part.classList.toggle("whole", shown[0] <= 0 && shown[1] >= 1);
  }

  svg.addEventListener("pointerdown", (event) => {
    const share = (at) => (at.clientX - svg.getBoundingClientRect().left - room().left) / span();
    const start = share(event);
    const [from, to] = shown;
    const isMove = start > from && start < to && !part.classList.contains("whole");
    let isDrag = false;
    svg.setPointerCapture(event.pointerId);
    const move = (next) => {
      if (!isDrag && Math.abs(next.clientX - event.clientX) < LEAST_DRAG) return;
      isDrag = true;
      const now = share(next);
      if (isMove) onRange(from + now - start, to + now - start);
      else onRange(Math.max(0, Math.min(start, now)), Math.min(1, Math.max(start, now)));
    };
    const end = () => {
      svg.removeEventListener("pointermove", move);
      svg.removeEventListener("pointerup", end);
      svg.removeEventListener("pointercancel", end);
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerup", end);
    svg.addEventListener("pointercancel", end);
  });
  svg.addEventListener("dblclick", onReset);
  new ResizeObserver(draw).observe(box);

  return {
    /**
     * @param {(number|null)[]} values
     * @param {boolean[]} flags where something was found
     */
    show(values, flags) {
      data = { values, flags };
      draw();
    },
    /** Mark the part that the chart shows; 0 is the first point, 1 the last. */
    setRange(from, to) {
      shown = [from, to];
      drawPart();
    },
  };
}

function make(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}
