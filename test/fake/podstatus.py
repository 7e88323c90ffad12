"""pod.status, as a kubelet writes it."""
import datetime
import hashlib

ANNOTATION = "kubelet.test/"  # prefix of annotations by which a test instructs the kubelet


def setting(pod, name, default):
    """The number in one of these annotations, in seconds."""
    value = (pod["metadata"].get("annotations") or {}).get(ANNOTATION + name)
    return default if value is None else float(value)


def setting_text(pod, name):
    return (pod["metadata"].get("annotations") or {}).get(ANNOTATION + name)


def stamp():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True"
               for c in (pod.get("status") or {}).get("conditions") or [])


def conditions(pod, now):
    """now: type -> "True" or "False", or (that, reason, message); other types stay."""
    old = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or []}
    out = dict(old)
    for name, value in now.items():
        value, reason, message = value if isinstance(value, tuple) else (value, None, None)
        c = {"type": name, "status": value, "lastProbeTime": None, "lastTransitionTime": stamp()}
        if name in old and old[name]["status"] == value:
            c["lastTransitionTime"] = old[name]["lastTransitionTime"]
        if reason:
            c["reason"] = reason
        if message:
            c["message"] = message
        out[name] = c
    return list(out.values())


def image_id(image):
    """As containerd says what an image is: its repository, and a digest (here made of its name)."""
    repository = image.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    first = repository.partition("/")[0]
    if first == repository or not ("." in first or ":" in first or first == "localhost"):
        repository = "docker.io/%s%s" % ("" if "/" in repository else "library/", repository)
    digest = image.partition("@")[2] or "sha256:" + hashlib.sha256(image.encode()).hexdigest()
    return repository + "@" + digest


class Container:
    """A container's state: waiting (reason, message), running or terminated (code)."""

    def __init__(self, name, image):
        self.name, self.image = name, image
        self.state, self.last, self.restarts, self.is_ready = {"waiting": {
            "reason": "ContainerCreating"}}, {}, 0, False
        self.id, self.has_started = "", False

    def wait(self, reason, message=None):
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.is_ready = False

    def run(self, container_id, has_started=True):
        """It has started once its startupProbe, where it has one, has succeeded."""
        self.state, self.id = {"running": {"startedAt": stamp()}}, container_id
        self.has_started = has_started

    def end(self, code, message=""):
        """message: its terminationMessage."""
        started = self.state.get("running", {}).get("startedAt", stamp())
        self.state = {"terminated": {
            "exitCode": code, "reason": "Completed" if code == 0 else "Error",
            **({"message": message} if message else {}),
            "startedAt": started, "finishedAt": stamp(), "containerID": self.id}}
        self.is_ready = False

    def value(self):
        v = {"name": self.name, "state": self.state, "lastState": self.last,
             "ready": self.is_ready, "restartCount": self.restarts, "image": self.image,
             "imageID": image_id(self.image) if self.id else "", "started": "running" in self.state and self.has_started}
        if self.id:
            v["containerID"] = self.id
        return v


def status(pod, containers, addresses):
    """The whole of pod.status.  addresses: empty until the containers run."""
    old = pod.get("status") or {}
    unready = [c.name for c in containers if not c.is_ready]
    waits = ("False", "ContainersNotReady", "containers with unready status: [%s]"
             % " ".join(unready)) if unready else "True"
    now = {"PodReadyToStartContainers": "True" if addresses else "False", "Initialized": "True",
           "Ready": waits, "ContainersReady": waits}
    has_run = any("running" in c.state or "terminated" in c.state or c.last for c in containers)
    value = {**old, "phase": "Running" if has_run else "Pending", "hostIP": "127.0.0.1",
             "startTime": old.get("startTime") or stamp(), "conditions": conditions(pod, now),
             "containerStatuses": [c.value() for c in containers]}
    if addresses:
        value.update(podIP=addresses[0], podIPs=[{"ip": a} for a in addresses])
    return value


def references(container):
    """(kind, name, is_optional) of each object that its environment is made of."""
    found = [e.get("valueFrom") or {} for e in container.get("env") or []]
    for source in found + (container.get("envFrom") or []):
        for field, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret"),
                            ("configMapRef", "configmap"), ("secretRef", "secret")):
            if field in source:
                yield kind, source[field]["name"], source[field].get("optional", False)


def start_problem(pod, container, find):
    """(reason, message) of what keeps a container from starting; None: nothing.  find(kind,
    name): that object in the pod's namespace, or None."""
    image = container["image"]
    if image.startswith("missing"):
        return ("ErrImagePull", 'rpc error: code = NotFound desc = failed to pull and unpack image '
                '"%s": failed to resolve reference "%s": not found' % (image, image))
    for kind, name, is_optional in references(container):
        if not is_optional and find(kind, name) is None:
            return "CreateContainerConfigError", '%s "%s" not found' % (kind, name)
    return None


def after_back_off(reason, image):
    """(reason, message) between two pulls of an image; None: for any other reason."""
    if reason != "ErrImagePull":
        return None
    return "ImagePullBackOff", 'Back-off pulling image "%s"' % image
