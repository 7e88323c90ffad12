/* kn_config - Knative's ConfigMaps in the namespace knative-serving as one struct:
 * config-autoscaler, -defaults, -deployment, -domain, -features, -gc and -network, with Knative's
 * keys, defaults and bounds.  A ConfigMap that does not exist stands for its defaults.  One with a
 * mistake changes nothing: what it said before holds on.
 *
 * Duration, percent and size of a member are in the unit that its name ends in, else plain.
 * Strings are borrowed until the next kn_config_take() of the same ConfigMap.
 * Pure, but for the log.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_CONFIG_H
#define AUTOSCALER_KNATIVE_KN_CONFIG_H

#include "common/err.h"
#include "common/str_list.h"

struct json_t;
struct kn_config_state;

#define KN_CONFIG_NAMESPACE "knative-serving"

struct kn_autoscaler_config {
	double container_concurrency_target_default;
	double container_concurrency_target_percentage; /* above 0, at most 100 */
	double rps_target_default;
	int64_t stable_window_ns;
	double panic_window_percentage;
	double panic_threshold_percentage;
	double max_scale_up_rate, max_scale_down_rate;
	bool enable_scale_to_zero;
	int64_t scale_to_zero_grace_ns;
	int64_t scale_to_zero_retention_ns;
	int64_t scale_down_delay_ns;
	bool allow_zero_initial_scale;
	int32_t initial_scale, activation_scale;
	int32_t min_scale, max_scale; /* max_scale 0: unlimited */
	int32_t max_scale_limit;      /* 0: none */
	char *pod_autoscaler_class;
};

enum kn_service_links { KN_LINKS_OFF, KN_LINKS_ON, KN_LINKS_OF_CLUSTER }; /* the last: leave nil */

struct kn_defaults_config {
	int64_t revision_timeout_s, max_revision_timeout_s;
	int64_t response_start_timeout_s;
	int64_t idle_timeout_s; /* 0: none */
	/* Quantities in Kubernetes's form; NULL: none. */
	char *cpu_request, *cpu_limit;
	char *memory_request, *memory_limit;
	char *ephemeral_storage_request, *ephemeral_storage_limit;
	char *container_name_template, *init_container_name_template;
	int64_t container_concurrency, container_concurrency_max_limit;
	bool allow_container_concurrency_zero;
	enum kn_service_links enable_service_links;
};

/* A domain, and the labels that a Route must have to be below it. */
struct kn_domain {
	char *name;
	struct str_list labels; /* key, value, key, value … */
};

struct kn_domain_config {
	struct kn_domain *v; /* by name; one without labels is always among them */
	size_t n;
};

enum kn_http_protocol { KN_HTTP_ENABLED, KN_HTTP_REDIRECTED, KN_HTTP_DISABLED };

struct kn_network_config {
	char *domain_template, *tag_template;
	char *default_external_scheme;
	enum kn_http_protocol http_protocol;
	int64_t rollout_duration_s;
};

#define KN_GC_DISABLED (-1)

struct kn_gc_config {
	int64_t retain_since_create_s;	    /* or KN_GC_DISABLED */
	int64_t retain_since_last_active_s; /* or KN_GC_DISABLED */
	int64_t min_non_active;
	int64_t max_non_active; /* or KN_GC_DISABLED */
};

enum kn_affinity { KN_AFFINITY_NONE, KN_AFFINITY_SPREAD_OVER_NODES };

struct kn_deployment_config {
	int64_t progress_deadline_s;
	char *registries_skipping_tag_resolving; /* with commas between them */
	enum kn_affinity default_affinity;
};

enum kn_flag { KN_DISABLED, KN_ENABLED, KN_ALLOWED };

/* X(member, key, default): which of them allow a field of a pod, policies of the cluster ask
 * (conf/kubernetes/knative/policies.yaml). */
#define KN_FEATURES(X)                                                                             \
	X(autodetect_http2, "autodetect-http2", KN_DISABLED)                                       \
	X(containerspec_addcapabilities, "kubernetes.containerspec-addcapabilities", KN_DISABLED)  \
	X(multi_container, "multi-container", KN_ENABLED)                                          \
	X(multi_container_probing, "multi-container-probing", KN_DISABLED)                         \
	X(persistent_volume_claim, "kubernetes.podspec-persistent-volume-claim", KN_DISABLED)      \
	X(podspec_affinity, "kubernetes.podspec-affinity", KN_DISABLED)                            \
	X(podspec_dnsconfig, "kubernetes.podspec-dnsconfig", KN_DISABLED)                          \
	X(podspec_dnspolicy, "kubernetes.podspec-dnspolicy", KN_DISABLED)                          \
	X(podspec_fieldref, "kubernetes.podspec-fieldref", KN_DISABLED)                            \
	X(podspec_hostaliases, "kubernetes.podspec-hostaliases", KN_DISABLED)                      \
	X(podspec_init_containers, "kubernetes.podspec-init-containers", KN_DISABLED)              \
	X(podspec_nodeselector, "kubernetes.podspec-nodeselector", KN_DISABLED)                    \
	X(podspec_priorityclassname, "kubernetes.podspec-priorityclassname", KN_DISABLED)          \
	X(podspec_runtimeclassname, "kubernetes.podspec-runtimeclassname", KN_DISABLED)            \
	X(podspec_schedulername, "kubernetes.podspec-schedulername", KN_DISABLED)                  \
	X(podspec_securitycontext, "kubernetes.podspec-securitycontext", KN_DISABLED)              \
	X(podspec_tolerations, "kubernetes.podspec-tolerations", KN_DISABLED)                      \
	X(podspec_topologyspreadconstraints, "kubernetes.podspec-topologyspreadconstraints",       \
	  KN_DISABLED)                                                                             \
	X(podspec_volumes_csi, "kubernetes.podspec-volumes-csi", KN_DISABLED)                      \
	X(podspec_volumes_emptydir, "kubernetes.podspec-volumes-emptydir", KN_ENABLED)             \
	X(podspec_volumes_ephemeral, "kubernetes.podspec-volumes-ephemeral", KN_DISABLED)          \
	X(podspec_volumes_hostpath, "kubernetes.podspec-volumes-hostpath", KN_DISABLED)            \
	X(podspec_volumes_image, "kubernetes.podspec-volumes-image", KN_DISABLED)                  \
	X(secure_pod_defaults, "secure-pod-defaults", KN_DISABLED)                                 \
	X(tag_header_based_routing, "tag-header-based-routing", KN_DISABLED)

struct kn_features_config {
#define X(member, key, flag) enum kn_flag member;
	KN_FEATURES(X)
#undef X
};

struct kn_config {
	struct kn_autoscaler_config autoscaler;
	struct kn_defaults_config defaults;
	struct kn_domain_config domain;
	struct kn_network_config network;
	struct kn_gc_config gc;
	struct kn_deployment_config deployment;
	struct kn_features_config features;
	char *cluster_domain; /* "cluster.local" */
	struct kn_config_state *state;
};

/* All of Knative's defaults.  resolv_conf: the text of /etc/resolv.conf, whose search list names
 * the cluster's domain; NULL: it is "cluster.local". */
NODISCARD struct kn_config *kn_config_new(const char *resolv_conf);
void kn_config_free(struct kn_config **);

/* Is this a ConfigMap that is read? */
bool kn_config_is_read(const char *name);

enum kn_config_change { KN_CONFIG_SAME, KN_CONFIG_CHANGED, KN_CONFIG_REFUSED };

/* What a ConfigMap says that does not hold. */
struct kn_config_notes {
	struct err mistake;	  /* KN_CONFIG_REFUSED: "KEY: expected …, got …" */
	struct str_list no_equal; /* keys of Knative's for which there is nothing here */
	struct str_list unknown;  /* keys that Knative has not got either */
};
void kn_config_notes_fini(struct kn_config_notes *);

/* Take the ConfigMap `name`, which is read; data: its member `data`; NULL: it has none, or does not
 * exist.  Refused: the config is as before. */
NODISCARD enum kn_config_change kn_config_take(struct kn_config *, const char *name,
					       const struct json_t *data, struct kn_config_notes *);

/* As kn_config_take(), and log what does not hold: a mistake each time that the ConfigMap is
 * taken, a key that has no equal once.  True: the config has changed. */
NODISCARD bool kn_config_apply(struct kn_config *, const char *name, const struct json_t *data);

/* The domain of a Route with these labels, an object of strings or NULL: of those whose labels it
 * has, the one with the most labels, then the first by name.  Borrowed. */
const char *kn_config_domain(const struct kn_config *, const struct json_t *labels);

#endif
