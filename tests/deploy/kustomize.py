"""Kustomize, as much of it as `deploy/kubernetes/` uses: tests read what a cluster is given, without any tool.

Arrives: a directory with a `kustomization.yaml`. Leaves: the documents that `kubectl kustomize` would write, in the
order of the resources. Whatever it does not know it refuses, and what would change nothing, too: a patch, an image or a
number of replicas without a target. Where `kubectl` is installed, a test compares both.
"""

from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

FIELDS = {"apiVersion", "kind", "namespace", "resources", "patches", "images", "replicas"}
CONTROLLERS = {"Deployment", "StatefulSet"}
KINDS = CONTROLLERS | {
    *("ConfigMap", "HorizontalPodAutoscaler", "Job", "NetworkPolicy", "PersistentVolumeClaim"),
    *("PodDisruptionBudget", "Service"),
}
"""All of them live in a namespace."""


class Refused(ValueError):
    """A kustomization has something that this module does not know, or that has no effect."""


class StrictLoader(yaml.SafeLoader):
    """A loader that refuses a key that stands twice, of which PyYAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if doubled := {key for key in keys if keys.count(key) > 1}:
            raise Refused(f"{node.start_mark}: {sorted(doubled)} twice")
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[Document]:
    """Return the documents of a YAML text. Raises `Refused`."""
    return list(yaml.load_all(text, StrictLoader))


def render(directory: Path) -> list[Document]:
    """Return what the kustomization of a directory makes. Raises `Refused`."""
    (kustomization,) = documents((directory / "kustomization.yaml").read_text())
    only(kustomization, FIELDS)
    made: list[Document] = []
    for name in kustomization["resources"]:
        path = directory / name
        made += render(path) if path.is_dir() else documents(path.read_text())
    names = [(one["kind"], one["metadata"]["name"]) for one in made]
    if unknown := {kind for kind, _ in names} - KINDS:
        raise Refused(f"{directory}: {sorted(unknown)}")
    if doubled := {name for name in names if names.count(name) > 1}:
        raise Refused(f"{directory}: {sorted(doubled)} twice")
    for patch in kustomization.get("patches", []):
        apply_patch(made, patch)
    if namespace := kustomization.get("namespace"):
        for one in made:
            one["metadata"]["namespace"] = namespace
    for image in kustomization.get("images", []):
        apply_image(made, image)
    for replicas in kustomization.get("replicas", []):
        only(replicas, {"name", "count"})
        for one in found(
            [one for one in made if one["kind"] in CONTROLLERS and one["metadata"]["name"] == replicas["name"]],
            replicas,
        ):
            one["spec"]["replicas"] = replicas["count"]
    return made


def only(mapping: Document, known: set[str]) -> None:
    """Raise `Refused` where a mapping has a key that is not known."""
    if unknown := set(mapping) - known:
        raise Refused(f"{sorted(unknown)} in {mapping}")


def found(targets: list[Any], what: object) -> list[Any]:
    """Return the targets. Raises `Refused` where there are none."""
    if not targets:
        raise Refused(f"no target for {what}")
    return targets


def apply_patch(made: list[Document], patch: Document) -> None:
    """Apply a patch of JSON 6902 with the operations `add` and `replace` to the one document that it names."""
    only(patch, {"target", "patch"})
    only(patch["target"], {"kind", "name"})
    if not patch["target"]["name"].replace("-", "").isalnum():
        raise Refused(f"the name is a pattern: {patch['target']}")
    wanted = (patch["target"]["kind"], patch["target"]["name"])
    (document,) = found([one for one in made if (one["kind"], one["metadata"]["name"]) == wanted], patch["target"])
    (operations,) = documents(patch["patch"])
    for operation in operations:
        only(operation, {"op", "path", "value"})
        *above, last = operation["path"].removeprefix("/").split("/")
        parent = document
        for part in above:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        if not isinstance(parent, dict) or "~" in last or operation["op"] not in ("add", "replace"):
            raise Refused(f"{operation} in {wanted}")
        if operation["op"] == "replace":
            found([last] if last in parent else [], operation)
        parent[last] = operation["value"]


def pod_spec(document: Document) -> Document:
    """Return the specification of a workload's pods; an empty one for what has no pods."""
    spec: Document = document.get("spec", {}).get("template", {}).get("spec", {})
    return spec


def apply_image(made: list[Document], image: Document) -> None:
    """Give the image of this name another name or tag, wherever it is used."""
    only(image, {"name", "newName", "newTag"})
    containers = [container for one in made for container in pod_spec(one).get("containers", [])]
    named = [container for container in containers if container["image"].partition(":")[0] == image["name"]]
    for container in found(named, image):
        name, _, tag = container["image"].partition(":")
        tag = image.get("newTag", tag)
        container["image"] = image.get("newName", name) + (f":{tag}" if tag else "")
