"""The small kustomize of the tests: the same as `kubectl kustomize`, and it refuses aloud what it does not know."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.kustomize import Document, Refused, documents, render

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1"}
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: "web:1"}]}}}
"""


def made(directory: Path, kustomization: str) -> dict[str, Document]:
    """What a kustomization makes of the two documents above, by name."""
    (directory / "all.yaml").write_text(f"{SETTINGS}---{WEB}")
    (directory / "kustomization.yaml").write_text(f"resources: [all.yaml]\n{kustomization}")
    return {one["metadata"]["name"]: one for one in render(directory)}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not there to compare with")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_makes_the_same(overlay: str) -> None:
    written = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)],
        env=os.environ | {"KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    def by_name(one: Document) -> tuple[str, str]:
        return one["kind"], one["metadata"]["name"]

    ours = sorted(render(KUBERNETES / "overlays" / overlay), key=by_name)
    assert ours == sorted(documents(written), key=by_name)


def test_each_field_does_what_it_does(tmp_path: Path) -> None:
    images = "images: [{name: web, newName: registry.example/web, newTag: '2'}]"
    patch = "{op: replace, path: /data/a, value: '2'}, {op: add, path: /data/b, value: '3'}"
    patches = f'patches: [{{target: {{kind: ConfigMap, name: settings}}, patch: "[{patch}]"}}]'
    both = made(tmp_path, f"namespace: shop\n{images}\nreplicas: [{{name: web, count: 3}}]\n{patches}\n")
    assert both["settings"]["data"] == {"a": "2", "b": "3"}
    assert both["settings"]["metadata"]["namespace"] == both["web"]["metadata"]["namespace"] == "shop"
    assert both["web"]["spec"]["replicas"] == 3
    assert both["web"]["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/web:2"


@pytest.mark.parametrize(
    "kustomization",
    [
        "namePrefix: shop-",
        "commonLabels: {a: b}",
        "images: [{name: other, newTag: '2'}]",
        "images: [{name: web, digest: 'sha256:1'}]",
        "replicas: [{name: settings, count: 2}]",
        "patches: [{path: patch.yaml}]",
        "patches: [{target: {kind: ConfigMap}, patch: '[]'}]",
        "patches: [{target: {kind: ConfigMap, name: other}, patch: '[]'}]",
        "patches: [{target: {kind: ConfigMap, name: sett.*}, patch: '[]'}]",
        "patches: [{target: {kind: ConfigMap, name: settings}, patch: '[{op: remove, path: /data/a}]'}]",
        "patches: [{target: {kind: ConfigMap, name: settings}, patch: '[{op: replace, path: /data/b, value: x}]'}]",
        "namespace: a\nnamespace: b",
    ],
)
def test_what_is_not_known_or_changes_nothing_is_refused(tmp_path: Path, kustomization: str) -> None:
    with pytest.raises((Refused, KeyError)):
        made(tmp_path, kustomization)
