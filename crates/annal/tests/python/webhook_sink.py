"""An endpoint that verifies deliveries with the library `standardwebhooks`.

usage: webhook_sink.py <secret>
Prints its port, then a line for each request: `verified <webhook-id>` or `refused`. Answers 500, 500,
then 200; 400 to what it does not verify. Run by crates/annal/tests/it/webhooks.rs.
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(sys.argv[1])
verified = 0


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global verified
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            webhook.verify(body, headers)
            verified += 1
            status = 200 if verified > 2 else 500
            print("verified", headers["webhook-id"], flush=True)
        except WebhookVerificationError:
            status = 400
            print("refused", flush=True)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Sink)
print(server.server_address[1], flush=True)
server.serve_forever()
