// The steps of the quick start with @azure/cognitiveservices-anomalydetector, API version 1.0.
const { AnomalyDetectorClient } = require("@azure/cognitiveservices-anomalydetector");
const { CognitiveServicesCredentials } = require("@azure/ms-rest-azure-js");
const { endpoint, key, run } = require("./common.cjs");

const client = new AnomalyDetectorClient(new CognitiveServicesCredentials(key), endpoint);

const refused = async (call) => {
  try {
    await call();
  } catch ({ statusCode, body, code }) {
    return { status: statusCode, code: body?.code ?? body?.error?.code ?? code };
  }
  throw new Error("was not refused");
};

run(async ({ points }) => {
  const series = points.map(({ timestamp, value }) => ({ timestamp: new Date(timestamp), value }));
  const request = { series, granularity: "daily" };
  const stranger = new AnomalyDetectorClient(new CognitiveServicesCredentials("not the key"), endpoint);
  return {
    univariate: {
      entire: await client.entireDetect(request),
      last: await client.lastDetect(request),
      changePoints: await client.changePointDetect(request),
      tooFew: await refused(() => client.entireDetect({ ...request, series: series.slice(0, 5) })),
    },
    wrongKey: await refused(() => stranger.entireDetect(request)),
  };
});
