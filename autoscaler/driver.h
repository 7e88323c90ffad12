/* driver - the interface to what runs instances: processes of this machine, Kubernetes, or a
 * list of addresses.  A driver is given how many instances each revision is to have, starts
 * and stops them, and reports what there is.  It knows nothing of windows or policy.
 * A driver never calls back from inside a call.  Its calls are idempotent: the newest scale
 * of a revision holds, and the driver retries with back-off until it is reached or replaced.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_DRIVER_H
#define AUTOSCALER_DRIVER_H

#include "autoscaler/rollout_question.h"
#include "common/msg.h"

struct loop;
struct settings;

struct driver_instance {
	char *id;      /* never used again; the same after a restart of the autoscaler */
	char *address; /* NULL: it has none yet */
	uint16_t port;
	char *alternate; /* as msg_instance.alternate */
	char *probe;	 /* as msg_instance.probe; NULL: the one of the revision's limits */
	enum instance_state state;
	/* It starts in place of another instance, which is still used: it is none more until it is
	 * ready. */
	bool is_spare;
	/* Another instance has taken its place, and the driver waits to stop it: drain it, and name
	 * it as a victim of set_scale(), whatever n is. */
	bool is_retired;
	int64_t started_ns; /* clk_now() of its start; 0: unknown */
	/* The platform removes the instance with the highest number first (a StatefulSet: by
	 * ordinal), whatever victims we name.  0: it removes the victims. */
	uint32_t removal_order;
	double cpu_s;	       /* CPU seconds used so far; < 0: unknown */
	uint64_t memory_bytes; /* resident; 0: unknown */
};

/* What a driver reports of one revision; borrowed for the callback. */
struct driver_view {
	const char *revision; /* full name */
	bool is_known;	      /* false: the driver has not read the platform's state yet */
	const struct driver_instance *v;
	size_t n;
	const struct msg_failure *failure; /* NULL: none */
	/* The platform stores the number of instances itself (kubernetes: spec.replicas): scale. */
	bool has_scale;
	uint32_t scale;
	/* Another controller or a person has set scale, and foreign_scale says to respect that.
	 * A number that set_scale() asks for after this view ends the hold; of one that was asked
	 * for before, the driver carries out only 0, and more than 0 where there are none. */
	bool is_held;
	const char *held_by; /* who has set scale, as the platform says; NULL: it does not say */
	/* Another controller or a person has set scale, and foreign_scale says to overrule that: so
	 * many times so far, and the number of the last time. */
	uint64_t overruled_n;
	uint32_t overruled_scale;
};

/* What a busy lease adds to an instance's load: more than its requests, which are cut at this. */
#define DRIVER_LEASE_LOAD UINT32_C(1000000)

/* A line that an instance wrote; or how many of its lines were lost. */
struct driver_output {
	const char *revision, *id;
	const char *text; /* NULL: `lost` lines were not passed on */
	uint64_t lost;
	int64_t wall_ms;     /* when it came; 0: unknown */
	uint64_t epoch, seq; /* its number; seq 0: unknown */
	uint64_t token;	     /* of the read_output() that it answers; 0: it came just now */
};

struct driver_ops {
	/* Something of the revision changed. */
	void (*on_view)(const struct driver_view *, void *arg);
	/* class->close() is done; the driver frees itself when this returns. */
	void (*on_closed)(void *arg);
	/* The services that the driver finds by itself (kubernetes: annotations) have changed:
	 * call class->services(). */
	void (*on_services)(void *arg);
	/* May be NULL: the driver stops such instances at once.  The driver has taken over
	 * instances of these revisions, which are not configured.  set_revisions() with them, as
	 * ones that are leaving, follows from inside this call; instances of the others are stopped
	 * after it. */
	void (*on_unconfigured)(const char *const *revisions, size_t n, void *arg);
	/* What would be lost with this instance now: its requests in flight at all activators,
	 * by their last reports, and DRIVER_LEASE_LOAD more while it holds a busy lease.  The
	 * driver asks at a scale-down; may be called from inside a call, and calls nothing. */
	uint32_t (*load)(const char *id, void *arg);
	/* May be NULL.  Since when at least one activator has been connected without a break, which
	 * reports the instances that answer; 0: none is.  May be called from inside a call. */
	int64_t (*heard_since)(void *arg);
	/* May be NULL.  Asked just before the driver writes to its platform (kubernetes): NULL: it
	 * may; else why not.  What it wanted to write is tried again, or decided anew. */
	const char *(*withhold)(void *arg);
	/* May be NULL.  May this rollout of a Route of Knative go on?  To be asked each second
	 * while it is under way.  *why, the caller's: why it has to end, or what is wrong with the
	 * question; else it stays as it is. */
	enum rollout_verdict (*judge)(const struct rollout_question *, char **why, void *arg);
	/* May be NULL.  An instance has written a line, or read_output() has found one. */
	void (*on_output)(const struct driver_output *, void *arg);
	/* May be NULL.  All lines of that read_output() were reported.  token 0: those that were
	 * under way have come to nothing, or it can be called again. */
	void (*on_output_end)(uint64_t token, void *arg);
};

struct driver {
	const struct driver_class *class;
	const struct driver_ops *ops;
	void *arg;
};

/* Counters since the driver was opened. */
struct driver_counts {
	uint64_t requests; /* to the platform's API */
	uint64_t errors;   /* requests that got no answer */
	uint64_t refusals; /* requests that got a 4xx or 5xx */
	uint64_t events;   /* changes that watches reported */
	uint64_t lists;	   /* times that all objects of a kind were listed */
	uint64_t watches;  /* watches begun, after a list or where one had ended */
	uint64_t foreign;  /* changes of a scale by another controller or a person */
};

struct driver_class {
	const char *name;
	/* The driver owns its instances: it stops those of a revision that is no longer
	 * configured.  False: it leaves them alone. */
	bool is_owner;
	/* ops and arg are borrowed until on_closed(), settings until then or use_settings().  NULL
	 * with err. */
	struct driver *(*open)(struct loop *, const struct settings *, const struct driver_ops *,
			       void *arg, struct err *);
	/* May be NULL: the driver uses none.  These settings are in effect from now on, in place of
	 * those before; set_revisions() follows.  Cannot fail. */
	void (*use_settings)(struct driver *, const struct settings *);
	/* All revisions that are configured from now on (at start, after a reload).  What v
	 * points to is borrowed until the next call has returned, or on_closed(). */
	void (*set_revisions)(struct driver *, const struct revision_conf *const *v, size_t n);
	/* The revision is to have n instances.  Stop the victims first: ids of drained instances,
	 * the best victim first.  A driver that chooses itself which instances go stops all of
	 * them, also if there are n without them; one whose platform chooses, only as many as have
	 * to go. */
	void (*set_scale)(struct driver *, const char *revision, uint32_t n,
			  const char *const *victims, size_t victims_n);
	/* An activator has reported that the instance answers: it was ready. */
	void (*instance_answers)(struct driver *, const char *id);
	/* May be NULL.  An activator has reported that the instance refuses connections. */
	void (*instance_refuses)(struct driver *, const char *id);
	/* May be NULL.  An activator has reported that the instance has answered a request. */
	void (*instance_served)(struct driver *, const char *id);
	/* May be NULL.  The instance has had max_requests: it may end by itself.  Or (!is_spent) it
	 * has not: a request could not be sent there. */
	void (*instance_spent)(struct driver *, const char *id, bool is_spent);
	/* Close, then call on_closed().  stop_all: stop all instances first if the driver owns
	 * them, each within its stop_timeout. */
	void (*close)(struct driver *, bool stop_all);
	/* May be NULL.  The services that the driver finds by itself, by the given settings;
	 * borrowed until the next call has returned.  NULL: not known yet. */
	const struct service_conf *(*services)(struct driver *, const struct settings *, size_t *n);
	/* May be NULL.  The number of what services() has returned last: a higher one for each
	 * answer that differs from the one before. */
	uint64_t (*services_serial)(struct driver *);
	/* May be NULL; needs services_serial().  What services() has returned with this number is
	 * in use in every activator that is connected and not leaving. */
	void (*routed)(struct driver *, uint64_t serial);
	/* May be NULL: the driver does not read what instances write.  Report the last lines that
	 * instances of these revisions wrote, behind the line `after` of that epoch (0, 0: all),
	 * and not before since_ms (wall clock): ops->on_output() for each, then
	 * ops->on_output_end().  token: > 0.  -1 with err: it cannot; EAGAIN: on_output_end(0)
	 * comes when it can. */
	int (*read_output)(struct driver *, const struct str_list *revisions, uint64_t token,
			   uint64_t epoch, uint64_t after, int64_t since_ms, struct err *);
	/* May be NULL. */
	void (*counts)(struct driver *, struct driver_counts *);
};

/* driver_addresses has the revisions with `addresses`: it starts and stops nothing. */
extern const struct driver_class driver_process, driver_kubernetes, driver_addresses;

#endif
