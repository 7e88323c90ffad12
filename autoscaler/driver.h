/* driver - who starts, stops and sizes instances.  A driver knows nothing of
 * windows or policy: it is told how many instances a revision shall have, and says
 * what there is.  Everything is asynchronous (no upcall from inside a call),
 * idempotent and level-triggered: the newest wish wins, and is retried with
 * back-off until it is true or another one comes.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_DRIVER_H
#define AUTOSCALER_DRIVER_H

#include "common/msg.h"

struct loop;
struct settings;

struct driver_instance {
	char *id;      /* never used for a second instance; survives a restart of ours */
	char *address; /* NULL while it has none */
	uint16_t port;
	char *probe; /* as msg_instance.probe; NULL: as the limits say */
	enum instance_state state;
	int64_t started_ns; /* clk_now() of its start; 0: unknown (adopted) */
	/* When fewer are wanted, the platform takes those with the highest number first,
	 * whoever is asked for (a StatefulSet's ordinals); 0: it takes whom we name. */
	uint32_t goes_first;
	double cpu_s;	       /* CPU seconds used so far; < 0: unknown */
	uint64_t memory_bytes; /* resident; 0: unknown */
};

/* What a driver sees of one revision; borrowed for the upcall. */
struct driver_view {
	const char *revision; /* full name */
	bool is_known;	      /* false: it has not seen the world yet */
	const struct driver_instance *v;
	size_t n;
	const struct msg_failure *failure; /* NULL: none */
	/* The platform keeps the number of instances itself (kubernetes): what it is. */
	bool has_scale;
	uint32_t scale;
	/* Somebody else has set it, and that is respected: wishes are not carried out, but
	 * to zero and from there. */
	bool is_held;
};

/* A busy lease weighs more than any number of requests, which is cut at this. */
#define DRIVER_LEASE_LOAD UINT32_C(1000000)

struct driver_ops {
	/* Something of it changed. */
	void (*on_view)(const struct driver_view *, void *arg);
	/* driver->close() is done; the driver is freed by its driver_close(). */
	void (*on_closed)(void *arg);
	/* Services that the driver found by itself (kubernetes: annotations) changed;
	 * the caller takes them by class->services(). */
	void (*on_services)(void *arg);
	/* What would be lost with this instance now: its requests in flight at all activators,
	 * by their last word, and DRIVER_LEASE_LOAD more while it holds a busy lease.  A
	 * question, asked at a scale-down; it changes nothing and calls nothing back. */
	uint32_t (*load)(const char *id, void *arg);
};

struct driver {
	const struct driver_class *class;
	const struct driver_ops *ops;
	void *arg;
};

/* What a driver has asked of its platform since it was opened. */
struct driver_counts {
	uint64_t requests;
	uint64_t errors;   /* that brought no answer */
	uint64_t refusals; /* that brought a 4xx or 5xx */
	uint64_t events;   /* that watches told */
	uint64_t lists;	   /* times that a kind of object was told whole */
	uint64_t watches;  /* times that a watch was begun where one had ended */
	uint64_t foreign;  /* changes of a scale by another hand */
};

struct driver_class {
	const char *name;
	/* Instances are its own: those of a revision that is gone are ended.  (Where false,
	 * what the conf file names no more is left alone.) */
	bool is_owner;
	/* ops, arg and settings are borrowed until on_closed. */
	struct driver *(*open)(struct loop *, const struct settings *, const struct driver_ops *,
			       void *arg, struct err *);
	/* The revisions that there are from now on (at start, after a reload); those
	 * that are gone are stopped.  What v points to is borrowed until the next call
	 * has returned, or on_closed. */
	void (*set_revisions)(struct driver *, const struct revision_conf *const *v, size_t n);
	/* Let revision have n instances.  victims are ids, best first: those that have
	 * been drained and shall go if any goes. */
	void (*set_scale)(struct driver *, const char *revision, uint32_t n,
			  const char *const *victims, size_t victims_n);
	/* Told by an activator: the instance answers (it counts as having been ready). */
	void (*instance_answers)(struct driver *, const char *id);
	/* Orderly end.  stop_all: end all instances first (process), each within its
	 * stop_timeout.  on_closed when done. */
	void (*close)(struct driver *, bool stop_all);
	/* May be NULL.  Services found by the driver itself, under the settings that hold now;
	 * borrowed until after the next call.  NULL: it has not seen the world yet. */
	const struct service_conf *(*services)(struct driver *, const struct settings *, size_t *n);
	/* May be NULL. */
	void (*counts)(struct driver *, struct driver_counts *);
};

/* driver_addresses: revisions with `addresses`, which run elsewhere; always there. */
extern const struct driver_class driver_process, driver_kubernetes, driver_addresses;

#endif
