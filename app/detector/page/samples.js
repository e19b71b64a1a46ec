// The series that the page offers. All but El Niño come from a formula, the same for everybody.

/**
 * @typedef {Object} Series
 * @property {string} id changes with each series that is loaded
 * @property {string} name of the values
 * @property {string[]|null} timestamps ISO 8601 in UTC
 * @property {number[]} values
 * @property {string} granularity
 * @property {number} interval
 * @property {string} about one sentence
 * @property {string|null} sample its name where it is a sample
 */

const MINUTE = 60_000;
const DAY = 86_400_000;

export const SAMPLES = { fault, elnino, daily, shift };

const iso = (time) => new Date(time).toISOString().replace(".000Z", "Z");

function sample(id, words, series) {
  const title = id[0].toUpperCase() + id.slice(1);
  return { id, sample: id, name: words[`sample${title}Name`], about: words[`sample${title}About`], interval: 1, ...series };
}

/** The walk-through's series: 20 month ends, all 1 but the last, which is 0. */
async function fault(words) {
  const months = Array.from({ length: 20 }, (_, month) => iso(Date.UTC(1962, month + 1, 0)));
  const values = months.map((_, at) => (at === 19 ? 0 : 1));
  return sample("fault", words, { timestamps: months, values, granularity: "monthly" });
}

async function elnino(words) {
  const { FIRST_YEAR, TEMPERATURES } = await import("./elnino.js");
  const timestamps = TEMPERATURES.map((_, month) => iso(Date.UTC(FIRST_YEAR, month, 1)));
  return sample("elnino", words, { timestamps, values: TEMPERATURES, granularity: "monthly" });
}

/** A week of points every five minutes: a season of a day, three faults, and an hour that is missing. */
async function daily(words) {
  const noise = normals(7);
  const timestamps = [];
  const values = [];
  for (let at = 0; at < 2016; at += 1) {
    const hour = (at % 288) / 12;
    const day = Math.exp(-((hour - 14) ** 2) / 18) + 0.55 * Math.exp(-((hour - 20.5) ** 2) / 3);
    let value = 120 + 260 * day + 6 * noise();
    if (at >= 730 && at < 736) value += 150;
    if (at === 1190) value -= 140;
    if (at >= 1606 && at < 1618) value *= 0.62;
    // An hour in which nothing was written down.
    if (at >= 980 && at < 992) continue;
    timestamps.push(iso(Date.UTC(2026, 5, 1) + at * 5 * MINUTE));
    values.push(Math.round(value * 10) / 10);
  }
  return sample("daily", words, { timestamps, values, granularity: "minutely", interval: 5 });
}

/** 120 days: the level rises at day 40, the trend turns at day 80. */
async function shift(words) {
  const noise = normals(3);
  const values = Array.from({ length: 120 }, (_, day) => {
    const level = day < 40 ? 100 : 112;
    const trend = day < 80 ? 0 : (day - 80) * 0.45;
    return Math.round((level + trend + 0.7 * noise()) * 100) / 100;
  });
  const timestamps = values.map((_, day) => iso(Date.UTC(2026, 0, 1) + day * DAY));
  return sample("shift", words, { timestamps, values, granularity: "daily" });
}

/** Normal random numbers from a seed, so that everybody sees the same sample (mulberry32, Box-Muller). */
export function normals(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
