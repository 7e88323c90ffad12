/* fleet - the instances of one revision, as the driver `process` keeps books of them: how
 * many there should be (its scale), which there are (its members), and which to stop next.
 * No I/O, no clock.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_PROCESS_FLEET_H
#define AUTOSCALER_PROCESS_FLEET_H

#include "autoscaler/driver.h"
#include "autoscaler/keeper/crash.h"
#include "common/list.h"
#include "common/log.h"
#include "common/str_list.h"

enum member_phase {
	MEMBER_STARTING, /* the keeper was asked for it; exec has not been reported yet */
	MEMBER_RUNNING,
	MEMBER_STOPPING, /* we have asked the keeper to stop it */
	MEMBER_ENDED	 /* its first process has ended; its port is free when it is gone */
};

struct fleet;
struct instance_check;
struct process_driver;

struct member {
	struct list_node node;
	struct fleet *fleet;
	char *id;
	uint16_t port;
	pid_t pid; /* of its first process; 0: not known yet */
	enum member_phase phase;
	bool is_ready;	 /* an activator has reported that it answers, and none since that it
			  * refuses */
	bool has_served; /* it has answered a request */
	bool is_spent;	 /* it has had max_requests */
	/* It has ended with `status`, and seems to be running until it is known why: by then an
	 * activator says that it has had a request, if it had one.  0: it has not ended so. */
	int64_t verdict_ns;
	int status;
	bool is_gone;	  /* … and the keeper has no process of it any more */
	bool is_retired;  /* it waits to be drained and stopped, and does not count any more */
	int64_t ready_ns; /* when it was first reported to answer; 0: never */
	bool is_reported; /* the keeper has reported it since the last reconnect */
	int64_t started_ns;
	int64_t added_ns; /* when this process began to look after it */
	double cpu_s;	  /* CPU seconds used so far; < 0: unknown */
	uint64_t memory_bytes;
	char *launch;			 /* as fleet.launch when it started; NULL: not known */
	struct instance_check *liveness; /* while it is ready, where the conf file asks for it */
	struct instance_check *refusal;	 /* while it is said to refuse connections */
	struct log_tag tag;
};

struct fleet {
	struct list_node node;	       /* in the driver's list */
	struct process_driver *driver; /* borrowed */
	char *revision;
	const struct revision_conf *conf; /* NULL: it is not configured */
	char *launch;	/* what its instances are started with, as launch_text(); NULL: not known */
	bool has_scale; /* false: not set yet; start and stop nothing */
	uint32_t scale;
	struct str_list victims; /* ids */
	struct crash crash;
	bool is_waiting_for_port;
	uint16_t avoided_port; /* the port of the last member that ended before it was ready */
	struct list members;
	bool is_dirty; /* its view is to be published */
	struct driver_instance *view;
	size_t view_n;
};

NODISCARD struct fleet *fleet_new(const char *revision);
void fleet_free(struct fleet **);

/* From now on there should be n instances; the victims (ids, copied) are stopped first. */
void fleet_set_scale(struct fleet *, uint32_t n, const char *const *victims, size_t victims_n);

struct member *fleet_add(struct fleet *, const char *id, uint16_t port);
void fleet_remove(struct fleet *, struct member **);
struct member *fleet_find(const struct fleet *, const char *id);

/* A live member starts or runs, and is not retired.  An outdated one was started with another
 * command, environment, directory or user than the conf file has now.  All others are current:
 * they count towards the scale. */
uint32_t fleet_current(const struct fleet *);
uint32_t fleet_outdated(const struct fleet *);
/* How many outdated members have to go: those in whose place a current one is ready, or that the
 * scale has no place for. */
uint32_t fleet_excess(const struct fleet *);
/* How many current members there may be now: as many as the scale; while there are outdated
 * ones, a quarter of the scale (at least one) more in all; only one while instances end early
 * and none is proven. */
uint32_t fleet_permitted(const struct fleet *, int64_t now_ns);
/* Whether a live member is ready. */
bool fleet_has_ready(const struct fleet *);
/* Whether a current member has proven that the revision works. */
bool fleet_has_proven(const struct fleet *, int64_t now_ns);
enum crash_stage fleet_stage(const struct member *, int64_t now_ns);
/* The member to stop next among the current ones (among the outdated ones): the first victim,
 * else the youngest that is not ready, else the youngest.  NULL: there is none. */
struct member *fleet_next_victim(const struct fleet *, bool is_outdated);
bool fleet_is_victim(const struct member *); /* set_scale() has named it */

/* When the start of the member has taken too long; 0: it may take any time, or is over.
 * heard_ns: since when an activator has been connected, which would have reported that it
 * answers; 0: none is. */
int64_t fleet_start_deadline(const struct member *, int64_t heard_ns);
/* When something is due next that time alone brings about: the end of a back-off, a member that
 * is proven by then, the deadline of a start.  0: nothing. */
int64_t fleet_due_ns(const struct fleet *, int64_t heard_ns);

/* The fleet as driver_ops.on_view() shows it; borrowed until the next call or change.
 * is_known: the keeper has reported all its instances. */
struct driver_view fleet_view(struct fleet *, bool is_known);

#endif
