/* resolver - asks the system for the addresses of a name, as getaddrinfo(3) does: by
 * /etc/hosts, DNS and what nsswitch.conf says.  That blocks, for many seconds where a name
 * server is away, so that threads of the resolver's own do it, RESOLVER_THREADS at most.
 * Thread: the loop's. */
#ifndef AUTOSCALER_RESOLVER_H
#define AUTOSCALER_RESOLVER_H

#include "common/addr.h"

#define RESOLVER_THREADS 8

struct loop;
struct resolver;
struct resolver_query;

struct resolver_answer {
	struct addr *v; /* of the name, with port 0, each once, in a fixed order */
	size_t n;
	const char *error; /* NULL: none; else why there is no address, and n is 0 */
	/* There is an answer, namely that the name has no address.  Otherwise the question is
	 * open: the name servers did not answer, for example. */
	bool is_denied;
};
typedef void (*resolver_fn)(const struct resolver_answer *, void *arg);

NODISCARD struct resolver *resolver_new(struct loop *);
/* Forget all queries: none calls back any more.  A thread that waits for the system ends when
 * it gets its answer. */
void resolver_free(struct resolver **);

/* fn(answer, arg) is called once, from the loop; the answer is borrowed. */
struct resolver_query *resolver_ask(struct resolver *, const char *name, resolver_fn fn, void *arg);
/* Before it has called back: it will not.  *qp may be NULL. */
void resolver_cancel(struct resolver_query **qp);

#endif
