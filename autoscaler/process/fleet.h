/* fleet - the instances of one revision that are processes: how many there shall be,
 * what there is, and which is the next to go.  Bookkeeping only: no I/O, no clock.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_PROCESS_FLEET_H
#define AUTOSCALER_PROCESS_FLEET_H

#include "autoscaler/driver.h"
#include "autoscaler/keeper/crash.h"
#include "common/list.h"
#include "common/log.h"
#include "common/str_list.h"

enum member_phase {
	MEMBER_STARTING, /* asked for; its program has not been executed yet */
	MEMBER_RUNNING,
	MEMBER_STOPPING, /* told to end by us */
	MEMBER_ENDED	 /* its first process has; its port is free when it is gone */
};

struct fleet;

struct member {
	struct list_node node;
	struct fleet *fleet;
	char *id;
	uint16_t port;
	pid_t pid; /* 0: not known yet */
	enum member_phase phase;
	bool was_ready;	  /* an activator has said that it answers */
	bool is_reported; /* while a keeper tells what it has: told */
	int64_t started_ns;
	double cpu_s; /* < 0: unknown */
	uint64_t memory_bytes;
	struct log_tag tag;
};

struct fleet {
	struct list_node node; /* driver's */
	char *revision;
	const struct revision_conf *conf; /* NULL: it is no longer in the file */
	bool has_scale; /* false: nobody has said how many; all stay as they are */
	uint32_t scale;
	struct str_list victims; /* ids */
	struct crash crash;
	uint16_t avoided_port; /* of the last one that ended before it was ready */
	struct list members;
	bool is_dirty; /* a view of it is due */
	struct driver_instance *view;
	size_t view_n;
};

NODISCARD struct fleet *fleet_new(const char *revision);
void fleet_free(struct fleet **);

/* n instances from now on; the victims (copied) are those that shall go first. */
void fleet_set_scale(struct fleet *, uint32_t n, const char *const *victims, size_t victims_n);

struct member *fleet_add(struct fleet *, const char *id, uint16_t port);
void fleet_remove(struct fleet *, struct member **);
struct member *fleet_find(const struct fleet *, const char *id);

/* Those that count towards the scale: starting and running. */
uint32_t fleet_live(const struct fleet *);
/* How many of them there should be now: the scale; but while none has answered and the
 * last one ended before it could, one at a time is tried. */
uint32_t fleet_permitted(const struct fleet *);
/* Whether one of them has answered. */
bool fleet_has_ready(const struct fleet *);
/* The one to stop next: a victim, else the youngest that never answered, else the
 * youngest.  NULL: none is live. */
struct member *fleet_next_victim(const struct fleet *);

/* What the driver's owner sees; borrowed until the next call or change. */
struct driver_view fleet_view(struct fleet *, bool is_known);

#endif
