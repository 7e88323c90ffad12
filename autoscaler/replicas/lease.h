/* lease - leader election among replicas by one object of the API server, a Lease
 * (coordination.k8s.io).  The holder of the Lease leads: it alone decides and writes.
 *
 * It is a pure state machine: no clock, no I/O.  The caller puts in the time (clk_boot(): it runs
 * on while a machine sleeps), what a watch shows of the Lease, and how requests ended; it draws
 * requests, and asks lease_may_decide() just before everything that only a leader does.
 *
 * Why no two replicas decide at a time:
 *  - Each write names the resourceVersion that the writer has seen.  Of two writers one is refused.
 *  - The holder may decide for decide_ns after it SENT a renewal that succeeded.
 *  - Another replica takes the Lease only after it has seen no change for duration_ns, which is
 *    longer.  It saw the last renewal after the holder sent it.
 *  - Each replica compares times of its own clock alone, so that clocks may differ by any amount;
 *    they must run at about the same speed (decide_ns and duration_ns leave room for 2/5).
 *  - A Lease without a holder was released by a holder that had stopped deciding before.
 *  - Who creates the Lease decides only duration_ns later: there may have been one, which was
 *    deleted.
 * test/unit/t_lease_model.c runs replicas through every kind of interleaving.
 *
 * leaseTransitions is the term of the leader.  Each leader's term is higher than all before it,
 * also where somebody deletes the Lease, as far as a replica or an activator still knows of the
 * terms before (lease_raise_term()).
 *
 * Room: autoscaler/replicas makes several replicas on a cluster one: which of them leads (lease,
 * election).  It may use autoscaler/kube.  It knows no revision and no instance.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_REPLICAS_LEASE_H
#define AUTOSCALER_REPLICAS_LEASE_H

#include "common/base.h"

#define LEASE_TERM_MOST UINT64_C(2147483647) /* leaseTransitions is an int32 */

struct lease; /* opaque */

struct lease_conf {
	const char *id;	     /* of this process: no other has it, before or after */
	int64_t duration_ns; /* without a change for so long, another replica takes the Lease */
	int64_t renew_ns;    /* the holder sends a renewal so often */
	int64_t decide_ns;   /* and decides for so long after it; < duration_ns */
};

/* The Lease as the API server showed it.  Strings are copied where they are kept. */
struct lease_object {
	const char *version; /* resourceVersion: compared for equality alone */
	const char *holder;  /* "": none */
	uint64_t transitions;
	int64_t duration_ns; /* the holder's leaseDurationSeconds; 0: none */
};

enum lease_verb { LEASE_READ, LEASE_CREATE, LEASE_UPDATE };

/* A request that is to be sent now; strings are borrowed until it is answered. */
struct lease_request {
	enum lease_verb verb;
	const char *version; /* LEASE_UPDATE: that it bears */
	const char *holder;  /* to be written: the id, or "" to release it */
	uint64_t transitions;
	bool is_taken; /* the holder is another one than before: acquireTime is now */
};

/* How a request ended. */
enum lease_outcome {
	LEASE_DONE,	/* the answer shows the Lease */
	LEASE_ABSENT,	/* there is no Lease */
	LEASE_CONFLICT, /* it has changed meanwhile, or was created by another */
	LEASE_FAILED	/* refused; or no answer: it may have been carried out */
};

enum lease_standing {
	LEASE_UNKNOWN, /* the Lease was not seen yet, or nobody holds it */
	LEASE_FOLLOWS, /* another replica holds it */
	LEASE_LEADS,   /* this replica holds it, and may decide */
	LEASE_WAITS    /* this replica holds it, but may not decide: it has created it just now,
			* or could not renew it in time */
};

NODISCARD struct lease *lease_new(const struct lease_conf *);
void lease_free(struct lease **);

/* Is a request to be sent now?  True: send it, and report its end by lease_answered(), within
 * about duration_ns.  There is one at a time. */
NODISCARD bool lease_next(struct lease *, int64_t now_ns, struct lease_request *);
/* When to call lease_next() again if nothing happens before; INT64_MAX: never. */
int64_t lease_next_ns(const struct lease *);
/* The request has ended.  object: of LEASE_DONE, else NULL.  wait_ns: no other request before, as
 * the API server asks; 0: it asks for nothing. */
void lease_answered(struct lease *, enum lease_outcome, const struct lease_object *,
		    int64_t wait_ns, int64_t now_ns);
/* A watch shows the Lease; NULL: it was deleted, or a complete list has none.  It may be late. */
void lease_saw(struct lease *, const struct lease_object *, int64_t now_ns);

/* From now on this replica does not decide, and does not take the Lease; if it holds it, it gives
 * it to whoever is first.  Call it when no write that was decided on is under way any more. */
void lease_release(struct lease *, int64_t now_ns);
/* After lease_release(): is there nothing more to send or to wait for? */
bool lease_is_released(const struct lease *);

/* There was a leader with that term: lead under a higher one, or not at all.  False: no higher term
 * fits into leaseTransitions, and nothing has changed. */
NODISCARD bool lease_raise_term(struct lease *, uint64_t term);

/* Ask it just before each act of a leader: a process that was stopped for a while has lost its
 * Lease without noticing. */
bool lease_may_decide(const struct lease *, int64_t now_ns);
/* From when lease_may_decide() is false if no renewal succeeds; INT64_MIN: it is false. */
int64_t lease_decides_until_ns(const struct lease *);
/* When lease_may_decide() changes if nothing but time passes; INT64_MAX: it does not. */
int64_t lease_turns_ns(const struct lease *, int64_t now_ns);
enum lease_standing lease_standing(const struct lease *, int64_t now_ns);
const char *lease_standing_name(enum lease_standing);
/* Of this replica, while it holds the Lease; else 0. */
uint64_t lease_term(const struct lease *);
/* Who holds the Lease, as seen last; "": nobody, or it was not seen. */
const char *lease_holder(const struct lease *);
/* The term of that holder; 0: there is none. */
uint64_t lease_holder_term(const struct lease *);
/* Since when the Lease shows that holder without a change of it, by this replica's clock. */
int64_t lease_held_since_ns(const struct lease *);
/* Was another holder's Lease seen to change within its duration? */
bool lease_is_renewed_by_other(const struct lease *, int64_t now_ns);

#endif
