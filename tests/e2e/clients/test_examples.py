"""The examples of this folder's README: those for programs are run, those for services are read."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.objectstores import free_ports
from support.server import REPOSITORY

from vipsgate.cli import main as commands

from .test_clients import BUILT, INSTALL, MODULES

yaml = pytest.importorskip("yaml", reason="pip install -e '.[test]'")

PATIENCE_S = 100
README = (Path(__file__).parent / "README.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL))
GO_TEST = """
func TestPhoto(t *testing.T) {
	ctx, oss_ := context.Background(), client(t)
	bucket, key := "photos", "cat.jpg"
	if _, err := oss_.PutBucket(ctx, &oss.PutBucketRequest{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	body := strings.NewReader("data")
	put := &oss.PutObjectRequest{Bucket: &bucket, Key: &key, Body: body}
	if _, err := oss_.PutObject(ctx, put); err != nil {
		t.Fatal(err)
	}
	got, err := oss_.GetObject(ctx, &oss.GetObjectRequest{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := io.ReadAll(got.Body); string(data) != "data" {
		t.Fatal(string(data))
	}
}

func TestReset(t *testing.T) {
	bucket := "photos"
	if there, err := client(t).IsBucketExist(context.Background(), bucket); err != nil || there {
		t.Fatal(there, err)
	}
}
"""
JAVA_TEST = """
public class Main {
    public static void main(String[] words) throws Exception {
        try (var emulator = new Emulator()) {
            var oss = emulator.client();
            oss.createBucket("photos");
            oss.putObject("photos", "cat.jpg", new java.io.ByteArrayInputStream("data".getBytes()));
            emulator.call("POST", "/faults", "{\\"method\\": \\"GET\\", \\"count\\": 1, "
                    + "\\"status\\": 403}");
            try {
                oss.getObject("photos", "cat.jpg");
                throw new AssertionError("no fault");
            } catch (com.aliyun.oss.OSSException expected) {
            }
            try (var got = oss.getObject("photos", "cat.jpg")) {
                System.out.println(new String(got.getObjectContent().readAllBytes()));
            }
            emulator.call("POST", "/reset", "");
            System.out.println(oss.doesBucketExist("photos"));
            oss.shutdown();
        }
    }
}
"""
NODE_TEST = """
import { emulator } from "./emulator.mjs";
const oss = await emulator();
const { name } = await oss.call("POST", "/buckets", { name: "photos" });
const client = oss.client(name);
await client.put("cat.jpg", Buffer.from("data"));
await oss.call("POST", "/faults", { method: "PUT", count: 1, cut: "answer" });
const cut = await client.put("cut.jpg", Buffer.from("x")).then(() => "", (error) => "cut");
console.log(String((await client.get("cat.jpg")).content), cut);
await oss.call("POST", "/reset");
console.log((await oss.call("GET", "/requests")).length);
oss.close();
"""


def block(section):
    """The code of a section."""
    return re.search(r"^```\w+\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """``run(folder, *command)``: what it prints, where ``vipsgate`` is this one."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "vipsgate").write_text(
        f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m vipsgate "$@"\n'
    )
    (programs / "vipsgate").chmod(0o755)

    def start(folder, *command, **more):
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path, **more},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return start


def program(name, *needed):
    """A program; skips the test where that, or what has been built with it, is not there."""
    path = shutil.which(name)
    if path is None or not all(one.exists() for one in needed):
        pytest.skip(f"needs {name}, then {INSTALL}")
    return path


def test_go(run, tmp_path):
    go = program("go", BUILT / "sdk-v2")
    for name in ("go.mod", "go.sum"):
        shutil.copy(Path(__file__).parent / "go" / name, tmp_path)
    wanted = '"bufio"\n\t"context"\n\t"io"\n\t"strings"\n'
    text = block("Go").replace('"bufio"\n', wanted, 1) + GO_TEST
    (tmp_path / "emulator_test.go").write_text(text)
    options = {"GOFLAGS": "-mod=mod", "GOPROXY": "off"}  # what the build of the clients has fetched
    assert run(tmp_path, go, "test", "-v", "-vet=off", ".", **options).count("--- PASS") == 2


def test_java(run, tmp_path):
    java, javac = program("java"), program("javac", BUILT / "java/lib")
    (tmp_path / "Main.java").write_text(block("Java") + JAVA_TEST)
    classes = f"{BUILT}/java/lib/*"
    run(tmp_path, javac, "-encoding", "UTF-8", "-cp", classes, "-d", ".", "Main.java")
    assert run(tmp_path, java, "-cp", f"{classes}:.", "Main").split() == ["data", "false"]


def test_node(run, tmp_path):
    node = program("node", MODULES / "ali-oss")
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "emulator.mjs").write_text(block("Node.js"))
    (tmp_path / "test.mjs").write_text(NODE_TEST)
    assert run(tmp_path, node, "test.mjs").split() == ["data", "cut", "0"]


def test_shell(run, tmp_path):
    program("curl")
    lines = re.findall("^    (.+)", SECTIONS["Shell, curl"], re.MULTILINE)
    ports = map(str, free_ports(2))
    text = "\n".join(["set -e", *lines, "kill %1", "wait"])
    for name, port in zip(("9000", "9001"), ports, strict=True):
        text = text.replace(name, port)
    seen = run(tmp_path, "bash", "-c", text.replace("curl ", "curl --fail --silent "))
    assert '"offset":3600.0' in seen.replace(" ", "")
    assert seen.count('"name"') == 1
    assert '"id"' in seen


def check_emulate(words):
    """``vipsgate emulate ...`` with options that it has, and values that they take."""
    assert words[:2] == ["vipsgate", "emulate"]
    command = commands.get_command(None, "emulate")
    return command.make_context("emulate", list(words[2:])).params


def test_compose():
    services = yaml.safe_load(block("Docker compose"))["services"]
    emulator, tests = services["oss"], services["tests"]
    options = check_emulate(emulator["command"])
    target = emulator["volumes"][0].split(":")[1]
    assert str(options["seed"]) == target
    check = emulator["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "-c"]
    compile(check[3], "healthcheck", "exec")
    assert f":{options['admin_port']}/healthz" in check[3]
    assert tests["environment"]["OSS_ENDPOINT"] == f"http://oss:{options['port']}"
    assert tests["environment"]["OSS_EMULATOR"] == f"http://oss:{options['admin_port']}/emulator"
    assert tests["depends_on"]["oss"] == {"condition": "service_healthy"}


def test_actions():
    steps = yaml.safe_load(block("GitHub Actions"))["jobs"]["test"]["steps"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    python = next(step["with"]["python-version"] for step in steps if "with" in step)
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]
    lines = [line for step in steps for line in step.get("run", "").splitlines()]
    extra = re.fullmatch(r"pip install '(\w+)\[(\w+)\]'", lines[0])
    assert extra[1] == project["name"]
    assert extra[2] in project["optional-dependencies"]
    words = shlex.split(lines[1])
    options = check_emulate(words[: words.index(">")])
    assert lines[2].endswith(f"http://127.0.0.1:{options['admin_port']}/healthz")
    environment = next(step["env"] for step in steps if "env" in step)
    assert environment["OSS_ENDPOINT"] == f"http://127.0.0.1:{options['port']}"
