/* election - takes part in the election of a leader by a Lease on a cluster: lease.h with its
 * requests, its watch and its clock.  It has a connection of its own to the API server, so that no
 * other request delays a renewal.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_REPLICAS_ELECTION_H
#define AUTOSCALER_REPLICAS_ELECTION_H

#include "autoscaler/replicas/lease.h"
#include "common/err.h"

struct election; /* opaque */
struct loop;

struct election_conf {
	const char *kubeconfig; /* as the key; NULL: as kube_config_load() */
	const char *ns, *name;	/* of the Lease */
	const char *id;		/* as lease_conf.id */
};

struct election_ops {
	/* election_standing(), the holder or the term has changed.  Never called from within a
	 * function of election; may call election_close(). */
	void (*on_change)(void *arg);
};

/* conf is copied; ops and arg are borrowed.  NULL with err. */
NODISCARD struct election *election_open(struct loop *, const struct election_conf *,
					 const struct election_ops *, void *arg, struct err *);
/* A Lease that was not released is taken by another replica when its duration is over. */
void election_close(struct election **);

/* Ask it just before each act of a leader. */
bool election_may_decide(const struct election *);
enum lease_standing election_standing(const struct election *);
uint64_t election_term(const struct election *);      /* as lease_term() */
const char *election_holder(const struct election *); /* as lease_holder() */
/* The next leader begins at once.  Call it when all writes have ended; it runs rounds of the loop
 * until the Lease is released, or most_ns have passed. */
void election_release(struct election *, int64_t most_ns);

#endif
