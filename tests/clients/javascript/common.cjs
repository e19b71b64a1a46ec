// What the programs share: what they are asked comes on standard input, and what they found goes to
// standard output, both as JSON.
const { text } = require("node:stream/consumers");
const { setTimeout: pause } = require("node:timers/promises");

exports.endpoint = process.env.ANOMALY_DETECTOR_ENDPOINT;
exports.key = process.env.ANOMALY_DETECTOR_API_KEY;

exports.run = async (program) => {
  const asked = JSON.parse(await text(process.stdin));
  console.log(JSON.stringify(await program(asked)));
};

// Return the answer whose status, which is read off it, is READY.
exports.ready = async (get, status) => {
  const deadline = Date.now() + 150_000;
  for (;;) {
    const answer = await get();
    if (status(answer) === "READY") return answer;
    if (status(answer) === "FAILED" || Date.now() > deadline) throw new Error(JSON.stringify(answer));
    await pause(200);
  }
};
