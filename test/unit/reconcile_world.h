/* reconcile_world - the reconciler on simulated time, with fake activators and a fake driver.
 * The test decides what they send; what the reconciler sends them is recorded.  There is one
 * world at a time, with the revision a/v1, whose instances are i1, i2 …, and after
 * set_services(2, …) also b/v1. */
#ifndef TEST_UNIT_RECONCILE_WORLD_H
#define TEST_UNIT_RECONCILE_WORLD_H

#include "test/unit/unit.h"

#include "autoscaler/reconcile/reconcile.h"
#include "common/strbuf.h"

#define PEERS 4		 /* the activators have the serials 1 to 3 */
#define INSTANCES_MAX 40 /* made in one test */

/* An activator: what it reports, and how it answers drains. */
struct fake_peer {
	bool is_up, is_mute; /* is_mute: connected, but sends no reports */
	enum { SAYS_NOTHING, SAYS_DRAINED, SAYS_BUSY } answer;
	double concurrency;
	uint32_t parked, in_flight[INSTANCES_MAX]; /* at instance i%d */
};

struct fake_instance {
	int number; /* its id is "i" and the number */
	enum instance_state state;
	int64_t started_ns;
	bool is_spare, is_retired;
	char *probe, *address; /* NULL: the limits' probe; localhost */
};

struct world {
	int64_t now;
	struct reconcile *r;
	struct fake_peer peer[PEERS];
	struct strbuf out;    /* the lines sent to activators, each as "PEER LINE\n" */
	size_t answered;      /* bytes of `out` whose drains are answered */
	uint64_t raised_term; /* passed to term_raised() */
	char gone[40];	      /* ids passed to holder_gone(), each with a blank behind it */
	struct strbuf calls;  /* calls of set_scale(), each as "N[:victim,victim] " */
	/* the driver */
	struct driver driver;
	uint32_t scale; /* the last set_scale() */
	char victims[400];
	struct fake_instance v[INSTANCES_MAX];
	size_t n;
	int number;
	bool is_slow;	 /* does not carry out set_scale() */
	bool has_scale;	 /* the platform stores the scale, … */
	bool is_held;	 /* … which another client has set, so the view says */
	bool is_unready; /* new instances stay in `starting` */
	bool has_shares; /* activators that connect know shares … */
	bool has_spans;	 /* … and make spans */
	struct revision_conf conf, other;
	unsigned other_parked; /* for b/v1, as activator 1 reports */
};
extern struct world world;

/* --- the world; setup and teardown of each test --- */
int world_setup(void **state);
int world_teardown(void **state);
/* End the world that there is, and begin one whose driver has so many instances, but has not shown
 * them yet. */
void begin_world(size_t instances);
/* Set the first n of the services a and b. */
void set_services(size_t n, uint32_t max_instances);
/* Likewise, all of them of an owner. */
void set_owned_services(size_t n, uint32_t max_instances, const struct owner_conf *);
/* Scale up to n instances, by load at activator 1, and go past the time in which an
 * autoscaler that has just started does not scale down. */
void run_with(uint32_t n);
/* a/v1 has one instance, and this concurrency at activator 1; b/v1 has none. */
void use_a_beside_b(double concurrency);

/* --- what the driver shows --- */
void show_instances(const struct msg_failure *failure); /* those of a/v1 */
void show_no_instances(const char *revision);		/* of this revision */

/* --- activators --- */
void connect_peer(uint64_t peer);
void lose_peer(uint64_t peer);
void send_line(uint64_t peer, const char *line);
void answer_drain(uint64_t peer, const char *type, const char *token);
void activate(uint64_t peer, uint32_t parked); /* for a/v1; the requests stay parked */
void report(uint64_t peer);		       /* a report of what world.peer has */
/* Each connected activator answers its new drains as world.peer says. */
void answer_drains(void);

/* --- time --- */
/* Deliver messages, answers and driver events until there are none. */
void settle(void);
void second(void); /* reports, a tick, and settle() */
void seconds(unsigned n);

#define UNTIL(cond, most)                                                                          \
	do {                                                                                       \
		unsigned left_ = (most);                                                           \
		while (!(cond)) {                                                                  \
			if (left_-- == 0)                                                          \
				fail_msg("not within %u s: %s; calls: %s", (unsigned)(most),       \
					 #cond, strbuf_str(&world.calls));                         \
			second();                                                                  \
		}                                                                                  \
	} while (0)

/* --- what was sent --- */
bool was_sent(const char *text);
unsigned drains_sent(void);
void forget_sent(void); /* was_sent() and drains_sent() look only at later lines */
/* The token of the drain in this line. */
bool token_of(const char *line, char token[80]);

#endif
