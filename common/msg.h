/* msg - protocol version 1 (DESIGN 7): struct msg to and from one JSON line.  No
 * I/O.  Unknown types and members are ignored; a member that is missing or of the
 * wrong type or range is an error that names it ("$.revisions[2].name").
 * `limits` of a revision travel as an object of its keys (settings_keys, group
 * GROUP_LIMITS: durations as whole ms named `key_ms`, else the plain name), so that
 * a new key needs no new code here.
 * Thread: any; a struct msg belongs to whoever decoded it. */
#ifndef COMMON_MSG_H
#define COMMON_MSG_H

#include "common/err.h"
#include "common/settings.h"

struct strbuf;

#define MSG_PROTOCOL 1
#define MSG_LINE_MAX ((size_t)1 << 20)	   /* bytes of a line, newline included */
#define MSG_DELAY_MS_MAX INT64_C(86400000) /* of a retry or a cold start */

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
	X(RESUME, resume)
enum msg_type {
	MSG_UNKNOWN, /* a type of a later version: to be ignored */
#define X(id, name) MSG_##id,
	MSG_TYPES(X)
#undef X
};

enum msg_role { ROLE_ACTIVATOR, ROLE_AUTOSCALER, ROLE_CONTROL };
enum instance_state { INSTANCE_STARTING, INSTANCE_READY, INSTANCE_STOPPING };
enum instance_word { INSTANCE_ANSWERS, INSTANCE_REFUSES };

struct msg_hello {
	int protocol;
	enum msg_role role;
	char *id;      /* unique per process */
	char *version; /* may be NULL */
};

struct msg_instance {
	char *id;
	char *address; /* "127.0.0.1", "::1"; NULL while it has none */
	uint16_t port;
	/* "tcp", "tcp://:PORT", "/path", "http://:PORT/path" (with a line for each field),
	 * "ready" (trust the platform), or NULL: as the limits say */
	char *probe;
	enum instance_state state;
};

struct msg_failure {
	char *reason, *message; /* reason: one word for programs, such as "exited" */
	int64_t retry_after_ms;
	bool is_parking; /* it may pass: requests are parked, and who waits in vain hears it */
};

struct msg_instances {
	char *revision;	  /* "service/revision" */
	uint32_t wanted;  /* instances that the autoscaler wants now */
	double target;	  /* concurrency per instance it aims for; 0: unknown */
	bool is_known;	  /* false: `instances` is null, the driver has not seen the world */
	bool is_external; /* revision of `addresses`: always there, never scaled */
	struct msg_instance *v;
	size_t n;
	struct msg_failure *failure; /* NULL: none */
	int64_t cold_start_ms;	     /* what the last cold starts took, median; 0: unknown */
};

struct msg_traffic {
	char *revision; /* full name */
	uint32_t percent;
	char *tag; /* NULL: none */
};

struct msg_revision {
	struct limits limits;
	struct msg_instances instances; /* its first state; .revision is the name */
};

struct msg_service {
	char *name;
	struct str_list hosts, paths;
	char *match_header, *match_value, *sticky, *waiting_page;
	struct rule_conf *rules;
	size_t rules_n;
	struct msg_traffic *traffic;
	size_t traffic_n;
	struct msg_revision *revisions;
	size_t revisions_n;
};

/* One instance as an activator sees it: what the choice on scale-down goes by. */
struct msg_stat_instance {
	char *id;
	uint32_t in_flight;
	double busy_s; /* what is left of a busy lease (x-activator-busy), 0: none */
};

struct msg_stat {
	char *name;
	double concurrency; /* time-weighted average over the period … */
	double waiting;	    /* … and the part of it that was parked */
	uint32_t peak;
	uint64_t requests;  /* that arrived in the period */
	uint32_t parked;    /* now */
	uint32_t in_flight; /* now */
	double latency_ms;  /* mean from sent to response complete, over `completed` */
	uint64_t completed;
	struct msg_stat_instance *v;
	size_t n;
};

/* A report may take several lines: all but the last are `partial`.  What the whole
 * report does not list had nothing in flight, nothing parked and no request.  A line
 * sent at once because a revision woke is partial too and may have period_ms 0: it
 * tells of the moment only. */
struct msg_stats {
	int64_t period_ms; /* that concurrency, requests and completed cover, up to now */
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
		} begin;
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
			enum instance_word state;
		} instance;
		/* exactly one of revision and instance is set */
		struct {
			char *token, *revision, *instance;
		} drain;
		struct {
			char *token;
		} drained, busy, resume;
	} u;
};

/* Append the line (no newline) to out.  Strings in m are borrowed. */
void msg_encode(const struct msg *m, struct strbuf *out);

/* 0, or -1 with err; m owns what it holds until msg_fini(), also after -1. */
NODISCARD int msg_decode(struct msg *m, const char *line, size_t n, struct err *);
void msg_fini(struct msg *m);

const char *msg_type_name(enum msg_type);

#endif
