"""Spans of a running server, a collector for them, and what is not there without the extra."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("opentelemetry.sdk", reason="pip install 'vipsgate[otel]'")

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_server_sends_them_away(serving, root):
    """To an endpoint that OpenTelemetry's own variable names, the last ones when it ends."""
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Nobody wants to know."""

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            env = {
                "VIPSGATE_TRACES__ENABLED": "true",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            }
            with serving(root, env=env, renderers=1) as site:
                headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
                assert site.get("example.jpg", "image/resize,w_31", headers=headers).status == 200
        finally:
            collector.shutdown()
            thread.join()
    paths, bodies = zip(*got, strict=True)
    assert set(paths) == {"/v1/traces"}
    sent = b"".join(bodies)
    assert bytes.fromhex(TRACE) in sent
    for name in (b"store.stat", b"store.open", b"queue", b"render", b"vipsgate.request_id"):
        assert name in sent


def test_a_collector_that_is_away_holds_nobody_up(serving, root):
    env = {
        "VIPSGATE_TRACES__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    with serving(root, env=env, renderers=1) as site:
        assert site.get("example.jpg").status == 200


@pytest.mark.parametrize("name", ["opentelemetry", "opentelemetry.exporter"])
def test_without_the_extra_the_start_says_what_to_install(name):
    code = f"""if True:
        import sys
        sys.modules[{name!r}] = None
        from vipsgate import settings
        from vipsgate.server import compose
        assert compose.traces_of(settings.Settings()) is None
        try:
            compose.traces_of(settings.Settings(traces={{"enabled": True}}))
        except settings.SettingsError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("traces.enabled = true: ")
    assert "pip install 'vipsgate[otel]'" in run.stdout


def test_who_does_not_want_them_does_not_load_them():
    code = "import sys, vipsgate.server.main; print([m for m in sys.modules if 'opentele' in m])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
