"""The dashboard and the alerts ask for what a real server says, and the alerts go off."""

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client import parser

from vipsgate.cache import tiers
from vipsgate.delivery.order import BYPASS
from vipsgate.observe.counters import NONE
from vipsgate.renderers.workers import ENDS

FOLDER = Path(__file__).parents[3] / "deploy" / "grafana"
DASHBOARD = json.loads((FOLDER / "vipsgate.json").read_text())
(GROUP,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for rule in GROUP["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in ALERTS.values()] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]
NAME = re.compile(r"\b((?:vipsgate|process)_\w+|up)\b(?:\{(.*?)\})?")
MATCHER = re.compile(r'(\w+)(=~|=)"(.*?)"')
BY = re.compile(r"\bby \((.*?)\)")
SCRAPED = {"job", "instance"}  # labels that Prometheus adds
VALUES = {
    "reason": set(ENDS),
    "cache": {tiers.MEMORY, tiers.DISK, tiers.MISS, tiers.JOINED, BYPASS, NONE},
}
CONFIG = """
[origins]
hosts = ["127.0.0.1:9"]
[buckets.examplebucket]
acl = "public-read"
mirror = [{ url = "http://127.0.0.1:9/" }]
[buckets.examplebucket.styles]
small = "image/resize,w_40"
[buckets.examplebucket.protection]
enabled = true
extensions = ["png"]
"""


@pytest.fixture(scope="module")
def metrics(serving, root, tmp_path_factory):
    """Name of each sample -> names of its labels, of a server that has had something to do."""
    folder = tmp_path_factory.mktemp("grafana")
    (folder / "vipsgate.toml").write_text(CONFIG)
    options = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(root, *options) as site:
        for _ in range(3):
            assert site.get("example.jpg", "style/small").status == 200
        assert site.get("alpha.png").status == 403
        assert site.get("missing.gif").status == 502
        with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/metrics") as answer:
            text = answer.read().decode()
    return {
        sample.name: set(sample.labels)
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_there(metrics, expression):
    known = metrics | {"up": set()}
    found = NAME.findall(expression)
    assert found
    labels = set()
    for name, matchers in found:
        assert name in known
        labels |= known[name]
        for label, how, text in MATCHER.findall(matchers):
            assert label in known[name] | SCRAPED
            values = set(text.split("|")) if how == "=~" else {text}
            assert values <= VALUES.get(label, values)
    for names in BY.findall(expression):
        assert set(re.split(", *", names)) <= labels | SCRAPED


def test_everything_that_is_counted_is_shown(metrics):
    """A metric that no panel and no alert asks for is a row of README at least."""
    asked = {name for expression in EXPRESSIONS for name, _ in NAME.findall(expression)}
    ours = {name for name in metrics if name.startswith("vipsgate_")}
    series = re.compile("_(bucket|sum|count)$")
    shown = {series.sub("", name) for name in asked}
    hidden = {name for name in ours if series.sub("", name) not in shown}
    assert hidden == {"vipsgate_renderers"}


def test_panels_lie_side_by_side():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["description"] for panel in PANELS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do(name):
    assert {"summary", "description"} == set(ALERTS[name]["annotations"])
    assert ALERTS[name]["labels"]["severity"] in ("warning", "critical")


@pytest.fixture(scope="module")
def promtool():
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not there: apt-get install prometheus")
    return found


def test_the_rules_are_rules(promtool):
    run = subprocess.run([promtool, "check", "rules", str(FOLDER / "alerts.yml")], check=False)
    assert run.returncode == 0


# alert -> metric, its labels, its values minute by minute: at first all is well
FIRES = {
    "VipsgateDown": [("up", "", "1x10 0x30")],
    "VipsgateServerFaults": [("vipsgate_requests_total", 'status="500"', "0x10 1+1x30")],
    "VipsgateUnavailable": [
        ("vipsgate_requests_total", 'status="200"', "0+1000x40"),
        ("vipsgate_requests_total", 'status="503"', "0x10 0+30x30"),
    ],
    "VipsgateQueueLong": [
        ("vipsgate_predicted_wait_seconds", 'lane="a"', "0x10 3x30"),
        ("vipsgate_predicted_wait_seconds", 'lane="b"', "0x40"),
        ("vipsgate_predicted_wait_limit_seconds", "", "5x40"),
    ],
    "VipsgateSlow": [
        ("vipsgate_request_duration_seconds_bucket", 'cache="miss", le="5.0"', "0x40"),
        ("vipsgate_request_duration_seconds_bucket", 'cache="miss", le="15.0"', "0x10 0+9x30"),
        ("vipsgate_request_duration_seconds_bucket", 'cache="miss", le="+Inf"', "0x10 0+9x30"),
    ],
    "VipsgateRenderersLost": [("vipsgate_renderer_ends_total", 'reason="died"', "0x10 0+2x30")],
    "VipsgateStoreFails": [("vipsgate_store_errors_total", 'operation="open"', "0x10 0+60x30")],
    "VipsgateDocumentBroken": [("vipsgate_document_faults", "", "0x10 1x30")],
    "VipsgateConfigRefused": [("vipsgate_config_last_reload_successful", "", "1x10 0x30")],
    "VipsgateFilesRunOut": [
        ("process_open_fds", "", "100x10 900x30"),
        ("process_max_fds", "", "1000x40"),
    ],
    "VipsgateFrontFull": [("process_cpu_seconds_total", "", "0+30x10 330+58x30")],
    "VipsgateLogLost": [("vipsgate_log_dropped_lines_total", "", "0x10 0+1x30")],
    "VipsgateWebhooksFail": [("vipsgate_webhook_events_total", 'result="failed"', "0x10 0+1x30")],
}


def test_every_alert_goes_off_when_it_should_and_not_before(promtool, tmp_path):
    assert [*FIRES] == [*ALERTS]
    tests = []
    for name, series in FIRES.items():
        labels = 'job="vipsgate", instance="i:8081"'
        rows = [
            {"series": f"{metric}{{{', '.join(filter(None, [labels, more]))}}}", "values": values}
            for metric, more, values in series
        ]
        query = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
        tests.append(
            {
                "interval": "1m",
                "input_series": rows,
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": when,
                        "exp_samples": [{"labels": "{}", "value": value}],
                    }
                    for when, value in (("9m", 0), ("35m", 1))
                ],
            }
        )
    (tmp_path / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
    (tmp_path / "tests.yml").write_text(
        json.dumps({"rule_files": ["alerts.yml"], "tests": tests})  # JSON is YAML
    )
    run = subprocess.run(
        [promtool, "test", "rules", "tests.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
