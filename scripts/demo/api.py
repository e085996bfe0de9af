#!/usr/bin/env python3
"""The demo's second server: api.py PORT. Answers in as many ways as a small program can."""
import http.server
import sys
import time

SLOW_SECONDS = 0.3


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_chunked(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b'["tap",', b'"ring",', b'"pair"]'):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/api/items":
            self.answer_chunked()
        elif path == "/api/slow":
            time.sleep(SLOW_SECONDS)
            self.answer(200, b'"slow"')
        elif path == "/api/broken":
            self.answer(503, b'"try later"')
        elif path == "/api/ready":
            self.answer(200, b'"ready"')
        else:
            self.answer(404, b'"no such item"')

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(201, b'"created"')

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, b'"stored"')

    def do_DELETE(self):
        self.answer(204)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Api).serve_forever()
