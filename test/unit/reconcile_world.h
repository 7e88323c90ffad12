/* reconcile_world - the rule on simulated time, between activators and a driver that do as
 * the test says: what they say goes in, what they are told is kept to be looked at.  One
 * world at a time: service a, revision v1, whose instances are i1, i2 …; b/v1 beside it
 * where set_services() has it. */
#ifndef TEST_UNIT_RECONCILE_WORLD_H
#define TEST_UNIT_RECONCILE_WORLD_H

#include "test/unit/unit.h"

#include "autoscaler/reconcile/reconcile.h"
#include "common/strbuf.h"

#define PEERS 4 /* serials 1 to 3 */
#define MOST 40 /* instances, in all */

/* One activator: what it reports, and how it answers drains. */
struct fake_peer {
	bool is_up, is_mute; /* mute: connected, reports nothing */
	enum { SAYS_NOTHING, SAYS_DRAINED, SAYS_BUSY } answer;
	double concurrency;
	uint32_t parked, in_flight[MOST]; /* at instance i%d */
};

struct fake_instance {
	int number; /* its id is i<number> */
	enum instance_state state;
	int64_t started_ns;
};

struct world {
	int64_t now;
	struct reconcile *r;
	struct fake_peer peer[PEERS];
	struct strbuf out;   /* what was sent, "PEER LINE\n" each */
	size_t answered;     /* of out: drains before it were answered */
	struct strbuf calls; /* set_scale: "N[:victim,victim] " */
	/* the driver */
	struct driver driver;
	uint32_t told;
	char victims[400];
	struct fake_instance v[MOST];
	size_t n;
	int number;
	bool is_slow;	 /* does not carry out what it is told */
	bool is_unready; /* new instances stay in `starting` */
	struct revision_conf conf, other;
	unsigned other_parked; /* at b/v1, as peer 1 reports */
};
extern struct world world;

/* --- the world; setup and teardown of each test --- */
int world_setup(void **state);
int world_teardown(void **state);
/* One whose driver has not been seen yet: it has that many instances. */
void begin_world(size_t instances);
/* The first n of a and b are there. */
void set_services(size_t n, uint32_t max_instances);
/* Up to n instances, by load at peer 1; past the time in which a young autoscaler does
 * not scale down. */
void run_with(uint32_t n);

/* --- the driver's word --- */
void tell_view(const struct msg_failure *failure); /* of a/v1 */
void tell_view_of(const char *revision);	   /* that it has nothing */

/* --- activators --- */
void connect_peer(uint64_t peer);
void lose_peer(uint64_t peer);
void say(uint64_t peer, const char *line);
void say_token(uint64_t peer, const char *type, const char *token);
void activate(uint64_t peer, uint32_t parked); /* for a/v1; it is parked from now on */
void report(uint64_t peer);		       /* what world.peer has of it */
/* All that are up answer the drains that they have not, as world.peer says. */
void answer_drains(void);

/* --- time --- */
/* What is under way gets where it leads: messages, answers, the driver. */
void round_of_news(void);
void second(void); /* reports, a tick, a round */
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
void forget_sent(void); /* from here on only what comes is looked at */
/* The token of the drain in this line. */
bool token_of(const char *line, char token[80]);

#endif
