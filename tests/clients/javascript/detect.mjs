// Posts a body to an address with Node's https module, and with fetch.
import https from "node:https";

const [, , address, body] = process.argv;
const headers = { "Content-Type": "application/json", "Ocp-Apim-Subscription-Key": "any" };

const request = https.request(address, { method: "POST", headers }, (response) => {
  let text = "";
  response.on("data", (chunk) => (text += chunk));
  response.on("end", async () => {
    console.log(`${response.statusCode} ${text.trim()}`);
    const again = await fetch(address, { method: "POST", headers, body });
    console.log(`${again.status} ${(await again.text()).trim()}`);
  });
});
request.end(body);
