// The steps of the quick starts with @azure-rest/ai-anomaly-detector, API version 1.1.
const { default: AnomalyDetector, isUnexpected, paginate } = require("@azure-rest/ai-anomaly-detector");
const { endpoint, key, ready, run } = require("./common.cjs");

// Behind TLS there is no third argument.
const client = endpoint.startsWith("https:")
  ? AnomalyDetector(endpoint, { key })
  : AnomalyDetector(endpoint, { key }, { allowInsecureConnection: true });

const body = async (request) => {
  const answer = await request;
  if (isUnexpected(answer)) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
};

const refused = async (request) => {
  const { status, headers, body } = await request;
  return { status: Number(status), code: body.code ?? body.error.code, header: headers["x-ms-error-code"] };
};

const univariate = async ({ points }) => {
  const options = { body: { series: points, granularity: "daily" }, headers: { "Content-Type": "application/json" } };
  const few = { ...options, body: { ...options.body, series: points.slice(0, 5) } };
  return {
    entire: await body(client.path("/timeseries/entire/detect").post(options)),
    last: await body(client.path("/timeseries/last/detect").post(options)),
    changePoints: await body(client.path("/timeseries/changepoint/detect").post(options)),
    tooFew: await refused(client.path("/timeseries/entire/detect").post(few)),
  };
};

const wrongKey = ({ points }) => {
  const stranger = AnomalyDetector(endpoint, { key: "not the key" }, { allowInsecureConnection: true });
  const options = { body: { series: points, granularity: "daily" }, headers: { "Content-Type": "application/json" } };
  return refused(stranger.path("/timeseries/entire/detect").post(options));
};

const multivariate = async ({ training, last }) => {
  const models = client.path("/multivariate/models");
  const trained = await models.post({ body: training });
  const { modelId } = await body(trained);
  const path = client.path("/multivariate/models/{modelId}", modelId);
  const model = await ready(
    () => body(path.get()),
    (found) => found.modelInfo.status,
  );
  const { dataSource, startTime, endTime } = training;
  const batch = client.path("/multivariate/models/{modelId}:detect-batch", modelId);
  const asked = { dataSource, startTime, endTime, topContributorCount: 10 };
  const begun = await batch.post({ body: asked });
  const { resultId } = await body(begun);
  const result = await ready(
    () => body(client.path("/multivariate/detect-batch/{resultId}", resultId).get()),
    (found) => found.summary.status,
  );
  const answer = await body(client.path("/multivariate/models/{modelId}:detect-last", modelId).post({ body: last }));
  const listed = [];
  for await (const each of paginate(client, await models.get({ queryParameters: { skip: 0, top: 10 } })))
    listed.push(each.modelId);
  await path.delete();
  return {
    modelId,
    resultId,
    location: trained.headers.location,
    operationId: begun.headers["operation-id"],
    resultLocation: begun.headers["operation-location"],
    model,
    result,
    last: answer,
    listed,
    gone: await refused(path.get()),
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
