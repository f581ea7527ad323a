"""deploy/kubernetes: manifests that the API knows, that fit each other and the server."""

import re
import urllib.request
from pathlib import Path

import pytest

from vipsgate import settings

yaml = pytest.importorskip("yaml", reason="pip install -e '.[test]'")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="pip install -e '.[test]'")

VERSIONS = ("1.29", "1.37")  # the oldest that is meant, and the newest that is known
FOREIGN = {"ServiceMonitor"}  # kinds that are not Kubernetes' own
BESIDE = {"kustomization.yaml", "prometheus-adapter.yaml"}  # files that are no manifests
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}


@pytest.fixture(scope="module")
def folder(deploy):
    return deploy / "kubernetes"


@pytest.fixture(scope="module")
def manifests(folder):
    """Kind and name -> manifest."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name not in BESIDE:
            for made in yaml.safe_load_all(path.read_text()):
                found[made["kind"], made["metadata"]["name"]] = made
    return found


@pytest.fixture(scope="module")
def pod(manifests):
    return manifests["Deployment", "vipsgate"]["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod):
    (only,) = pod["spec"]["containers"]
    return only


@pytest.fixture(scope="module")
def loaded(manifests, tmp_path_factory):
    """The ConfigMap's configuration, as the server reads it."""
    file = tmp_path_factory.mktemp("kubernetes") / "vipsgate.toml"
    file.write_text(manifests["ConfigMap", "vipsgate"]["data"]["vipsgate.toml"])
    return settings.load(file, {})


@pytest.fixture(scope="module")
def ports(container):
    return {row["name"]: row["containerPort"] for row in container["ports"]}


def size(text):
    """A quantity of memory in bytes."""
    number, unit = re.fullmatch(r"(\d+)(\w\w)", text).groups()
    return int(number) * UNITS[unit]


def status(url):
    with urllib.request.urlopen(url) as answer:
        return answer.status


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_knows_every_word(manifests, version):
    for (kind, _), made in manifests.items():
        if kind not in FOREIGN:
            kubernetes_validate.validate(made, version, strict=True)


def test_a_word_that_it_does_not_know_would_be_found(manifests):
    made = dict(manifests["Service", "vipsgate"])
    made["spec"] = {**made["spec"], "selektor": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(made, VERSIONS[0], strict=True)


def test_the_kustomization_has_every_file(folder, manifests):
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    files = {path.name for path in folder.glob("*.yaml")} - BESIDE
    assert set(said["resources"]) == files
    assert [image["name"] for image in said["images"]] == ["vipsgate"]
    for (kind, _), made in manifests.items():
        if kind != "Namespace":
            assert made["metadata"]["namespace"] == said["namespace"]


def test_ports(loaded, ports, manifests):
    assert ports == {"http": loaded.server.port, "admin": loaded.server.admin_port}
    assert loaded.server.host == loaded.server.admin_host == "0.0.0.0"
    public = manifests["Service", "vipsgate"]["spec"]["ports"]
    assert [port["targetPort"] for port in public] == ["http"]
    (path,) = manifests["Ingress", "vipsgate"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["name"] == "vipsgate"
    assert path["backend"]["service"]["port"]["name"] in [port["name"] for port in public]
    for rule in manifests["NetworkPolicy", "vipsgate"]["spec"]["ingress"]:
        assert {port["port"] for port in rule["ports"]} <= set(ports)


def test_probes_are_what_the_admin_port_answers(container, serving, root, ports):
    probes = [container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    with serving(root) as site:
        for probe in probes:
            assert ports[probe["httpGet"]["port"]] == 8081
            path = probe["httpGet"]["path"]
            url = f"http://127.0.0.1:{site.admin_port}{path}"
            assert status(url) == 200


def test_selectors_find_the_pods(manifests, pod):
    labels = pod["metadata"]["labels"]

    def finds(selector):
        return selector.items() <= labels.items() and selector

    assert finds(manifests["Deployment", "vipsgate"]["spec"]["selector"]["matchLabels"])
    for name in ("vipsgate", "vipsgate-admin"):
        assert finds(manifests["Service", name]["spec"]["selector"])
    assert finds(manifests["PodDisruptionBudget", "vipsgate"]["spec"]["selector"]["matchLabels"])
    assert finds(manifests["NetworkPolicy", "vipsgate"]["spec"]["podSelector"]["matchLabels"])
    target = manifests["HorizontalPodAutoscaler", "vipsgate"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) in manifests


def test_the_monitor_finds_the_admin_service_alone(manifests):
    monitor = manifests["ServiceMonitor", "vipsgate"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    wanted = monitor["spec"]["selector"]["matchLabels"]
    found = [
        made
        for (kind, _), made in manifests.items()
        if kind == "Service" and wanted.items() <= made["metadata"]["labels"].items()
    ]
    assert [made["metadata"]["name"] for made in found] == ["vipsgate-admin"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in found[0]["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"


def test_the_metric_of_the_autoscaler(folder, manifests, deploy):
    metrics = manifests["HorizontalPodAutoscaler", "vipsgate"]["spec"]["metrics"]
    (name,) = [row["pods"]["metric"]["name"] for row in metrics if row["type"] == "Pods"]
    (rule,) = yaml.safe_load((folder / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(f"{name}{{")
    source = [path.read_text() for path in Path(settings.__file__).parent.rglob("*.py")]
    if not any("prometheus_client" in text for text in source):
        pytest.skip("needs a vipsgate with metrics")
    assert any(f'"{name}"' in text for text in source)


def test_restricted_as_the_namespace_wants_it(pod, container, manifests):
    """The Pod Security Standard `restricted`, and a root that is only read."""
    assert set(manifests["Namespace", "vipsgate"]["metadata"]["labels"].values()) == {"restricted"}
    context, own = pod["spec"]["securityContext"], container["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert own["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
    assert all(set(row) & {"emptyDir", "configMap"} for row in pod["spec"]["volumes"])


def test_what_is_written_has_a_place(pod, container, loaded):
    mounts = {row["mountPath"]: row["name"] for row in container["volumeMounts"]}
    volumes = {row["name"]: row for row in pod["spec"]["volumes"]}
    assert set(mounts.values()) == set(volumes)
    cache = volumes[mounts[loaded.cache.dir]]["emptyDir"]
    assert size(cache["sizeLimit"]) > loaded.cache.disk_bytes * 9 / 8  # between two scans
    assert "/tmp" in mounts


def test_memory_is_enough(container, loaded):
    """The front and its cache, each renderer at its ceiling with the largest picture, the spare."""
    renderers = int(container["resources"]["limits"]["cpu"])
    front = (200 << 20) + loaded.cache.memory_bytes
    each = loaded.server.renderer_bytes + loaded.limits.render_bytes
    needed = front + renderers * each + (100 << 20)
    assert needed < size(container["resources"]["limits"]["memory"])


def test_it_is_given_the_time_to_stop(pod, container, loaded):
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace > pause + loaded.server.drain_seconds


def test_the_image_is_that_of_the_dockerfile(container, pod, deploy):
    text = (deploy / "docker" / "Dockerfile").read_text()
    context = pod["spec"]["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in text
    config = re.search(r'CMD \["vipsgate", "serve", "--config", "(.*)"\]\n', text)[1]
    mount = next(row for row in container["volumeMounts"] if row["name"] == "configuration")
    assert config == f"{mount['mountPath']}/vipsgate.toml"
    assert "command" not in container
    assert "args" not in container
