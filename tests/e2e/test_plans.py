"""The plans of bench/plans: each tool runs each of them, and tells of every answer that is wrong.

k6 is built from source in minutes, so where it is not there its plan runs in node, with a stub of
k6's modules that notes the URLs; those are then asked for.
"""

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANS = ROOT / "bench" / "plans"
LOCUST = ROOT / ".venv" / "locust" / "bin" / "locust"
NAMES = ("cold", "hits", "mix", "srcset")
SMALL = {"SIZE": "200x150", "SEEDS": "3"}
STUB = {
    "package.json": json.dumps(
        {"type": "module", "exports": {".": "./index.js", "./http": "./http.js"}}
    ),
    "index.js": """
        export function check(value, sets) {
          for (const [name, holds] of Object.entries(sets)) {
            if (!holds(value)) throw new Error(name);
          }
          return true;
        }
    """,
    "http.js": """
        export const asked = [];
        export default {
          batch(requests) {
            for (const [method, url, body, params] of requests) {
              if (method !== "GET" || body !== null || !params.tags.name) throw new Error(url);
              asked.push(url);
            }
            return requests.map(() => ({ status: 200 }));
          },
        };
    """,
}
RUN = """
    import { asked } from "k6/http";
    globalThis.__ENV = process.env;
    const plan = await import("./plan.js");
    if (plan.options.thresholds.http_req_failed[0] !== "rate==0") throw new Error("thresholds");
    globalThis.__VU = 0;
    const said = plan.setup();
    const warm = asked.length;
    for (let turn = 0; turn < 20; turn++) {
      for (globalThis.__VU = 1; __VU <= 2; __VU++) plan.default(JSON.parse(JSON.stringify(said)));
    }
    console.log(JSON.stringify({ warm: asked.slice(0, warm), asked: asked.slice(warm) }));
"""


@pytest.fixture(scope="module")
def site(serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans")
    documents = folder / "root" / ".vipsgate" / "buckets"
    documents.mkdir(parents=True)
    broken = {"acl": "public-read", "origin": "synthetic", "error_rate": 0.5}
    (documents / "broken.json").write_text(json.dumps(broken))
    words = ["--config", str(PLANS / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(folder / "root", *words) as site:
        yield site


def found(tool):
    """Where it is, or the test is skipped."""
    path = str(LOCUST) if tool == "locust" and LOCUST.exists() else shutil.which(tool)
    if not path:
        pytest.skip(f"needs {tool}; .ci/run installs it")
    return path


def run(tool, site, plan, bucket="load", size=SMALL):
    """Whether it has said that all is well, and what it has said."""
    base, path = f"http://127.0.0.1:{site.port}", found(tool)
    command = {
        "wrk": [path, "-t1", "-c2", "-d2s", "--timeout", "20s", "-s", PLANS / "wrk.lua", base],
        "locust": [
            *(path, "-f", PLANS / "locustfile.py", "--headless", "--only-summary"),
            *("-u", "2", "-r", "2", "-t", "2s", "--host", base),
        ],
        "k6": [path, "run", "--quiet", PLANS / "k6.js"],
    }[tool]
    env = {**os.environ, **size, "PLAN": plan, "BUCKET": bucket}
    env |= {"TARGET": base, "USERS": "2", "SECONDS": "2"}
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    if tool == "wrk":
        told = re.search(r"^\w+: (\d+) answers, (\d+) not 200, (\d+) never came", done.stdout, re.M)
        assert told, done.stdout
        assert int(told[1]) > 0
        return told[2] == told[3] == "0", done.stdout
    return done.returncode == 0, done.stdout


TOOLS = ("wrk", "locust", *(["k6"] if shutil.which("k6") else []))


@pytest.mark.parametrize("plan", NAMES)
@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_runs_every_plan(site, tool, plan):
    well, told = run(tool, site, plan)
    assert well, told


@pytest.mark.parametrize("tool", TOOLS)
def test_a_wrong_answer_is_told(site, tool):
    well, told = run(tool, site, "hits", bucket="broken")
    assert not well, told


@pytest.mark.parametrize("tool", ["locust", *(["k6"] if shutil.which("k6") else [])])
def test_a_plan_that_there_is_not_is_refused(site, tool):
    well, told = run(tool, site, "tepid")
    assert not well
    assert "PLAN is one of cold, hits, mix, srcset" in told


def k6(folder, plan, bucket="load"):
    """The URLs that k6 would ask for: to warm up, and then."""
    node = found("node")
    modules = folder / "node_modules" / "k6"
    modules.mkdir(parents=True)
    for name, text in STUB.items():
        (modules / name).write_text(text)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(RUN)
    shutil.copy(PLANS / "k6.js", folder / "plan.js")
    env = {**os.environ, **SMALL, "PLAN": plan, "BUCKET": bucket, "TARGET": ""}
    done = subprocess.run(
        [node, "run.js"], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    cut = len("http://127.0.0.1:8080")
    return [url[cut:] for url in said["warm"]], [url[cut:] for url in said["asked"]]


@pytest.mark.parametrize("plan", NAMES)
def test_what_k6_asks_for_is_there(site, tmp_path, plan):
    warm, asked = k6(tmp_path, plan)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(site.ask, dict.fromkeys([*warm, *asked])))
    assert {answer.status for answer in answers} == {200}
    seeds = [re.search(r"-(\d+)\.\w+", path)[1] for path in asked]
    if plan == "cold":
        assert len(set(seeds)) == len(asked) == 40
    if plan == "srcset":
        assert len(set(asked)) == 5 * len(set(seeds)) == len(asked) == 200
    if plan == "hits":
        assert set(asked) <= set(warm)
    if plan == "mix":
        assert set(asked) & set(warm)
