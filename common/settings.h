/* settings - the conf file as plain data.  The keys are in the table keys.def.
 * All levels are resolved: the structs of a revision hold the values in effect, from the
 * revision, else its service, else activator or autoscaler, else the default.
 * Durations are ns, sizes are bytes.
 * Thread: immutable once loaded. */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include "common/err.h"
#include "common/listen_spec.h"
#include "common/settings_keys.h"
#include "common/settings_origins.h"
#include "common/str_list.h"

/* PROBE_AUTO: the pod's own probes (driver kubernetes), else PROBE_TCP. */
enum { PROBE_TCP, PROBE_HTTP, PROBE_READINESS, PROBE_AUTO, PROBE_GRPC };
enum { SLOW_OFF, SLOW_OBSERVE, SLOW_ON };
enum { METRIC_CONCURRENCY, METRIC_RPS };
enum { AGGREGATION_LINEAR, AGGREGATION_WEIGHTED_EXPONENTIAL };
enum { KEEP_WARM_FIXED, KEEP_WARM_LEARNED };
enum { METRICS_BY_REVISION, METRICS_BY_SERVICE };
enum { DRIVER_PROCESS, DRIVER_KUBERNETES };
enum { RULE_WAKE, RULE_SERVE_ONLY, RULE_ANSWER };
enum { PROTOCOL_HTTP1, PROTOCOL_H2C };
enum { FOREIGN_RESPECT, FOREIGN_OVERRULE };
enum { VISIBILITY_PUBLIC, VISIBILITY_LOCAL };
enum { TLS_1_2, TLS_1_3 };
enum { RELOAD_AUTO, RELOAD_YES, RELOAD_NO };
enum { CLIENT_REQUIRED, CLIENT_OPTIONAL };
enum { REQUEST_ID_PASS, REQUEST_ID_KEEP, REQUEST_ID_TRUSTED, REQUEST_ID_NEW };
enum { TRACE_TRUSTED, TRACE_ALL, TRACE_NONE };
enum { ACCESS_OFF, ACCESS_COMBINED, ACCESS_JSON, ACCESS_FORMAT };

/* The settings of a revision that the activator uses; the link carries them. */
struct limits {
	uint32_t max_requests;		/* of an instance, in its life; 0: any number */
	uint32_t container_concurrency; /* 0: none */
	int64_t activation_timeout;
	uint32_t max_parked;	/* of this revision; 0: bounded by the connections alone */
	uint32_t release_burst; /* in targets: parked requests released at once to an instance */
	bool half_close;
	bool server_timing;

	int64_t head_timeout; /* client: the whole head */
	int64_t idle_timeout; /* client: between requests */
	int64_t body_timeout; /* client: silence within a body, in either direction */
	int64_t connect_timeout;
	int64_t probe_timeout;
	int64_t response_timeout;	/* instance: until the head of the response */
	int64_t response_start_timeout; /* from arrival to the head of the response; 0: none */
	int64_t stall_timeout;		/* instance: silence within the body of the response */
	int64_t request_timeout;	/* from the head to the end of the response; 0: none */
	int64_t tunnel_timeout;		/* after 101: silence in both directions */
	int64_t tunnel_max_lifetime;	/* from 101 on; 0: none */
	int64_t tcp_user_timeout;	/* after 101, and of HTTP/2 to instances; 0: the kernel's */
	int64_t abort_timeout;
	int64_t upstream_idle_timeout; /* of a pooled connection; below the instance's own */

	uint32_t max_head; /* bytes of a head, of a request or a response */
	uint32_t max_fields;
	uint32_t requests_per_connection; /* 0: no limit */

	int probe;	  /* PROBE_* */
	char *probe_text; /* PROBE_HTTP: "/healthz"; PROBE_GRPC: "grpc" or "grpc:NAME"; else NULL */
	bool via;	  /* add a Via field */
	bool knative_headers; /* http/knative.h */

	int request_id;	     /* REQUEST_ID_* */
	double trace_sample; /* percent */
	int trace_follow;    /* TRACE_* */

	int access_log;		 /* ACCESS_* */
	char *access_log_format; /* of ACCESS_FORMAT */
	uint32_t access_log_sample;
	bool access_log_query; /* lines have the query of the target, too */

	int protocol;	     /* PROTOCOL_*: that the instances speak */
	bool upstream_tls;   /* the instances speak TLS */
	char *upstream_ca;   /* file; NULL: the authorities of the system */
	char *upstream_name; /* in the instance's certificate; NULL: its address */
	char *upstream_certificate, *upstream_key; /* files; NULL: none; the key is in the first */
};

/* The settings of a revision that the decision uses. */
struct scaling {
	int metric;    /* METRIC_* */
	double target; /* for each instance; 0: container_concurrency, else 100 (rps: 200) */
	double target_utilization;     /* percent */
	uint32_t min_scale, max_scale; /* max 0: no limit */
	uint32_t initial_scale, activation_scale;
	bool enable_scale_to_zero;
	int64_t stable_window;
	double panic_window_percentage, panic_threshold_percentage;
	bool panic_hold; /* a panic lasts a stable window at least, as with Knative */
	double max_scale_up_rate, max_scale_down_rate;
	int64_t scale_down_delay;
	int64_t scale_to_zero_grace;
	int64_t retention;    /* of the last instance, from when its revision became idle */
	int64_t max_lifetime; /* of an instance; 0: none */
	double max_surge;     /* percent of the wanted number, while instances are replaced */
	int aggregation;      /* AGGREGATION_* */
	int slow_brain;	      /* SLOW_* */
	int keep_warm;	      /* KEEP_WARM_* */
	double wait_cost;     /* instance-seconds that a second of one request's waiting is worth */
	int64_t keep_least;   /* with KEEP_WARM_LEARNED, of the last instance */
	bool dry_run;
};

/* How an instance is started and stopped. */
struct launch {
	/* driver process */
	struct str_list command;
	char *directory;	     /* NULL: the autoscaler's */
	struct str_list environment; /* "NAME=value" */
	char *user;		     /* NULL: the autoscaler's */
	int64_t stop_timeout;
	struct str_list stop_command; /* empty: SIGTERM */
	char *pid_file;		      /* NULL: none */
	int64_t refusal_timeout;
	char *liveness; /* "tcp", "grpc", "grpc:NAME" or a path; NULL: no checks */
	int64_t liveness_period, liveness_timeout;
	uint32_t liveness_threshold;
	/* either driver */
	int64_t drain_timeout; /* of one instance */
	int64_t start_timeout; /* 0: none */
	struct str_list addresses;
	int64_t resolve_interval; /* of the names in addresses */
	/* driver kubernetes */
	char *deployment; /* "namespace/name" */
	char *workload;	  /* "group/version/Kind/namespace/name" */
	char *port;	  /* number or name */
	int64_t failure_patience, unschedulable_patience;
	int foreign_scale;    /* FOREIGN_*: when another writer changes the replicas */
	int64_t foreign_hold; /* ns; 0: for ever */
	bool state_annotation;
};

struct schedule {
	char *name;
	char *cron, *time_zone;
	int64_t duration;
	uint32_t min_scale;
};

struct revision_conf {
	char *name;	 /* "v1" */
	char *full_name; /* "hello/v1" */
	unsigned line;	 /* of the section in the file */
	struct limits limits;
	struct scaling scaling;
	struct launch launch;
	struct schedule *schedules;
	size_t schedules_n;
	struct settings_origins origins;
};

struct traffic_conf {
	char *revision; /* its name without the service */
	char *service;	/* the one that has it; NULL: this one.  Only Knative's Routes name others.
			 */
	uint32_t percent;
	uint32_t latest; /* of percent: moves to the next revision that is deployed (store) */
	uint32_t weight; /* of sticky clients, in a rollout; all of a service are 0: as percent */
	char *tag;	 /* NULL: none */
	/* The tag's own hosts; both empty: TAG-HOST for each host.  Only of Knative's Routes. */
	struct str_list hosts, local_hosts; /* local: as those of the service */
};

/* The first rule that matches a request holds for it.  NULL and empty members match all. */
struct rule_conf {
	char *name;
	int action;			/* RULE_* */
	struct str_list methods, paths; /* path prefixes of whole segments */
	char *header, *contains;	/* a field's name, and a part of its value in any case */
	struct str_list clients;	/* networks */
	/* of RULE_ANSWER */
	uint32_t status;
	char *body;
	struct str_list fields; /* "name: value" */
};

struct service_conf {
	char *name;
	unsigned line;
	struct str_list hosts, paths; /* paths empty: "/" */
	int visibility;		      /* VISIBILITY_*: LOCAL: at listeners with is_local alone */
	/* Further hosts, at such listeners alone (only of Knative's Routes). */
	struct str_list local_hosts;
	char *match_header, *match_value; /* only requests with this field and value; NULL: all */
	char *sticky;			  /* "cookie:NAME", "header:NAME" or NULL */
	char *waiting_page;		  /* NULL: none; "default"; or a file */
	bool redirect_https;
	bool knative_tag_header;   /* Knative-Serving-Tag chooses as x-activator-tag does */
	char *owner, *cost_center; /* NULL: none */
	/* "NS/KIND/NAME" of Knative's object that it was made of, KIND being service, route or
	 * configuration; NULL: of none. */
	char *knative;
	struct rule_conf *rules;
	size_t rules_n;
	/* Never empty, and percents sum to 100; but a service of Knative's objects whose revisions
	 * no Route names has neither hosts nor traffic, and one of a Route may have no revisions.
	 */
	struct traffic_conf *traffic;
	size_t traffic_n;
	struct revision_conf *revisions;
	size_t revisions_n;
	struct settings_origins origins; /* of GROUP_SERVICE */
	/* Who has changed the platform's object that describes it, as the platform says; borrowed
	 * from the driver for the call that returns the service.  NULL: unknown, or it is none. */
	const char *changed_by;
};

/* A certificate of the activator, for clients that ask for one of its names. */
struct certificate_conf {
	char *name;
	unsigned line;
	char *chain;		/* file: the certificate, then those of its issuers */
	char *key;		/* file; NULL: that of chain */
	char *client_ca;	/* file; NULL: clients need no certificate */
	int client_certificate; /* CLIENT_* */
	struct settings_origins origins;
};

/* What an owner of services may have. */
struct owner_conf {
	char *name;
	unsigned line;
	uint32_t max_instances; /* of all its services; 0: no bound */
	struct settings_origins origins;
};

struct activator_conf {
	struct str_list listen;
	struct listen_spec *listeners; /* the entries of listen, parsed */
	size_t listeners_n;
	char *listen_mode; /* of the Unix sockets, octal */
	char *admin;
	uint32_t workers;		 /* 0: one for each core */
	uint32_t max_connections;	 /* 0: the limit of descriptors less fd_reserve */
	uint32_t connections_per_client; /* 0: no limit */
	uint32_t fd_reserve;
	bool batch;
	int64_t tcp_keepalive; /* 0: off */
	bool trace;
	uint32_t max_parked; /* of all revisions; 0: bounded by the connections alone */
	uint64_t max_parked_bytes;
	bool http2; /* what follows is for its connections */
	uint32_t h2_streams;
	uint32_t h2_window, h2_stream_window; /* bytes: without a slot, with one */
	uint32_t h2_header_list;
	uint32_t h2_glitches, h2_glitch_rate; /* rate: a second */
	uint32_t h2_abandoned;
	uint64_t max_stream_bytes; /* of connections and bodies */
	int64_t drain_timeout, upgrade_timeout;
	struct str_list trusted_proxies;       /* networks */
	struct certificate_conf *certificates; /* the first is that of clients that name no host */
	size_t certificates_n;
	int tls_min_version; /* TLS_1_* */
	char *tls_ciphers, *tls_groups;
	int64_t tls_handshake_timeout, tls_handshake_budget, tls_ticket_rotation, certificate_check;
	uint32_t tls_handshakes;
	uint32_t https_port;
	char *trace_collector;	       /* "http://HOST:PORT/PATH", or https; NULL: none */
	char *trace_collector_ca;      /* NULL: the authorities of the system */
	char *access_log_file;	       /* a path, "stdout" or "unix:/path" */
	uint64_t access_log_max_bytes; /* of a file; 0: no bound */
	char *audit_file;	       /* NULL or "": none */
	uint64_t audit_max_bytes;      /* 0: no bound */
	struct limits limits;	       /* until the service of a request is known */
};

struct autoscaler_conf {
	int driver; /* DRIVER_* */
	char *admin;
	uint32_t max_instances;		/* of all revisions; 0: see settings_max_instances() */
	uint32_t port_first, port_last; /* of the instances of driver process */
	int64_t orphan_timeout;
	uint64_t output_bytes, output_bytes_total; /* of lines that the keeper keeps */
	int64_t share_quantum;
	uint32_t usage_days; /* 0: no journal */
	uint64_t usage_max_bytes;
	double instance_hour_price; /* 0: unknown */
	char *audit_file;	    /* NULL: audit.log in state_dir; "": none */
	uint64_t audit_max_bytes;   /* 0: no bound */
	/* of the revisions of the store that have neither traffic nor a tag */
	int64_t retain_since_create_time, retain_since_last_active_time; /* 0: does not count */
	uint32_t min_non_active_revisions, max_non_active_revisions;
	/* kubernetes */
	char *lease_name;	    /* "namespace/name"; NULL: none */
	char *kubeconfig;	    /* NULL: the pod's service account, else $KUBECONFIG */
	struct str_list namespaces; /* watched for annotations; empty: none */
	char *namespace_selector;
	struct str_list allow_hosts; /* "NAMESPACE=HOST"; empty: any namespace may use any host */
	bool knative;		     /* the controllers of autoscaler/knative run */
	char *knative_address; /* where Services of Knative's Routes point to; NULL: the default */
	/* for revisions without settings of their own */
	struct scaling scaling;
	struct launch launch;
};

struct settings {
	char *file;
	uint64_t digest; /* file_digest() of the bytes that were read */
	char *socket;
	char *control_socket; /* NULL: as control_socket_path() has it */
	char *control_group;  /* NULL: none */
	char *state_dir;
	int log_level, log_format;
	int reload_on_change; /* RELOAD_* */
	int metrics_by;	      /* METRICS_BY_* */
	bool metrics_idle;
	struct activator_conf activator;
	struct autoscaler_conf autoscaler;
	struct owner_conf *owners;
	size_t owners_n;
	struct service_conf *services;
	size_t services_n;
	struct settings_origins origins; /* of all members but services */
};

/* The mistakes of a file in its order: the first twenty, and a line with the number of
 * those that follow. */
struct settings_errors {
	char **lines; /* "FILE:LINE: key: expected …, got …" */
	size_t n;
};
void settings_errors_add(struct settings_errors *, const char *line);
void settings_errors_free(struct settings_errors *);
/* Put `FILE:LINE: KEY: ` before the text: the value of this key of a section cannot be used.
 * Returns -1. */
int settings_err_at(const struct settings *, const char *key, unsigned section, struct err *);

/* Read and check the file; nothing else is touched.  NULL if there is a mistake; errors then
 * has a line at least.  Thread: one call at a time in a process. */
NODISCARD struct settings *settings_load(const char *file, struct settings_errors *);
/* As settings_load(), from these n bytes; messages call them `file`. */
NODISCARD struct settings *settings_load_bytes(const char *file, const char *bytes, size_t n,
					       struct settings_errors *);
void settings_free(struct settings **);

/* Load a service that does not come from the conf file, such as an annotated Deployment: a
 * section of kind IN_SERVICE that contains its revisions, like those of conf_read().  Keys
 * that it does not set are as in `base`.  It is checked like a section of the file; NULL if
 * there is a mistake, which is added to errors with the line that the section gives. */
struct conf_errors;
struct conf_section;
NODISCARD struct service_conf *settings_load_service(const struct settings *base,
						     struct conf_section *, struct conf_errors *);
void settings_service_free(struct service_conf **);

/* Does a key of GROUP_LAUNCH have an effect on instances that are started in this way? */
bool launch_key_applies(const struct key *, const struct launch *);

/* The settings in effect as the text of a conf file, with a comment behind each value that
 * says where it was set (`-T`).  Loaded again it is the same settings. */
struct strbuf;
void settings_dump(const struct settings *, struct strbuf *);

/* May a reload replace old by new?  -1 if a key differs that only a restart can change, with
 * a line "FILE:LINE: key: …" in errors for each ("FILE: key: …" if its default applies now).  Looks
 * at the top level and at the sections in where (IN_ACTIVATOR, IN_AUTOSCALER). */
NODISCARD int settings_check_reload(const struct settings *old, const struct settings *now,
				    unsigned where, struct settings_errors *);

/* The most instances that all revisions together may have; 0: no limit.  It is max_instances;
 * if that is 0 and the instances share this machine (driver process), eight for each core. */
uint32_t settings_max_instances(const struct settings *);

void rule_conf_copy(struct rule_conf *to, const struct rule_conf *from);
void rule_conf_fini(struct rule_conf *);

/* Set each limit to its default. */
void limits_default(struct limits *);
void limits_copy(struct limits *to, const struct limits *from);
void limits_fini(struct limits *);

#endif
