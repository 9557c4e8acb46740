"""A server of objects over HTTP, in memory: as much of S3's protocol as a store needs.

Signatures (version 4) are verified, writes may be conditional, listings come in pages. Faults can
be ordered: ``POST /-/faults`` with ``{"status": 503, "count": 3}``, or ``"drop": true`` to close
the connection without an answer; ``"after": n`` lets n requests pass first. ``GET /-/log`` returns
the requests so far, ``/-/objects/`` sets and returns objects past the protocol, ``POST /-/clear``
removes all.

Run as a script it prints its port and serves until its standard input ends. The bucket is
``bucket``, the key ``AKIDTEST``, its secret ``s3cr3t-of-the-tests``.
"""

import hashlib
import hmac
import json
import re
import sys
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

BUCKET, KEY, SECRET = "bucket", "AKIDTEST", "s3cr3t-of-the-tests"
PAGE = 100  # keys of a listing at most

objects: dict[str, bytes] = {}
log: list[str] = []
faults: list[dict] = []
lock = Lock()


def signature(method, path, query, headers, stated):
    """Return the signature that a request should have."""
    date, region, service, _ = stated["Credential"].split("/")[1:]
    names = stated["SignedHeaders"].split(";")
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query)
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(f"{k}={v}" for k, v in pairs),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            stated["SignedHeaders"],
            headers["x-amz-content-sha256"],
        ]
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{SECRET}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return hmac.new(key, text.encode(), "sha256").hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        words = f"<Error><Code>{code}</Code><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>"
        self.answer(status, words.encode(), Content_Type="application/xml")

    def authorised(self, path, query):
        stated = self.headers.get("Authorization", "")
        if not stated.startswith("AWS4-HMAC-SHA256 "):
            return False
        parts = dict(one.strip().split("=", 1) for one in stated.split(" ", 1)[1].split(","))
        if parts["Credential"].split("/")[0] != KEY:
            return False
        return parts["Signature"] == signature(self.command, path, query, self.headers, parts)

    def fault(self):
        """Return the fault that this request meets, if any."""
        with lock:
            for one in list(faults):
                if one.get("after", 0) > 0:
                    one["after"] -= 1
                    continue
                one["count"] -= 1
                if one["count"] <= 0:
                    faults.remove(one)
                return one
        return None

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        if url.path == "/-/faults":
            with lock:
                faults[:] = json.loads(body)
            return self.answer(200)
        if url.path == "/-/clear":
            with lock:
                for each in (objects, faults, log):
                    each.clear()
            return self.answer(200)
        if url.path.startswith("/-/objects/"):
            return self.behind(unquote(url.path.removeprefix("/-/objects/")), body)
        if url.path == "/-/log":
            return self.answer(200, json.dumps(log).encode())
        log.append(f"{self.command} {self.path}")
        fault = self.fault()
        if fault is not None:
            if fault.get("drop"):
                self.close_connection = True
                return None
            return self.refuse(fault["status"], "SlowDown")
        query = parse_qsl(url.query, keep_blank_values=True)
        if not self.authorised(url.path, query):
            return self.refuse(403, "SignatureDoesNotMatch")
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            return self.refuse(404, "NoSuchBucket")
        if self.command == "POST" and not key and "delete" in dict(query):
            return self.delete_all(re.findall(r"<Key>(.*?)</Key>", body.decode()))
        if not key:
            return self.listing(dict(query))
        return getattr(self, f"on_{self.command.lower()}")(key, body)

    do_GET = do_HEAD = do_PUT = do_POST = serve  # noqa: N815  (as its base calls them)

    def behind(self, key, body):
        """Set an object, or return those under a prefix, past the protocol: for tests."""
        with lock:
            if self.command == "POST":
                objects[key] = body
                return self.answer(200)
            found = {k: b64encode(v).decode() for k, v in objects.items() if k.startswith(key)}
        return self.answer(200, json.dumps(found).encode())

    def on_get(self, key, _):
        with lock:
            data = objects.get(key)
        if data is None:
            return self.refuse(404, "NoSuchKey")
        tag, status = f'"{hashlib.md5(data).hexdigest()}"', 200
        headers = {"ETag": tag, "Last_Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
            headers["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        return self.answer(status, data, Content_Length=str(len(data)), **headers)

    on_head = on_get

    def on_put(self, key, body):
        with lock:
            there = objects.get(key)
            tag = None if there is None else f'"{hashlib.md5(there).hexdigest()}"'
            wanted = self.headers.get("If-Match")
            if (self.headers.get("If-None-Match") == "*" and tag) or (wanted and wanted != tag):
                return self.refuse(412, "PreconditionFailed")
            objects[key] = body
        return self.answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')

    def delete_all(self, keys):
        with lock:
            for key in keys:
                objects.pop(unescape(key), None)
        parts = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return self.answer(200, f"<DeleteResult>{parts}</DeleteResult>".encode())

    def listing(self, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        with lock:
            sizes = {key: len(data) for key, data in objects.items() if key.startswith(prefix)}
        keys, folders = [], []
        for key in sorted(sizes):
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.append(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                keys.append(key)
        found = sorted({*keys, *folders})
        start = query.get("continuation-token", "")
        page = [one for one in found if one > start][:PAGE]
        more = bool(page) and page[-1] != found[-1]
        parts = [f"<IsTruncated>{str(more).lower()}</IsTruncated>"]
        if more:
            parts.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        for one in page:
            if one in sizes:
                parts.append(
                    f"<Contents><Key>{escape(one)}</Key><Size>{sizes[one]}</Size>"
                    "<LastModified>2022-01-01T00:00:00.000Z</LastModified></Contents>"
                )
            else:
                parts.append(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>")
        text = f"<ListBucketResult><Name>{BUCKET}</Name>{''.join(parts)}</ListBucketResult>"
        return self.answer(200, text.encode(), Content_Type="application/xml")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
