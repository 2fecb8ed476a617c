// An endpoint that verifies deliveries with the library `standardwebhooks`.
//
// usage: webhook_sink.cjs <directory of the library> <secret>
// Prints its port, then a line for each request: `verified <webhook-id>` or `refused`. Answers 500, 500,
// then 200; 400 to what it does not verify. Run by crates/annal/tests/it/webhooks.rs.

const http = require("node:http");
const { Webhook } = require(require("node:path").resolve(process.argv[2]));

const webhook = new Webhook(process.argv[3]);
let verified = 0;

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    try {
      webhook.verify(Buffer.concat(chunks).toString(), request.headers);
      verified += 1;
      response.statusCode = verified > 2 ? 200 : 500;
      console.log("verified " + request.headers["webhook-id"]);
    } catch {
      response.statusCode = 400;
      console.log("refused");
    }
    response.end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
