#!/bin/sh
# Install the activator on a cluster, to serve Knative's objects there without Knative.
#
#   install.sh IMAGE           apply everything, the definitions first
#   install.sh --print IMAGE   print the manifests, and ask no cluster
#
# IMAGE is the activator's, with its tag or digest.  It calls kubectl (1.27 or newer), with its present
# context.  It refuses a cluster on which Knative Serving itself is installed, or whose definitions
# of these kinds are not from here.  What is installed already is brought up to date.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
base=$(dirname "$here")
webhook=validation.webhook.serving.knative.dev
crd=services.serving.knative.dev

refuse() {
	echo "install.sh: $*" >&2
	exit 1
}

look() {
	found=$(kubectl get validatingwebhookconfiguration "$webhook" -o name --ignore-not-found) ||
		refuse "the cluster does not answer"
	[ -z "$found" ] ||
		refuse "Knative Serving is installed here ($found): remove it first"
	label='{.metadata.labels.app\.kubernetes\.io/name}'
	found=$(kubectl get crd "$crd" -o name --ignore-not-found)
	if [ -n "$found" ] && [ "$(kubectl get crd "$crd" -o "jsonpath=$label")" != activator ]; then
		refuse "the definition $crd is not from here: remove it first, and all Services with it" \
			"(to keep them: kubectl get ksvc --all-namespaces -o yaml)"
	fi
	admission=$(kubectl get --raw /apis/admissionregistration.k8s.io/v1)
	case $admission in
	*validatingadmissionpolicies*) ;;
	*) refuse "the cluster has no ValidatingAdmissionPolicy: this needs Kubernetes 1.30" ;;
	esac
}

# A kustomization outside of the folders that it names: within them it would be a cycle.
render() {
	folder=$(mktemp -d)
	folder=$(cd "$folder" && pwd -P)
	up=$(printf %s "$folder" | sed 's|/[^/]*|../|g')
	cat >"$folder/kustomization.yaml" <<-END
		apiVersion: kustomize.config.k8s.io/v1beta1
		kind: Kustomization
		resources: ["$up${base#/}"]
		components: ["$up${here#/}"]
	END
	kubectl kustomize "$folder" >"$folder/all.yaml" || {
		rm -r "$folder"
		refuse "kubectl cannot make the manifests"
	}
	sed "s|image: activator:.*|image: $1|" "$folder/all.yaml"
	rm -r "$folder"
}

apply() {
	kubectl apply -f "$here/crds"
	kubectl wait --for=condition=established --timeout=60s -f "$here/crds" >/dev/null
	render "$1" | kubectl apply -f -
	case $admission in
	*mutatingadmissionpolicies*)
		kubectl apply -f "$here/mutating.yaml"
		;;
	*)
		echo "install.sh: the cluster has no MutatingAdmissionPolicy (Kubernetes 1.36):" \
			"kn cannot change the traffic of a Service that kubectl has made without" \
			"latestRevision" >&2
		;;
	esac
}

case ${1-} in
--print)
	[ $# -eq 2 ] || refuse "expected: install.sh --print IMAGE"
	render "$2"
	;;
'' | -*)
	refuse "expected: install.sh IMAGE"
	;;
*)
	[ $# -eq 1 ] || refuse "expected: install.sh IMAGE"
	look
	apply "$1"
	domain=$(kubectl -n knative-serving get configmap config-domain -o 'jsonpath={.data}')
	if [ -z "$domain" ]; then
		echo "install.sh: all Services are local to the cluster until you name a domain:" \
			"kubectl -n knative-serving patch configmap config-domain --type merge" \
			"-p '{\"data\":{\"apps.example.com\":\"\"}}'" >&2
	fi
	;;
esac
