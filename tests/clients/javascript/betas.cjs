// The steps of the quick starts with a beta of @azure/ai-anomaly-detector, named by its folder: beta 2
// speaks API version 1.0, beta 3 v1.1-preview, and beta 5 v1.1-preview.1.
const { AzureKeyCredential } = require("@azure/core-auth");
const { AnomalyDetectorClient } = require(process.argv[2]);
const { endpoint, key, ready, run } = require("./common.cjs");

const client = new AnomalyDetectorClient(endpoint, new AzureKeyCredential(key));

const refused = async (call) => {
  try {
    await call();
  } catch ({ statusCode, code, details }) {
    return { status: statusCode, code: details?.error?.code ?? details?.code ?? code };
  }
  throw new Error("was not refused");
};

const answer = ({ _response, ...rest }) => rest;

const univariate = async ({ points }) => {
  const series = points.map(({ timestamp, value }) => ({ timestamp: new Date(timestamp), value }));
  const request = { series, granularity: "daily" };
  return {
    entire: answer(await client.detectEntireSeries(request)),
    last: answer(await client.detectLastPoint(request)),
    changePoints: answer(await client.detectChangePoint(request)),
    tooFew: await refused(() => client.detectEntireSeries({ ...request, series: series.slice(0, 5) })),
  };
};

const wrongKey = ({ points }) => {
  const series = points.map(({ timestamp, value }) => ({ timestamp: new Date(timestamp), value }));
  const stranger = new AnomalyDetectorClient(endpoint, new AzureKeyCredential("not the key"));
  return refused(() => stranger.detectEntireSeries({ series, granularity: "daily" }));
};

const multivariate = async ({ training, last }) => {
  const { dataSource: source, startTime, endTime, slidingWindow, alignPolicy, displayName } = training;
  const range = { source, startTime: new Date(startTime), endTime: new Date(endTime) };
  const trained = await client.trainMultivariateModel({ ...range, slidingWindow, alignPolicy, displayName });
  const modelId = trained.location.split("/").pop();
  const model = await ready(
    () => client.getMultivariateModel(modelId),
    (found) => found.modelInfo.status,
  );
  const begun = await client.detectAnomaly(modelId, range);
  const resultId = begun.location.split("/").pop();
  const result = await ready(
    () => client.getDetectionResult(resultId),
    (found) => found.summary.status,
  );
  const listed = [];
  for await (const each of client.listMultivariateModel({ skip: 0, top: 10 })) listed.push(each.modelId);
  const exported = await client.exportModel(modelId);
  const chunks = [];
  for await (const chunk of exported.readableStreamBody) chunks.push(chunk);
  // Beta 3 had no detection of the last timestamps.
  const variables = last.variables.map(({ variable, ...rest }) => ({ name: variable, ...rest }));
  const latest = client.lastDetectAnomaly && (await client.lastDetectAnomaly(modelId, { variables, detectingPoints: 1 }));
  await client.deleteMultivariateModel(modelId);
  return {
    modelId,
    resultId,
    location: trained.location,
    resultLocation: begun.location,
    model: answer(model),
    result: answer(result),
    last: latest && answer(latest),
    listed,
    zip: Buffer.concat(chunks).subarray(0, 2).toString(),
    gone: await refused(() => client.getMultivariateModel(modelId)),
  };
};

run(async (asked) => {
  // The answer to a wrong key takes its time.
  const refusal = wrongKey(asked);
  return {
    univariate: await univariate(asked),
    multivariate: asked.training && (await multivariate(asked)),
    wrongKey: await refusal,
  };
});
