"""What kustomize makes of infra/kubernetes: valid, restricted, complete; settings and commands that are taken."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.infra.told import LITERAL, OVERLAYS, check_command, known_variables, objects, pods, rendered, services

VOLUMES = {  # that the standard "restricted" allows
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def faults(pod: dict[str, Any]) -> Iterator[str]:
    """What the Pod Security Standard "restricted" has against a pod's spec (kubernetes.io, Pod Security Standards)."""
    whole = pod.get("securityContext", {})
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    yield from (f"volume {one['name']}" for one in pod.get("volumes", []) if not one.keys() - {"name"} <= VOLUMES)
    for one in [*pod.get("initContainers", []), *pod["containers"], *pod.get("ephemeralContainers", [])]:
        told = one.get("securityContext", {})
        capabilities = told.get("capabilities", {})
        if told.get("privileged"):
            yield "privileged"
        if told.get("allowPrivilegeEscalation") is not False:
            yield "may gain privileges"
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities"
        if told.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
            yield "may be root"
        if told.get("runAsUser", whole.get("runAsUser")) == 0:
            yield "is root"
        profile = told.get("seccompProfile", whole.get("seccompProfile", {})).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield "seccomp"
        if any("hostPort" in port for port in one.get("ports", [])):
            yield "host's port"
        if told.get("procMount", "Default") != "Default" or told.get("seLinuxOptions") or whole.get("seLinuxOptions"):
            yield "/proc or SELinux"
    if whole.get("sysctls"):
        yield "sysctls"


def checked(found: dict[str, Any]) -> Any:
    """The same, less what Kubernetes' API does not know. Raises ValidationError for a wrong type or what is missing."""
    group, _, version = found["apiVersion"].rpartition("/")
    module = import_module(f"lightkube.models.{(group or 'core').partition('.')[0]}_{version}")
    return getattr(module, found["kind"]).from_dict(found).to_dict()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid(overlay: str) -> None:
    kinds = [found["kind"] for found in objects(overlay)]
    assert len(kinds) > 10 and {"Deployment", "Ingress", "NetworkPolicy", "PodDisruptionBudget"} <= set(kinds)
    for found in objects(overlay):
        assert checked(found) == found


def test_an_invalid_object_would_be_seen() -> None:
    from msgspec import ValidationError

    good = next(found for found in objects("cpu") if found["kind"] == "Deployment")
    odd, wrong, lacking = (copy.deepcopy(good) for _ in range(3))
    odd["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    assert checked(odd) == good
    wrong["spec"]["replicas"] = "one"
    del lacking["spec"]["selector"]
    for broken in (wrong, lacking):
        with pytest.raises(ValidationError):
            checked(broken)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted_and_the_namespace_holds_them_to_it(overlay: str) -> None:
    assert {name: [*faults(pod)] for name, pod in pods(overlay)} == {name: [] for name, _ in pods(overlay)}
    (namespace,) = [found for found in objects(overlay) if found["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    inside = {found["metadata"].get("namespace") for found in objects(overlay) if found["kind"] != "Namespace"}
    assert inside == {"genloop"}


@pytest.mark.parametrize(
    ("loosen", "fault"),
    [
        (lambda pod: pod["containers"][0].pop("securityContext"), "may gain privileges"),
        (lambda pod: pod["securityContext"].update(runAsUser=0), "is root"),
        (lambda pod: pod["securityContext"].pop("runAsNonRoot"), "may be root"),
        (lambda pod: pod["securityContext"].pop("seccompProfile"), "seccomp"),
        (lambda pod: pod["initContainers"][0]["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "capab"),
        (lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "volume host"),
        (lambda pod: pod.update(hostNetwork=True), "hostNetwork"),
    ],
)
def test_a_pod_that_is_not_restricted_would_be_seen(loosen: Callable[[dict[str, Any]], object], fault: str) -> None:
    _, pod = next(pods("gpu"))
    loosen(pod)
    assert any(told.startswith(fault) for told in faults(pod))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_container_has_limits_probes_and_a_root_that_cannot_be_written(overlay: str) -> None:
    for name, pod in pods(overlay):
        assert pod["automountServiceAccountToken"] is False
        for one in pod["initContainers"] + pod["containers"]:
            assert one["securityContext"]["readOnlyRootFilesystem"] is True
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= one["resources"][kind].keys(), name
            assert re.search(r":(cpu|cuda)$", one["image"])
        for one in pod["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= one.keys(), name
            ports = {port["name"] for port in one["ports"]}
            asked = [probe for kind in one if kind.endswith("Probe") for probe in one[kind].values()]
            assert {how["port"] for how in asked if isinstance(how, dict)} <= ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_named_is_there(overlay: str) -> None:
    found: dict[str, set[str]] = {}
    for one in objects(overlay):
        found.setdefault(one["kind"], set()).add(one["metadata"]["name"])
    deployments = [one for one in objects(overlay) if one["kind"] == "Deployment"]
    for one in deployments:
        pod, labels = one["spec"]["template"]["spec"], one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        claims = {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
        assert claims <= found["PersistentVolumeClaim"]
        assert {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v} == {"genloop"}
        assert pod["serviceAccountName"] in found["ServiceAccount"]
        for container in pod["containers"]:
            assert {one["configMapRef"]["name"] for one in container["envFrom"]} <= found["ConfigMap"]
        for container in pod["initContainers"] + pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}
    for kind, label in (("PodDisruptionBudget", "selector"), ("Service", "selector"), ("NetworkPolicy", "podSelector")):
        for one in (one for one in objects(overlay) if one["kind"] == kind):
            wanted = one["spec"][label].get("matchLabels", {} if kind != "Service" else one["spec"][label])
            chosen = [d for d in deployments if wanted.items() <= d["spec"]["template"]["metadata"]["labels"].items()]
            assert chosen, f"{kind} {one['metadata']['name']} is of no pod"
            assert kind != "PodDisruptionBudget" or len(chosen) == 1
    assert len(found["PodDisruptionBudget"]) == len(deployments)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_pool_has_a_worker(overlay: str) -> None:
    pools = {}
    for one in objects(overlay):
        if one["kind"] == "Deployment" and one["metadata"]["name"].startswith("worker"):
            labels = one["spec"]["template"]["metadata"]["labels"]
            pools[labels["pool"]] = one["spec"]["template"]["spec"]
    assert pools.keys() == {"cpu", "gpu"} if overlay == "gpu" else {"cpu"}
    for pool, pod in pools.items():
        gpus = pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        assert (gpus == "1", "nodeSelector" in pod, "tolerations" in pod) == ((pool == "gpu",) * 3)
        assert pod["containers"][0]["image"].endswith(":cuda" if pool == "gpu" else ":cpu")


def test_pools_do_not_share_a_workspace() -> None:
    claimed = {
        name: [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        for name, pod in pods("gpu")
    }
    assert claimed["worker-cpu"] == claimed["review"] != claimed["worker-gpu"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_goes_in_or_out_but_what_is_named(overlay: str) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in objects(overlay) if one["kind"] == "NetworkPolicy"}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    entered = [name for name, spec in policies.items() for rule in spec.get("ingress", []) if rule]
    assert entered == ["to-review"] and policies["to-review"]["podSelector"]["matchLabels"] == {"app": "review"}
    names, rest = policies["to-services"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53} and {port["port"] for port in rest["ports"]} == {443, 5432}
    assert ["169.254.0.0/16"] in [to["ipBlock"]["except"] for to in rest["to"]], "a cloud gives keys there"
    assert all(to["ipBlock"]["except"] for to in rest["to"])
    assert all(
        rule.get("ports") for spec in policies.values() for way in ("ingress", "egress") for rule in spec.get(way, [])
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_named_and_not_there(overlay: str) -> None:
    assert not [found for found in objects(overlay) if found["kind"] == "Secret"]
    text = re.sub(r"settings-\w+|sha256:\w+", "", rendered(overlay))
    assert LITERAL.findall(text) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_and_commands_are_ones_that_the_programs_take(overlay: str) -> None:
    (settings,) = [found["data"] for found in objects(overlay) if found["kind"] == "ConfigMap"]
    assert settings.keys() <= known_variables()
    for _, pod in pods(overlay):
        for one in pod["initContainers"] + pod["containers"]:
            check_command([{"$(POOL)": "cpu"}.get(word, word) for word in one["args"]])
            assert {told["name"] for told in one.get("env", [])} <= {"POOL"}


def test_compose_and_kubernetes_give_the_same_settings() -> None:
    (settings,) = [found["data"] for found in objects("cpu") if found["kind"] == "ConfigMap"]
    signed = {"GENLOOP_SIGNING_KEY_FILE", "GENLOOP_SIGNING_CERTIFICATES", "AWS_DEFAULT_REGION"}
    assert services()["worker-cpu"]["environment"].keys() == settings.keys() - signed
