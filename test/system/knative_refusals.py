"""Objects that Knative's webhook refuses, and the first line of its message; and objects that it
takes.  Rows: (name, kind, object, the object before or None, texts; none: it is taken)."""

PORTS = [{"containerPort": 1}]


def container(**fields):
    return {"image": "hello", **fields}


def service(spec=None, name="a", traffic=None, meta=None, template=None, kind="Service"):
    """spec: of the template; template: its metadata."""
    made = {"template": {"metadata": template or {}, "spec": {"containers": [container()],
                                                              **(spec or {})}}}
    if traffic is not None:
        made["traffic"] = traffic
    return {"apiVersion": "serving.knative.dev/v1", "kind": kind,
            "metadata": {"name": name, **(meta or {})}, "spec": made}


def one(**fields):
    return {"containers": [container(**fields)]}


def mounted(volume, **mount):
    return {**one(volumeMounts=[{"name": "v", "mountPath": "/v", **mount}]),
            "volumes": [{"name": "v", **volume}]}


def revision(spec, **meta):
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Revision",
            "metadata": {"name": "r", **meta}, "spec": spec}


def route(traffic=None):
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Route", "metadata": {"name": "r"},
            "spec": {} if traffic is None else {"traffic": traffic}}


def mapping(name, **ref):
    return {"apiVersion": "serving.knative.dev/v1beta1", "kind": "DomainMapping",
            "metadata": {"name": name}, "spec": {"ref": {
                "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "x", **ref}}}


def annotations(**named):
    return {"annotations": {"autoscaling.knative.dev/" + k.rstrip("_").replace("_", "-"): v
                            for k, v in named.items()}}


def plain(**named):
    return {"annotations": {"serving.knative.dev/" + k.replace("_", "-"): v
                            for k, v in named.items()}}


FULL = {
    "containers": [{
        "name": "", "image": "docker.io/x/y:1", "resources": {}, "envFrom": [
            {"configMapRef": {"name": "x"}}],
        "ports": [{"containerPort": 0, "name": "h2c"}],
        "env": [{"name": "A", "value": "b"},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}],
        "readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1},
        "livenessProbe": {"httpGet": {"path": "/", "port": 0}},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "securityContext": {"runAsUser": 5, "privileged": False,
                            "capabilities": {"drop": ["ALL"]}}}],
    "volumes": [{"name": "v", "emptyDir": {}}], "containerConcurrency": 1, "timeoutSeconds": 300,
    "automountServiceAccountToken": False, "enableServiceLinks": False}
SCALING = annotations(
    class_="kpa.autoscaling.knative.dev", min_scale="1", max_scale="5", initial_scale="2",
    activation_scale="3", metric="rps", target="0.5", target_utilization_percentage="70",
    target_burst_capacity="-1", window="60s", panic_window_percentage="10.0",
    panic_threshold_percentage="200", scale_down_delay="15m",
    scale_to_zero_pod_retention_period="1m5s", metric_aggregation_algorithm="linear")

ROWS = [
    ("least", "Service", service(), None, []),
    ("much", "Service", service(FULL), None, []),
    ("name", "Service", service(name="1a"), None, ["not a DNS 1035 label: metadata.name"]),
    # traffic
    ("sum", "Service", service(traffic=[{"latestRevision": True, "percent": 90}]), None,
     ["Traffic targets sum to 90, want 100: spec.traffic"]),
    ("percent", "Service", service(traffic=[
        {"latestRevision": True, "percent": 101}, {"revisionName": "a", "percent": -1}]), None,
     ["expected 0 <= 101 <= 100: spec.traffic"]),
    ("tag", "Service", service(traffic=[
        {"latestRevision": True, "percent": 100, "tag": "T_"}]), None, ["not a DNS 1035 label"]),
    ("tags", "Service", service(traffic=[
        {"latestRevision": True, "percent": 100, "tag": "t"}, {"revisionName": "a", "tag": "t"}]),
     None, ['Multiple definitions for "t": spec.traffic']),
    ("latest", "Service", service(traffic=[
        {"latestRevision": True, "revisionName": "r", "percent": 100}]), None,
     ['may not set revisionName "r" when latestRevision is true: spec.traffic']),
    ("no-latest", "Service", service(traffic=[{"latestRevision": False, "percent": 100}]), None,
     ['may not set revisionName "" when latestRevision is false: spec.traffic']),
    ("short", "Service", service(traffic=[{"percent": 100}]), None, []),
    ("configuration", "Service", service(traffic=[{"configurationName": "c", "percent": 100}]),
     None, ["must not set the field(s): spec.traffic[*].configurationName"]),
    ("url", "Service", service(traffic=[{"url": "c", "percent": 100}]), None,
     ["must not set the field(s): spec.traffic[*].url"]),
    ("route", "Route", route([{"configurationName": "c", "percent": 100}]), None, []),
    ("route-empty", "Route", route(), None, ["Traffic targets sum to 0, want 100: spec.traffic"]),
    ("route-both", "Route", route([
        {"configurationName": "c", "revisionName": "r", "percent": 100}]), None,
     ["expected exactly one, got both"]),
    ("route-neither", "Route", route([{"percent": 100}]), None,
     ["expected exactly one, got neither"]),
    # containers
    ("no-container", "Service", service({"containers": []}), None,
     ["missing field(s): spec.template.spec.containers"]),
    ("no-image", "Service", service(one(image="")), None,
     ["missing field(s): spec.template.spec.containers[*].image"]),
    ("image", "Service", service(one(image="UPPER CASE")), None,
     ["Failed to parse image reference"]),
    ("image-digest", "Service", service(one(image="ghcr.io:5000/x/y:v1@sha256:" + "a" * 64)), None,
     []),
    ("two-ports", "Service", service(one(ports=[{"containerPort": 1}, {"containerPort": 2}])),
     None, ["more than one container port is set: spec.template.spec.containers[*].ports"]),
    ("no-port", "Service", service({"containers": [container(), container()]}), None,
     ["missing field(s): spec.template.spec.containers[*].ports"]),
    ("sidecar", "Service", service({"containers": [
        container(ports=PORTS), container(env=[{"name": "PORT", "value": "1"}])]}), None, []),
    ("port-variable", "Service", service(one(env=[{"name": "PORT", "value": "1"}])), None,
     ['"PORT" is a reserved environment variable']),
    ("k-variable", "Service", service(one(env=[{"name": "K_SERVICE", "value": "1"}])), None,
     ['"K_SERVICE" is a reserved environment variable']),
    ("port-name", "Service", service(one(ports=[{"name": "arbitrary"}])), None,
     ["Port name arbitrary is not allowed"]),
    ("reserved-port", "Service", service(one(ports=[{"containerPort": 8012}])), None,
     ["8012 is a reserved port"]),
    ("port-range", "Service", service(one(ports=[{"containerPort": 65536}])), None,
     ["expected 0 <= 65536 <= 65535"]),
    ("protocol", "Service", service(one(ports=[{"containerPort": 1, "protocol": "UDP"}])), None,
     ["invalid value: UDP"]),
    ("source-neither", "Service", service(one(envFrom=[{}])), None,
     ["expected exactly one, got neither"]),
    ("source-both", "Service", service(one(envFrom=[{"configMapRef": {}, "secretRef": {}}])), None,
     ["expected exactly one, got both"]),
    ("same-names", "Service", service({"containers": [
        container(name="x", ports=PORTS), container(name="x")]}), None,
     ['duplicate container name "x"']),
    ("queue-proxy", "Service", service(one(name="queue-proxy")), None,
     ['"queue-proxy" is a reserved container name']),
    # probes
    ("probe-neither", "Service", service(one(livenessProbe={})), None,
     ["expected exactly one, got neither"]),
    ("probe-both", "Service", service(one(readinessProbe={
        "exec": {"command": ["a"]}, "tcpSocket": {"port": 1}})), None,
     ["expected exactly one, got both"]),
    ("probe-period", "Service", service(one(readinessProbe={"failureThreshold": 3})), None,
     ["failureThreshold is disallowed when periodSeconds is zero"]),
    ("probe-port", "Service", service(one(readinessProbe={"httpGet": {"port": "other"}})), None,
     ["Probe port must match container port"]),
    ("probe-empty", "Service", service(one(readinessProbe={})), None, []),
    # rights
    ("user", "Service", service(one(securityContext={"runAsUser": -10})), None,
     ["expected 0 <= -10 <= 2147483647"]),
    ("privileged", "Service", service(one(securityContext={"privileged": True})), None,
     ["must not set the field(s): spec.template.spec.containers[*].securityContext.privileged"]),
    ("token", "Service", service({"automountServiceAccountToken": True}), None,
     ["must not set the field(s): spec.template.spec.automountServiceAccountToken"]),
    # volumes
    ("mount-root", "Service", service(mounted({"emptyDir": {}}, mountPath="/")), None,
     ['mountPath "/" is a reserved path']),
    ("mount-relative", "Service", service(mounted({"emptyDir": {}}, mountPath="a")), None,
     ["invalid value: a"]),
    ("mount-nothing", "Service", service(one(volumeMounts=[{"name": "x", "mountPath": "/x"}])),
     None, ["volumeMount has no matching volume"]),
    ("not-mounted", "Service", service({**one(), "volumes": [
        {"name": "x", "secret": {"secretName": "s"}}]}), None,
     ['volume with name "x" not mounted']),
    ("volumes", "Service", service({**mounted({"emptyDir": {}}), "volumes": [
        {"name": "v", "secret": {}}, {"name": "v", "emptyDir": {}}]}), None,
     ['duplicate volume name "v"']),
    ("no-source", "Service", service(mounted({})), None, ["expected exactly one, got neither"]),
    ("two-sources", "Service", service(mounted({"emptyDir": {}, "secret": {}})), None,
     ["expected exactly one, got both"]),
    # bounds
    ("concurrency", "Service", service({"containerConcurrency": -1}), None,
     ["expected 0 <= -1 <= 1000: spec.template.spec.containerConcurrency"]),
    ("concurrency-most", "Service", service({"containerConcurrency": 1001}), None,
     ["expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency"]),
    ("timeout-most", "Service", service({"timeoutSeconds": 601}), None,
     ["expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds"]),
    # names of revisions
    ("own-name", "Service", service(template={"name": "a-1"}), None, []),
    ("foreign-name", "Service", service(template={"name": "b-1"}), None,
     ['"b-1" must have prefix "a-"']),
    ("bad-name", "Service", service(template={"name": "a-B"}), None, ["not a DNS 1035 label"]),
    ("same-name", "Service", service(one(image="other"), template={"name": "a-1"}),
     service(template={"name": "a-1"}), ["Saw the following changes without a name change"]),
    ("same-name-annotated", "Service", service(template={"name": "a-1", "labels": {"a": "b"}}),
     service(template={"name": "a-1"}), ["Saw the following changes without a name change"]),
    ("new-name", "Service", service(one(image="other"), template={"name": "a-2"}),
     service(template={"name": "a-1"}), []),
    ("kept-name", "Service", service(template={"name": "a-1"}, traffic=[
        {"revisionName": "a-1", "percent": 100}]), service(template={"name": "a-1"}), []),
    ("changed", "Service", service(one(image="other")), service(), []),
    ("revision", "Revision", revision(one(image="other")), revision(one()),
     ["Immutable fields changed (-old +new): spec"]),
    ("revision-label", "Revision", revision(one(), labels={"a": "b"}), revision(one()), []),
    # labels and annotations
    ("scaling-on-service", "Service", service(meta=annotations(min_scale="1")), None,
     ['invalid key name "autoscaling.knative.dev/min-scale": metadata.annotations']),
    ("rollout", "Service", service(meta=plain(rollout_duration="2m")), None, []),
    ("rollout-precision", "Service", service(meta=plain(rollout_duration="1500ms")), None,
     ["rollout-duration=1500ms is not at second precision"]),
    ("rollout-negative", "Service", service(meta=plain(rollout_duration="-1s")), None,
     ["rollout-duration=-1s must be positive"]),
    ("rollout-text", "Service", service(meta=plain(rollout_duration="x")), None,
     ["invalid value: x"]),
    ("orphan", "Configuration", service(kind="Configuration", meta={
        "labels": {"serving.knative.dev/service": "a"}}), None,
     ["missing field(s): metadata.labels.serving.knative.dev/service"]),
    ("orphan-revision", "Revision", revision(one(), labels={
        "serving.knative.dev/configuration": "a"}), None,
     ["missing field(s): metadata.labels.serving.knative.dev/configuration"]),
    # scaling
    ("scaling", "Service", service(template=SCALING), None, []),
    ("min-negative", "Service", service(template=annotations(min_scale="-1")), None,
     ["expected 0 <= -1 <= 2147483647: spec.template.metadata.annotations."
      "autoscaling.knative.dev/min-scale"]),
    ("max-text", "Service", service(template=annotations(max_scale="x")), None,
     ["invalid value: x: "]),
    ("max-below-min", "Service", service(template=annotations(min_scale="6", max_scale="5")), None,
     ["max-scale=5 is less than min-scale=6"]),
    ("old-spelling", "Service", service(template={"annotations": {
        "autoscaling.knative.dev/minScale": "x"}}), None, ["invalid value: x"]),
    ("activation", "Service", service(template=annotations(activation_scale="1")), None,
     ["activation-scale=1 must be greater than 1"]),
    ("initial", "Service", service(template=annotations(initial_scale="0")), None,
     ["initial-scale=0 not allowed by cluster"]),
    ("metric", "Service", service(template=annotations(metric="cpu")), None,
     ["invalid value: cpu"]),
    ("metric-hpa", "Service", service(template=annotations(
        metric="cpu", class_="hpa.autoscaling.knative.dev")), None, []),
    ("class", "Service", service(template=annotations(class_="x.knative.dev")), None,
     ["invalid value: x.knative.dev"]),
    ("target", "Service", service(template=annotations(target="0.001")), None,
     ["target 0.001 should be at least 0.01"]),
    ("utilization", "Service", service(template=annotations(
        target_utilization_percentage="101")), None, ["expected 1 <= 101 <= 100"]),
    ("window", "Service", service(template=annotations(window="5s")), None,
     ["expected 6s <= 5s <= 1h0m0s"]),
    ("delay", "Service", service(template=annotations(scale_down_delay="1500ms")), None,
     ["is not at second precision"]),
    ("progress", "Service", service(template=plain(progress_deadline="-1s")), None,
     ["progress-deadline=-1s must be positive"]),
    ("networking", "Service", service(template={"annotations": {
        "networking.knative.dev/what": "1"}}), None,
     ['invalid key name "networking.knative.dev/what"']),
    ("on-revision", "Revision", revision(one(), **annotations(min_scale="x")), revision(one()),
     ["invalid value: x: metadata.annotations.autoscaling.knative.dev/min-scale"]),
    # switches of config-features
    ("affinity", "Service", service({"affinity": {}}), None,
     ["must not set the field(s): spec.template.spec.affinity"]),
    ("init", "Service", service({"initContainers": [container()]}), None,
     ["pod spec support for init-containers is off, but found 1 init containers"]),
    ("selector", "Service", service({"nodeSelector": {"a": "b"}}), None,
     ["must not set the field(s): spec.template.spec.nodeSelector"]),
    ("field", "Service", service(one(env=[{"name": "A", "valueFrom": {
        "fieldRef": {"fieldPath": "metadata.name"}}}])), None, ["must not set the field(s)"]),
    ("capability", "Service", service(one(securityContext={"capabilities": {"add": ["X"]}})), None,
     ["must not set the field(s)"]),
    ("host-path", "Service", service(mounted({"hostPath": {"path": "/"}})), None,
     ["HostPath volume support is disabled"]),
    ("claim", "Service", service(mounted({"persistentVolumeClaim": {"claimName": "c"}})), None,
     ["Persistent volume claim support is disabled"]),
    ("sidecar-probe", "Service", service({"containers": [
        container(ports=PORTS), container(livenessProbe={"exec": {"command": ["a"]}})]}), None,
     ["must not set the field(s)"]),
    # domains
    ("domain", "DomainMapping", mapping("a.example.com"), None, []),
    ("domain-name", "DomainMapping", mapping("a"), None,
     ["not a fully qualified domain name: metadata.name"]),
    ("domain-cluster", "DomainMapping", mapping("a.b.svc.cluster.local"), None,
     ["must not be a subdomain of cluster local domain"]),
    ("domain-namespace", "DomainMapping", mapping("a.example.com", namespace="other"), None,
     ["invalid value: other"]),
    ("domain-kind", "DomainMapping", mapping("a.example.com", kind=""), None,
     ["missing field(s): spec.ref.kind"]),
]
