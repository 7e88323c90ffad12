/* settings - what the conf file says, as plain data, and as a table of keys that
 * parsing, the reference conf, the link and the docs all read (keys.def).
 * Everything is resolved here: a revision's structs hold the values it really has
 * after revision → service → activator/autoscaler → default.
 * Durations are int64 ns (0: off where the key says so), sizes are bytes.
 * Thread: immutable once loaded. */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include "common/addr.h"
#include "common/err.h"
#include "common/settings_keys.h"
#include "common/settings_origins.h"
#include "common/str_list.h"

enum { PROBE_TCP, PROBE_HTTP, PROBE_READINESS };
enum { SLOW_OFF, SLOW_OBSERVE, SLOW_ON };
enum { METRIC_CONCURRENCY, METRIC_RPS };
enum { AGGREGATION_LINEAR, AGGREGATION_WEIGHTED_EXPONENTIAL };
enum { KEEP_WARM_FIXED, KEEP_WARM_LEARNED };
enum { DRIVER_PROCESS, DRIVER_KUBERNETES };
enum { RULE_WAKE, RULE_SERVE_ONLY, RULE_ANSWER };
enum { FOREIGN_RESPECT, FOREIGN_OVERRULE };

/* What the activator needs to know of a revision; sent over the link, key by key. */
struct limits {
	uint32_t container_concurrency; /* 0: none */
	int64_t activation_timeout;
	uint32_t max_parked;	/* of this revision; 0: as many as connections */
	uint32_t release_burst; /* times target, for paced release */
	bool half_close;
	bool server_timing;

	int64_t head_timeout; /* client: whole head */
	int64_t idle_timeout; /* client: between requests */
	int64_t body_timeout; /* client: silence inside a body, either way */
	int64_t connect_timeout;
	int64_t response_timeout; /* instance: until the response head */
	int64_t stall_timeout;	  /* instance: silence inside the response body */
	int64_t request_timeout;  /* all of it; 0: none */
	int64_t tunnel_timeout;	  /* after 101, both directions silent */
	int64_t abort_timeout;
	int64_t upstream_idle_timeout; /* pooled connection; keep below the instance's own */

	uint32_t max_head; /* bytes, either direction */
	uint32_t max_fields;
	uint32_t requests_per_connection; /* 0: no limit */

	int probe;	  /* PROBE_* */
	char *probe_path; /* PROBE_HTTP: "/healthz", else NULL */
	bool via;	  /* add a Via field */
};

/* What the autoscaler decides by. */
struct scaling {
	int metric;		   /* METRIC_* */
	double target;		   /* per instance; 0: container_concurrency, else 100 (rps: 200) */
	double target_utilization; /* percent */
	uint32_t min_scale, max_scale; /* max 0: no limit */
	uint32_t initial_scale, activation_scale;
	bool enable_scale_to_zero;
	int64_t stable_window;
	double panic_window_percentage, panic_threshold_percentage;
	bool panic_hold; /* leave panic only after a stable window, as Knative */
	double max_scale_up_rate, max_scale_down_rate;
	int64_t scale_down_delay;
	int64_t scale_to_zero_grace;
	int64_t retention; /* of the last instance, since its revision fell idle */
	int aggregation;   /* AGGREGATION_* */
	int slow_brain;	   /* SLOW_* */
	int keep_warm;	   /* KEEP_WARM_* */
	bool dry_run;
};

/* How an instance is started and stopped. */
struct launch {
	/* process */
	struct str_list command;
	char *directory;	     /* NULL: ours */
	struct str_list environment; /* "NAME=value" */
	char *user;		     /* NULL: ours */
	int64_t stop_timeout;
	/* elsewhere */
	struct str_list addresses;
	/* kubernetes */
	char *deployment; /* "namespace/name" */
	char *workload;	  /* "group/version/Kind/namespace/name" */
	char *port;	  /* number or name */
	int64_t failure_patience;
	int foreign_scale; /* FOREIGN_*: someone else's hand on the replicas */
};

struct schedule {
	char *name;
	char *cron, *time_zone;
	int64_t duration;
	uint32_t min_scale;
};

struct revision_conf {
	char *name;	 /* "v1" */
	char *full_name; /* "hello/v1": the name on the link */
	unsigned line;	 /* where it stands in the file */
	struct limits limits;
	struct scaling scaling;
	struct launch launch;
	struct schedule *schedules;
	size_t schedules_n;
	struct settings_origins origins;
};

struct traffic_conf {
	char *revision; /* short name; title of the section */
	uint32_t percent;
	char *tag; /* NULL: none */
};

/* First match wins.  NULL / empty members match everything. */
struct rule_conf {
	char *name;
	int action;			/* RULE_* */
	struct str_list methods, paths; /* path prefixes on segment borders */
	char *header, *contains;	/* field name, and what its value contains (any case) */
	struct str_list clients;	/* networks */
	/* RULE_ANSWER */
	uint32_t status;
	char *body;
	struct str_list fields; /* "name: value" */
};

struct service_conf {
	char *name;
	unsigned line;
	struct str_list hosts, paths;	  /* paths empty: "/" */
	char *match_header, *match_value; /* optional: route only where the field has the value */
	char *sticky;			  /* "cookie:NAME", "header:NAME" or NULL */
	char *waiting_page;		  /* NULL: none; "default"; or a file */
	struct rule_conf *rules;
	size_t rules_n;
	struct traffic_conf *traffic; /* never empty; percents sum to 100 */
	size_t traffic_n;
	struct revision_conf *revisions;
	size_t revisions_n;
	struct settings_origins origins; /* of its own keys */
};

struct activator_conf {
	struct str_list listen;
	char *admin;
	uint32_t workers;		 /* 0: one for each core */
	uint32_t max_connections;	 /* 0: descriptor limit less the reserve */
	uint32_t connections_per_client; /* 0: no limit */
	uint32_t fd_reserve;
	bool batch;
	bool trace;
	uint32_t max_parked; /* overall; 0: as many as connections */
	uint64_t max_parked_bytes;
	int64_t drain_timeout;
	struct str_list trusted_proxies; /* networks */
	struct limits limits;		 /* before a service is known */
};

struct autoscaler_conf {
	int driver; /* DRIVER_* */
	char *admin;
	uint32_t max_instances;		/* over all revisions; 0: none */
	uint32_t port_first, port_last; /* process: ports of the instances */
	int64_t orphan_timeout;
	int64_t drain_timeout; /* of one instance */
	/* kubernetes */
	char *kubeconfig;	    /* NULL: in the cluster, or $KUBECONFIG */
	struct str_list namespaces; /* watched for annotations; empty: none */
	char *namespace_selector;
	struct str_list allow_hosts; /* "NAMESPACE=HOST"; empty: any may claim any */
	/* Of revisions that do not say otherwise. */
	struct scaling scaling;
	struct launch launch;
};

struct settings {
	char *file;
	char *socket;
	char *state_dir;
	int log_level, log_format;
	struct activator_conf activator;
	struct autoscaler_conf autoscaler;
	struct service_conf *services;
	size_t services_n;
	struct settings_origins origins; /* of the top level, activator and autoscaler */
};

/* The mistakes that were found, in the order of the file: the first twenty, and a line
 * that says how many more there are. */
struct settings_errors {
	char **lines; /* "FILE:LINE: key: expected …, got …" */
	size_t n;
};
void settings_errors_free(struct settings_errors *);

/* Read and check the whole file; touches nothing but the file.  NULL on a mistake,
 * with at least one line in errors.  Thread: one at a time in a process. */
NODISCARD struct settings *settings_load(const char *file, struct settings_errors *);
/* As settings_load(), of n bytes at hand that are called `file`. */
NODISCARD struct settings *settings_load_bytes(const char *file, const char *bytes, size_t n,
					       struct settings_errors *);
void settings_free(struct settings **);

/* A service that does not stand in the file but is said otherwise (an annotated Deployment):
 * a section of kind IN_SERVICE with its revisions in it, as conf_read() makes them.  What
 * it leaves open is as in `base`.  Each value and the whole are checked as those of a
 * file; NULL: mistakes were added to errors, with the lines that the section says. */
struct conf_errors;
struct conf_section;
NODISCARD struct service_conf *settings_load_service(const struct settings *base,
						     struct conf_section *, struct conf_errors *);
void settings_service_free(struct service_conf **);

/* Whether a key of GROUP_LAUNCH does anything with that way to start. */
bool launch_key_applies(const struct key *, const struct launch *);

/* The settings in effect as the text of a conf file, with a comment behind each value that
 * says where it was set (`-T`).  Loaded again it is the same settings. */
struct strbuf;
void settings_dump(const struct settings *, struct strbuf *);

/* One line "FILE: key: …" in errors for each key of the top level and of the sections
 * in where (IN_ACTIVATOR, IN_AUTOSCALER) that differs and that a reload cannot change;
 * -1 if there is one.  errors is filled anew. */
NODISCARD int settings_restart_only(const struct settings *old, const struct settings *now,
				    unsigned where, struct settings_errors *);

/* The most instances that all revisions together may have: max_instances, or, where the file
 * leaves it open and instances share this machine (driver process), eight a core; 0: any
 * number. */
uint32_t settings_max_instances(const struct settings *);

void rule_conf_copy(struct rule_conf *to, const struct rule_conf *from);
void rule_conf_fini(struct rule_conf *);

/* The default limits, as a revision without any key would have them. */
void limits_default(struct limits *);
void limits_copy(struct limits *to, const struct limits *from);
void limits_fini(struct limits *);

#endif
