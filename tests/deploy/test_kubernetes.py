"""The Kubernetes manifests, held to the published schemas, to the code, and to what compose starts."""

import functools
import json
import re
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import kubernetes_validate
import pytest
import typer.main
import yaml
from django.urls import resolve

from graphstore.config import PREFIX
from sagestream.cli import app
from sagestream.settings import CONFIGS, secrets, variables
from serving.config import ServingConfig
from stream.config import StreamConfig
from stream.probe import start_probe
from tests.deploy.kustomize import Document, documents, pod_spec, render
from tests.docs.pages import page
from tests.docs.test_commands import parse, words_of
from tests.test_deploy import KEYS, OURS, PROJECT, VERBS
from training.config import TrainingConfig

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
PAGE = page("docs/kubernetes.md")
OVERLAYS = ["small", "medium", "large"]
OLDEST = "1.30"
"""The oldest version of Kubernetes that the manifests are held to; docs/kubernetes.md names it."""
CONTROLLERS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "Job": "batch/v1"}
PARTITIONED = {"worker", "nearline"}
"""Processes that share the partitions of topics."""
ALONE = {"publisher", "scheduler", "monitor"}
"""Processes of which one runs (docs/operations.md, "Processes")."""
END_SECONDS = 10
"""Within this time a process ends in order, beside a training that it waits for (docs/operations.md, "Processes")."""
REQUIRED = {"database_url", "redis_url", "api_key", "secret_key"}
"""Secrets without which compose does not start."""


@functools.cache
def rendered(overlay: str) -> str:
    """An overlay as JSON, so that no test changes what another one reads."""
    return json.dumps(render(KUBERNETES / "overlays" / overlay))


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def made(overlay: str) -> list[Document]:
    """The documents of each overlay in turn."""
    found: list[Document] = json.loads(rendered(overlay))
    return found


def of_kind(made: list[Document], *kinds: str) -> dict[str, Document]:
    """The documents of these kinds, by name."""
    found = {one["metadata"]["name"]: one for one in made if one["kind"] in kinds}
    assert found, kinds
    return found


def workloads(made: list[Document]) -> dict[str, Document]:
    """What runs pods, by name."""
    return of_kind(made, *CONTROLLERS)


def container_of(workload: Document) -> Document:
    """The one container of a workload."""
    (container,) = pod_spec(workload)["containers"]
    assert "initContainers" not in pod_spec(workload)
    found: Document = container
    return found


def settings_of(made: list[Document]) -> dict[str, str]:
    """The settings that every process gets."""
    found: dict[str, str] = of_kind(made, "ConfigMap")["settings"]["data"]
    return found


def secrets_of(workload: Document) -> dict[str, Document]:
    """References to secrets, by the name of the setting."""
    found = {}
    for variable in container_of(workload).get("env", []):
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            assert reference["key"] == variable["name"], "the Secret is made of the names of the settings"
            assert reference["name"] == "secrets"
            found[variable["name"].removeprefix(PREFIX).lower()] = reference
    return found


def pods_of(made: list[Document], selector: Document) -> set[str]:
    """The workloads whose pods a selector finds."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    wanted = {key: {value} for key, value in selector.get("matchLabels", {}).items()}
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        wanted[expression["key"]] = set(expression["values"])
    labels = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in workloads(made).items()}
    return {name for name, has in labels.items() if all(has.get(key) in values for key, values in wanted.items())}


def ports_of(workload: Document) -> dict[str, int]:
    """The named ports of a workload's container."""
    return {port["name"]: port["containerPort"] for port in container_of(workload).get("ports", [])}


def replicas_of(made: list[Document], name: str) -> tuple[int, int]:
    """The smallest and the largest number of pods of a workload that stays up."""
    spec = workloads(made)[name]["spec"]
    for scaler in of_kind(made, "HorizontalPodAutoscaler").values():
        target = scaler["spec"]["scaleTargetRef"]
        if target["name"] == name:
            assert target["kind"] == workloads(made)[name]["kind"]
            assert "replicas" not in spec, "an apply would undo what the autoscaler did"
            return scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
    return spec["replicas"], spec["replicas"]


def quantity(text: str) -> float:
    """A quantity of Kubernetes as a number: `250m`, `2`, `512Mi`."""
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi|)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"m": 0.001, "": 1, "Mi": 2**20, "Gi": 2**30}[unit]


@functools.cache
def validate(document: str, version: str) -> None:
    """Hold a document to the schemas of a version, which know no other field than its own."""
    kubernetes_validate.validate(json.loads(document), version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_document_is_what_the_published_schemas_say(made: list[Document], version: str) -> None:
    for one in made:
        validate(json.dumps(one, sort_keys=True), version)


def test_the_example_of_the_secret_is_valid_and_a_wrong_document_is_noticed() -> None:
    (example,) = documents((KUBERNETES / "secret.example.yaml").read_text())
    kubernetes_validate.validate(example, OLDEST, strict=True)
    for wrong in ({"stringDate": {}}, {"type": 1}):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(example | wrong, OLDEST, strict=True)


def test_the_page_names_the_oldest_version_that_is_tried() -> None:
    assert f"Kubernetes {OLDEST} or newer" in PAGE.text


def test_each_process_of_compose_has_a_workload_and_nothing_else_runs(made: list[Document]) -> None:
    assert set(workloads(made)) == VERBS
    for name, workload in workloads(made).items():
        container = container_of(workload)
        assert workload["apiVersion"] == CONTROLLERS[workload["kind"]]
        assert "command" not in container, "the image's entry point is `sagestream`"
        assert container["args"] == OURS[name]["command"]
        assert set(container["args"]) <= set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
        assert container["image"].partition(":")[0] == OURS[name]["image"].partition(":")[0]
        assert container["image"].endswith(f":{PROJECT['project']['version']}")
    assert {name for name, one in workloads(made).items() if one["kind"] == "Job"} == {"init"}
    assert {name for name, one in workloads(made).items() if one["kind"] == "StatefulSet"} == {"worker"}


def test_everything_is_in_one_namespace_and_says_what_it_belongs_to(made: list[Document]) -> None:
    for one in made:
        assert one["metadata"]["namespace"] == "sagestream"
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "sagestream"


def test_selectors_find_the_pods_of_their_own_workload_alone(made: list[Document]) -> None:
    for name, workload in workloads(made).items():
        if workload["kind"] != "Job":
            assert pods_of(made, workload["spec"]["selector"]) == {name}
        for spread in pod_spec(workload).get("topologySpreadConstraints", []):
            assert pods_of(made, spread["labelSelector"]) == {name}


def test_services_lead_to_ports_that_the_code_opens(made: list[Document]) -> None:
    ports = {"http": ServingConfig().serve_port, "door": ServingConfig().ranker_port}
    probed = set()
    for service in of_kind(made, "Service").values():
        (name,) = pods_of(made, {"matchLabels": service["spec"]["selector"]})
        (port,) = service["spec"]["ports"]
        opened = ports_of(workloads(made)[name])
        assert opened[port["targetPort"]] == port["port"]
        if port["targetPort"] == "probe":
            assert port["port"] == StreamConfig().probe_port_of(name)
            assert service["spec"]["clusterIP"] == "None"
            assert service["spec"]["publishNotReadyAddresses"], "the doctor must find what is not ready"
            probed.add(name)
        else:
            assert port["port"] == ports[port["targetPort"]]
    assert probed == VERBS - {"init"}
    stateful = of_kind(made, "StatefulSet")["worker"]["spec"]
    assert stateful["serviceName"] in of_kind(made, "Service")


@functools.cache
def answer(path: str) -> int:
    """The status that the probe port answers with at a path."""
    probe = start_probe(0, dict)
    try:
        with urlopen(f"http://127.0.0.1:{probe.port}{path}", timeout=10) as response:
            status: int = response.status
            return status
    except HTTPError as error:
        error.close()
        return error.code
    finally:
        probe.close()


def test_probes_ask_paths_and_ports_that_are_served(made: list[Document]) -> None:
    assert answer("/nothing") == 404
    for name in VERBS - {"init"}:
        container = container_of(workloads(made)[name])
        asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
        ready = "/healthz" if name == "serve" else "/readyz"  # serve has popular items before the first model
        assert {kind: get["path"] for kind, get in asked.items()} == {
            "startup": "/healthz",
            "readiness": ready,
            "liveness": "/healthz",
        }
        for get in asked.values():
            port = ports_of(workloads(made)[name])[get["port"]]
            if name == "serve":
                assert port == ServingConfig().serve_port
                assert resolve(get["path"]).url_name == "healthz"
            else:
                assert port == StreamConfig().probe_port_of(name)
                assert answer(get["path"]) == 200
        # The address that compose asks, too.
        assert f":{port}{ready}'" in OURS[name]["healthcheck"]["test"][-1]
        start = container["startupProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 300


def test_settings_are_settings_and_the_code_takes_their_values(
    made: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {f"{PREFIX}{name.upper()}" for config in CONFIGS.values() for name in variables(config)}
    hidden = {f"{PREFIX}{name.upper()}" for name in secrets()}
    assert set(settings_of(made)) <= known - hidden
    for workload in workloads(made).values():
        container = container_of(workload)
        assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}]
        plain = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        assert set(plain) <= known
        assert not set(plain) & set(settings_of(made)), "said twice"
        for name, value in {**settings_of(made), **plain}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        for config in CONFIGS.values():
            config()


def test_addresses_are_those_that_compose_sets(made: list[Document]) -> None:
    for name, workload in workloads(made).items():
        theirs = OURS[name]["environment"]
        own = {variable["name"]: variable for variable in container_of(workload).get("env", [])}
        for host in ("SAGESTREAM_SERVE_HOST", "SAGESTREAM_RANKER_HOST"):
            assert own.get(host, {}).get("value") == theirs.get(host)
        for same in ("SAGESTREAM_STATE_DIR", "SAGESTREAM_PROBE_HOST"):
            assert settings_of(made)[same] == theirs[same]
    ranker = settings_of(made)["SAGESTREAM_RANKER_URL"]
    service = of_kind(made, "Service")["ranker"]
    assert ranker == f"http://ranker:{service['spec']['ports'][0]['port']}"


def test_each_worker_has_an_id_of_its_own(made: list[Document]) -> None:
    (identity,) = [one for one in container_of(workloads(made)["worker"])["env"] if one["name"].endswith("WORKER_ID")]
    assert identity["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_secrets_reach_the_processes_that_compose_gives_them(made: list[Document]) -> None:
    for name, workload in workloads(made).items():
        theirs = {variable.removeprefix(PREFIX).lower() for variable in OURS[name]["environment"]} & set(secrets())
        references = secrets_of(workload)
        assert set(references) == theirs
        for secret, reference in references.items():
            assert ("optional" in reference) == (secret not in REQUIRED), secret
    assert set(secrets_of(workloads(made)["serve"])) >= KEYS


def test_no_secret_is_applied_and_the_example_holds_nothing(made: list[Document]) -> None:
    assert not [one for one in made if one["kind"] == "Secret"]
    text = (KUBERNETES / "secret.example.yaml").read_text()
    (example,) = documents(text)
    assert example["stringData"] is None
    assert "data" not in example
    named = re.findall(r"^  # SAGESTREAM_(\w+):(.*)$", text, re.MULTILINE)
    assert {value for _, value in named} == {""}
    used = {secret for workload in workloads(made).values() for secret in secrets_of(workload)}
    assert {name.lower() for name, _ in named} == used
    assert {name.lower() for name, _ in named[: len(REQUIRED)]} == REQUIRED
    for path in KUBERNETES.rglob("kustomization.yaml"):
        assert "secret" not in path.read_text().lower()
    for path in KUBERNETES.rglob("*.yaml"):
        assert not re.search(r"://\w*:[^@\s]+@", path.read_text()), path


def test_every_container_has_requests_and_limits(made: list[Document]) -> None:
    for workload in workloads(made).values():
        resources = container_of(workload)["resources"]
        assert set(resources) == {"requests", "limits"}
        for what in ("cpu", "memory"):
            assert 0 < quantity(resources["requests"][what]) <= quantity(resources["limits"][what])


def test_the_memory_of_the_small_overlay_is_that_of_compose() -> None:
    for name, workload in workloads(json.loads(rendered("small"))).items():
        theirs = re.fullmatch(r"(?:\$\{\w+:-)?(\d+)([mg])\}?", OURS[name]["mem_limit"])
        assert theirs
        assert container_of(workload)["resources"]["limits"]["memory"] == theirs[1] + {"m": "Mi", "g": "Gi"}[theirs[2]]


def test_no_container_has_privileges(made: list[Document]) -> None:
    for workload in workloads(made).values():
        pod, container = pod_spec(workload), container_of(workload)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,  # the user of the image
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["shareProcessNamespace"] is True
        assert not set(pod) & {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"}
    assert "--uid 10001 " in (ROOT / "Dockerfile").read_text()


def test_volumes_are_those_of_compose(made: list[Document]) -> None:
    (claim,) = of_kind(made, "PersistentVolumeClaim").values()
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for name, workload in workloads(made).items():
        volumes = {volume.pop("name"): volume for volume in pod_spec(workload)["volumes"]}
        mounts = {mount.pop("name"): mount for mount in container_of(workload)["volumeMounts"]}
        assert set(volumes) == set(mounts)
        assert volumes["tmp"] == {"emptyDir": {"sizeLimit": "512Mi"}}
        assert mounts["tmp"] == {"mountPath": "/tmp"}
        state = "/var/lib/sagestream"
        # `init` needs the state volume where SQLite lies in it, which Kubernetes does not have.
        theirs = [] if name == "init" else OURS[name].get("volumes", [])
        expected = {f"state:{state}": {"mountPath": state}, f"state:{state}:ro": {"mountPath": state, "readOnly": True}}
        assert [mounts["state"]] == [expected[one] for one in theirs] if theirs else "state" not in mounts
        if theirs:
            assert volumes["state"] == {"persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        assert (mounts.get("own") == {"mountPath": state}) == (name == "worker")


def test_a_pod_has_time_to_end_in_order(made: list[Document]) -> None:
    for name in VERBS - {"init"}:
        pod = pod_spec(workloads(made)[name])
        hook = container_of(workloads(made)[name]).get("lifecycle", {}).get("preStop", {}).get("exec", {})
        before = int(hook.get("command", ["sleep", "0"])[1])
        waits = TrainingConfig().scheduler_stop_seconds if name == "scheduler" else 0
        assert pod["terminationGracePeriodSeconds"] >= before + waits + END_SECONDS
        assert f"{pod['terminationGracePeriodSeconds']}s" == OURS[name]["stop_grace_period"]
        assert bool(before) == (name in ("serve", "ranker")), "a Service sends requests to these"


def test_no_more_pods_than_partitions_and_one_of_what_works_alone(made: list[Document]) -> None:
    partitions = int(settings_of(made)["SAGESTREAM_KAFKA_PARTITIONS"])
    for name in PARTITIONED:
        assert 1 <= replicas_of(made, name)[1] <= partitions
    for name in ALONE:
        assert replicas_of(made, name) == (1, 1)
        assert workloads(made)[name]["spec"]["strategy"] == {"type": "Recreate"}
    assert {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(made, "HorizontalPodAutoscaler").values()} == {
        "serve"
    }


def test_disruption_budgets_are_where_several_pods_run(made: list[Document]) -> None:
    several = {name for name in VERBS - {"init"} if replicas_of(made, name)[0] > 1}
    assert "serve" in several
    budgets = of_kind(made, "PodDisruptionBudget")
    assert set(budgets) == several
    for name, budget in budgets.items():
        assert pods_of(made, budget["spec"]["selector"]) == {name}
        assert budget["spec"]["maxUnavailable"] == 1


def test_the_doctor_looks_at_every_worker_and_process(made: list[Document]) -> None:
    told = StreamConfig(doctor_hosts=settings_of(made)["SAGESTREAM_DOCTOR_HOSTS"])
    addresses = told.probe_addresses({name: StreamConfig().probe_port_of(name) for name in VERBS - {"init"}})
    services = of_kind(made, "Service")
    workers = {f"worker-{number}.worker" for number in range(replicas_of(made, "worker")[0])}
    assert {host for process, host, _ in addresses if process == "worker"} == workers
    for process, host, port in addresses:
        service = services[host.rpartition(".")[2]]
        assert pods_of(made, {"matchLabels": service["spec"]["selector"]}) == {process}
        assert port == service["spec"]["ports"][0]["port"]


def test_what_is_not_opened_is_closed(made: list[Document]) -> None:
    policies = of_kind(made, "NetworkPolicy")
    everything = set(workloads(made))
    opened: dict[str, list[Any]] = {}
    for policy in policies.values():
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        for rule in policy["spec"].get("ingress", []):
            (port,) = rule["ports"]
            peers = [
                pods_of(made, peer["podSelector"])
                if "podSelector" in peer
                else peer["namespaceSelector"]["matchLabels"]
                for peer in rule["from"]
            ]
            opened[port["port"]] = peers
            reached = pods_of(made, policy["spec"]["podSelector"])
            assert {name for name in everything if port["port"] in ports_of(workloads(made)[name])} <= reached
    assert "ingress" not in policies["deny"]["spec"]
    assert pods_of(made, policies["deny"]["spec"]["podSelector"]) == everything
    assert opened == {
        "http": [{"sagestream/ingress": "true"}],
        "door": [{"serve"}],
        "probe": [{"monitor", "scheduler"}, {"sagestream/scrape": "true"}],
    }


def test_the_first_step_is_all_that_the_job_needs_and_starts_nothing_else(made: list[Document]) -> None:
    first = {
        (one["kind"], one["metadata"]["name"])
        for one in made
        if one["metadata"]["labels"].get("sagestream/step") == "prepare"
    }
    policies = {("NetworkPolicy", name) for name in of_kind(made, "NetworkPolicy")}
    assert first == policies | {("Job", "init"), ("ConfigMap", "settings"), ("PersistentVolumeClaim", "state")}


def test_the_services_of_others_are_not_deployed() -> None:
    for path in KUBERNETES.rglob("*.yaml"):
        for one in documents(path.read_text()):
            for container in pod_spec(one).get("containers", []):
                assert container["image"] in ("sagestream", "sagestream-serve")


def test_the_kustomization_of_the_page_can_be_made(tmp_path: Path) -> None:
    (block,) = [block for block in PAGE.blocks if block.language == "yaml"]
    (own,) = documents(block.text)
    (base,) = own["resources"]
    overlay = ROOT / Path(base).relative_to("../sagestream")
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own | {"resources": [str(overlay)]}))
    made = render(tmp_path)
    for image in own["images"]:
        assert any(container_of(one)["image"].startswith(f"{image['newName']}:") for one in workloads(made).values())
    for one in made:
        validate(json.dumps(one, sort_keys=True), OLDEST)


def test_the_page_tells_the_numbers_of_the_overlays() -> None:
    rows = {
        cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
        for line in PAGE.section("## How large").splitlines()
        if len(cells := line.strip("|").split("|")) == 1 + len(OVERLAYS)
    }
    for column, name in enumerate(OVERLAYS):
        made = json.loads(rendered(name))
        for process in ("worker", "nearline", "ranker", "serve"):
            low, high = replicas_of(made, process)
            resources = container_of(workloads(made)[process])["resources"]
            pods = str(low) if low == high else f"{low} to {high}"
            cpu = quantity(resources["requests"]["cpu"])
            assert rows[process][column] == f"{pods} × {cpu:g}", process
        for process in sorted(ALONE):
            limit = container_of(workloads(made)[process])["resources"]["limits"]["memory"]
            assert rows[process][column] == limit.replace("Gi", " GiB"), process
        for setting in ("KAFKA_PARTITIONS", "VISITOR_DAYS", "TRAINING_THREADS"):
            assert rows[f"SAGESTREAM_{setting}"][column] == settings_of(made)[f"SAGESTREAM_{setting}"]
        storage = of_kind(made, "PersistentVolumeClaim")["state"]["spec"]["resources"]["requests"]["storage"]
        assert rows["volume `state"][column] == storage.replace("Gi", " GiB")


def test_the_sums_of_the_page_are_right() -> None:
    """Each computed row, from the measured figures that the page names."""
    table = PAGE.section("## How large").partition("| cores at the peak |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    seconds, peak = 86_400, 5
    for column, events_a_day in enumerate((10**6, 10**7, 10**8), start=1):
        events = events_a_day / seconds * peak
        days = int(settings_of(json.loads(rendered(OVERLAYS[column - 1])))["SAGESTREAM_VISITOR_DAYS"])
        gigabytes = 1e-9 * events_a_day
        expected = [
            events,
            *(events * cost for cost in (24e-6, 0.65e-3, 2 * 0.65e-3, 668e-6, 1160e-6, 3600e-6)),
            *(events / 10 * cost for cost in (1.5e-3, 4.7e-3)),
            gigabytes / 10 * 1935 * days,
            gigabytes * 200,
        ]
        assert len(rows) == len(expected)
        for row, value in zip(rows, expected, strict=True):
            told = row[column].removesuffix(" GB")
            digits = len(told.replace(",", "").partition(".")[2])
            assert float(told.replace(",", "")) == pytest.approx(value, abs=0.51 * 10**-digits), row
    for figure in ("24 µs", "0.65 ms", "668 µs", "1,160 µs", "3,600 µs", "1.5 ms", "4.7 ms", "1,935 bytes"):
        number = figure.partition(" ")[0]
        assert figure in " ".join(PAGE.text.split())
        assert re.search(rf"(?<![\d.]){number}\b", page("docs/benchmarks.md").text), figure


def test_the_commands_of_the_page_name_what_is_there(made: list[Document]) -> None:
    names = {(one["kind"].lower(), one["metadata"]["name"]) for one in made}
    ran, selected = 0, set()
    for line in PAGE.lines:
        words = words_of(line)
        if words[0] != "kubectl":
            continue
        for kind, name in re.findall(r"\b(deployment|statefulset|job)/([\w-]+)", line):
            assert (kind, name) in names, line
        if "--" in words:
            assert words[1] == "exec"
            assert words[words.index("--") + 1] == "sagestream"
            parse(words[words.index("--") + 2 :])
            ran += 1
        if "--selector" in words:
            selected.add(words[words.index("--selector") + 1])
    assert ran >= 3
    stopped = ",".join(("worker", "nearline", "ranker", "publisher", "scheduler", "monitor"))
    assert selected == {
        "sagestream/step=prepare",
        "app.kubernetes.io/component=serve",
        f"app.kubernetes.io/component in ({stopped})",
    }


def test_before_a_migration_everything_stops_that_knows_the_database(made: list[Document]) -> None:
    lines = [
        line for line in PAGE.section("## Upgrade").replace("\\\n", " ").splitlines() if line.startswith("kubectl")
    ]
    scaled = {name for line in lines if " scale " in line for name in re.findall(r"/([\w-]+)", line)}
    knows = {name for name, workload in workloads(made).items() if "database_url" in secrets_of(workload)}
    assert scaled == knows - {"init"}
    order = [
        next(n for n, line in enumerate(lines) if word in line) for word in (" scale ", "delete job", "step=prepare")
    ]
    assert order == sorted(order)
