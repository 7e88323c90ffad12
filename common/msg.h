/* msg - the messages of the link, protocol version 1 (activator-protocol(7)): struct msg to and
 * from one line of JSON.  No I/O.  Unknown types and members are ignored; a member that is missing,
 * or of the wrong type or range, is an error that names it ("$.revisions[2].name").
 * Thread: any. */
#ifndef COMMON_MSG_H
#define COMMON_MSG_H

#include "common/cold_phases.h"
#include "common/err.h"
#include "common/settings.h"
#include "common/shares.h"

struct request_counts;
struct strbuf;
struct tally;

#define MSG_PROTOCOL 1
#define MSG_LINE_MAX ((size_t)1 << 20)	   /* bytes of a line, newline included */
#define MSG_HELD_MAX 16384		   /* instances in a shares_held */
#define MSG_DELAY_MS_MAX INT64_C(86400000) /* of retry_after_ms, cold_start_ms, oldest_ms */

#define MSG_TYPES(X)                                                                               \
	X(HELLO, hello)                                                                            \
	X(BEGIN, begin)                                                                            \
	X(SERVICE, service)                                                                        \
	X(END, end)                                                                                \
	X(INSTANCES, instances)                                                                    \
	X(ACTIVATE, activate)                                                                      \
	X(ACTIVATING, activating)                                                                  \
	X(STATS, stats)                                                                            \
	X(INSTANCE, instance)                                                                      \
	X(DRAIN, drain)                                                                            \
	X(DRAINED, drained)                                                                        \
	X(BUSY, busy)                                                                              \
	X(RESUME, resume)                                                                          \
	X(SHARES_HELD, shares_held)                                                                \
	X(WANT, want)                                                                              \
	X(LEAVING, leaving)                                                                        \
	X(SCALING, scaling)                                                                        \
	X(SWAPPED, swapped)                                                                        \
	X(COMMAND, command)                                                                        \
	X(RESULT, result)
enum msg_type {
	MSG_UNKNOWN, /* a type of a later version; the receiver ignores it */
#define X(id, name) MSG_##id,
	MSG_TYPES(X)
#undef X
};

enum msg_role { ROLE_ACTIVATOR, ROLE_AUTOSCALER, ROLE_CONTROL };
enum instance_state { INSTANCE_STARTING, INSTANCE_READY, INSTANCE_STOPPING };
enum instance_health { INSTANCE_ANSWERS, INSTANCE_REFUSES };

struct msg_hello {
	int protocol;
	enum msg_role role;
	char *id;	   /* unique to the process */
	char *version;	   /* of the program; NULL: unknown */
	bool has_shares;   /* the program knows shares (common/shares.h) */
	bool has_commands; /* an activator: it carries out `command` */
	bool has_spans;	   /* an activator: it makes a span of `scaling` */
	bool has_swaps;	   /* an activator: it sends `swapped` */
	uint64_t term;	   /* of an autoscaler with has_shares, from 1; else 0 */
	int64_t defaults;  /* msg_limits_digest() of an activator; 0: unknown */
};

struct msg_instance {
	char *id;
	char *address; /* "127.0.0.1", "::1", "unix:/path"; NULL: none yet */
	uint16_t port; /* 0: of a Unix socket */
	/* An IP address where it may listen, at the same port, instead of at `address`: what
	 * answers is used.  NULL: none. */
	char *alternate;
	/* "tcp", "tcp://:PORT", "/path", "http://:PORT/path" (followed by a line for each
	 * field), "ready" (the platform's word suffices), or NULL: as in the limits.  After an
	 * empty line a second one, made once the first has succeeded. */
	char *probe;
	enum instance_state state;
	/* With msg_instances.offer, unless the state is INSTANCE_STOPPING: as in share_item. */
	uint32_t slots; /* SHARE_KEEP: not on the wire */
	bool is_at_most;
	uint32_t uses; /* SHARE_NO_USES: not on the wire */
};

struct msg_failure {
	char *reason, *message; /* a word for programs, such as "exited"; a text for people */
	int64_t retry_after_ms;
	bool is_parking; /* it may pass: requests stay parked, and get it as answer if they time out
			  */
	bool is_gone;	 /* the service was removed; not on the wire */
	bool is_outage;	 /* the driver cannot start or see anything of it; not on the wire */
};

/* What share_offer has beside its items. */
struct msg_offer {
	uint64_t term, epoch;
	uint32_t limit, recall_idle, recall_due;
	bool is_shared, is_asking;
};

struct msg_instances {
	char *revision;	  /* "service/revision" */
	uint32_t wanted;  /* instances that the autoscaler wants now */
	double target;	  /* concurrency of an instance that it aims for; 0: unknown */
	bool is_known;	  /* false: the driver has no list yet, and `instances` is null */
	bool is_external; /* a revision of `addresses`, which is never scaled */
	struct msg_instance *v;
	size_t n;
	struct msg_failure *failure; /* NULL: none */
	int64_t cold_start_ms;	     /* the median of the last cold starts; 0: unknown */
	/* NULL: none.  Its items are the instances that are not stopping. */
	struct msg_offer *offer;
};

struct msg_held_instance {
	char *id;
	uint32_t slots; /* SHARE_ALL: any number; not on the wire */
	uint32_t uses;	/* SHARE_NO_USES: not on the wire */
	uint32_t used;
};

/* A share_report. */
struct msg_shares_held {
	char *revision;
	int64_t generation; /* of the newest `end` that came before */
	uint64_t term, epoch;
	bool is_complete;
	uint32_t owed_idle, owed_due;
	struct msg_held_instance *v;
	size_t n;
};

/* A share_want. */
struct msg_want {
	char *revision;
	uint64_t term, epoch;
	uint32_t slots;
	int64_t oldest_ms;
};

/* The autoscaler starts instances of the revision. */
struct msg_scaling {
	char *revision;
	uint32_t from, to;
	char *rule, *why; /* that made it so: for programs, and in words */
};

struct msg_traffic {
	char *revision; /* "service/revision" */
	uint32_t percent;
	uint32_t weight; /* of sticky clients; all of a service are 0: by the percents */
	char *tag;	 /* NULL: none */
	/* The tag's own hosts; both empty: TAG-HOST for each host of the service. */
	struct str_list hosts, local_hosts; /* local: as those of the service */
};

struct msg_revision {
	struct limits limits;
	struct msg_instances instances; /* at first; instances.revision is the name */
};

struct msg_service {
	char *name;
	struct str_list hosts;	     /* answered at all listeners */
	struct str_list local_hosts; /* answered at listeners with is_local alone */
	struct str_list paths;
	char *match_header, *match_value, *sticky, *waiting_page;
	bool redirect_https;
	bool knative_tag_header;
	bool is_brief; /* limits at their defaults are left out; not on the wire */
	struct rule_conf *rules;
	size_t rules_n;
	struct msg_traffic *traffic;
	size_t traffic_n;
	struct msg_revision *revisions;
	size_t revisions_n;
};

/* An instance as an activator sees it; a scale-down chooses instances by this. */
struct msg_stat_instance {
	char *id;
	uint32_t in_flight;
	double busy_s; /* the rest of its busy lease (x-activator-busy); 0: none */
};

/* A cold start as its first request saw it. */
struct msg_cold_start {
	int64_t ago_ms; /* when the response began */
	uint64_t phases_us[COLD_PHASES_N];
};

struct msg_stat {
	char *name;
	double concurrency; /* the time-weighted average over the period */
	double waiting;	    /* the part of it that was parked */
	uint32_t peak;
	uint64_t requests;  /* arrived in the period */
	uint32_t parked;    /* now */
	uint32_t in_flight; /* now */
	double latency_ms;  /* from sent to complete, the mean of the `completed` ones */
	uint64_t completed;
	/* before the period, while there was no link: in no other report */
	uint64_t missed_requests, missed_completed;
	struct tally *tally; /* since the activator has known the revision; NULL: not reported */
	/* since the last report, those without a link included; NULL: nothing */
	struct request_counts *counts;
	struct msg_cold_start *cold_start; /* the last one of the period; NULL: there was none */
	struct msg_stat_instance *v;
	size_t n;
};

/* A report may take several lines: all but the last are partial.  A revision that the whole
 * report does not list had nothing in flight, nothing parked and no request.  The line that
 * is sent when a revision wakes is partial too, and may have period_ms 0: it speaks of the
 * moment alone. */
struct msg_stats {
	int64_t period_ms; /* which concurrency, requests and completed cover; it ends now */
	bool is_partial;   /* more lines of this report follow */
	struct msg_stat *v;
	size_t n;
};

struct msg {
	enum msg_type type;
	union {
		struct msg_hello hello;
		struct {
			int64_t generation;
		} begin, swapped;
		struct msg_service service;
		struct {
			int64_t generation;
			uint32_t services;
		} end;
		struct msg_instances instances;
		struct {
			char *revision;
			uint32_t parked;
			uint64_t seq;
		} activate;
		struct {
			char *revision;
			uint64_t seq;
			uint32_t wanted;
		} activating;
		struct msg_stats stats;
		struct {
			char *id;
			enum instance_health state;
			bool has_served; /* a response of it has begun, now or earlier */
			uint32_t uses;	 /* requests that may still be sent there; SHARE_NO_USES:
					  * not on the wire */
		} instance;
		/* either revision or instance is set */
		struct {
			char *token, *revision, *instance;
		} drain;
		struct {
			char *token;
		} drained, busy, resume;
		struct msg_shares_held shares_held;
		struct msg_want want;
		struct msg_scaling scaling;
		/* activatorctl has asked for it */
		struct {
			char *token, *command; /* "reload", "upgrade" */
			/* of who has asked; 0, UINT32_MAX: unknown */
			int64_t pid;
			uint32_t uid, login_uid;
		} command;
		struct {
			char *token;
			bool is_done; /* false: it has failed, or is not known */
			char *text;   /* what was done, or why not; a line */
		} result;
	} u;
};

/* Append m as a line, without newline, to out.  The strings of m are borrowed. */
void msg_encode(const struct msg *m, struct strbuf *out);

/* Decode a line into m, for msg_fini(), also after an error.  0, or -1 with err. */
NODISCARD int msg_decode(struct msg *m, const char *line, size_t n, struct err *);
void msg_fini(struct msg *m);

const char *msg_type_name(enum msg_type);

#endif
