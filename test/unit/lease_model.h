/* lease_model - a model checker for leader election (autoscaler/replicas/lease.h).
 *
 * A seed is one interleaving.  Three replicas, each with a clock that differs by minutes from the
 * others' and runs a little faster or slower, share one Lease on a simulated API server.  Each step
 * is drawn from: time passes; a request reaches the server, late, even after its sender gave it
 * up or died; its answer comes, or is lost; a watch shows a version, late or never; the server is
 * away; a replica is stopped and goes on (SIGSTOP), is killed, starts anew, gives the Lease up;
 * somebody deletes the Lease; an activator reports a higher term.
 *
 * After each step:
 *  - At most one replica may decide.  This is what shares.h asks of its leaders.
 *  - Each leader's term is higher than that of the leader before.
 * Now and then all goes well for a while, and then:
 *  - One replica leads within 6 s, and goes on.
 * Tests only.  Thread: one. */
#ifndef TEST_UNIT_LEASE_MODEL_H
#define TEST_UNIT_LEASE_MODEL_H

#include "common/base.h"

/* A fault that is planted between the state machine and the world. */
enum lease_fault {
	LEASE_FAULT_NONE,
	LEASE_FAULT_CLOCK_SLEEPS,      /* a replica's clock stands still while it is stopped */
	LEASE_FAULT_NO_VERSION,	       /* the server carries out an update of an old version */
	LEASE_FAULT_CREATE_REPLACES,   /* … and a create of a Lease that there is */
	LEASE_FAULT_LOST_IS_DONE,      /* a lost answer is taken for a success */
	LEASE_FAULT_ANSWER_COUNTS,     /* a renewal counts from its answer */
	LEASE_FAULT_DURATION_UNHEEDED, /* replicas with other settings do not heed the holder's */
	LEASE_FAULT_DECIDES_RELEASED,  /* a replica that releases the Lease goes on deciding */
	LEASE_FAULT_N
};

struct lease_model_result {
	char failure[256]; /* "": none */
	uint64_t steps, leaders;
	int64_t wait_ns; /* the longest time without a leader while all went well */
};

/* Run the interleaving of a seed.  Its steps are written to trace (a FILE), if it is not NULL. */
void lease_model_run(uint64_t seed, enum lease_fault, void *trace, struct lease_model_result *);
const char *lease_fault_name(enum lease_fault);

#endif
