/* activation_span - the span of an activation, which is linked to the recorded requests that have
 * asked for it.  It has a trace of its own, because several requests share it, and is recorded when
 * one of them is.
 *
 * The first recorded request that is parked while no instance is open begins it, and later ones
 * join; each knows it from then on.  The main thread ends it: once an instance is open, or the
 * revision cannot be started, or none of these requests waits any more. */
#ifndef ACTIVATOR_ACTIVATION_SPAN_H
#define ACTIVATOR_ACTIVATION_SPAN_H

#include "activator/access/access_span.h"

struct access_log;
struct access_ring;
struct revision;

#define ACTIVATION_LINKS 32 /* requests that are linked; further ones are counted */

/* The request is parked, and may wake the revision.  fresh: random ids, for an activation that
 * begins.  False: an instance is open.  Otherwise *out is the span of the activation.
 * Thread: any. */
NODISCARD bool activation_span_join(struct revision *, const struct access_span_ref *request,
				    const struct access_span_ref *fresh, int64_t now_ns,
				    struct access_span_ref *out);

/* Its ids, and those of its linked requests, ACTIVATION_LINKS at most.  False: none is begun.
 * Thread: any. */
bool activation_span_copy(struct revision *, struct access_span_ref *self,
			  struct access_span_ref *links, size_t *n);

/* Where the main thread's spans go.  Borrowed; log NULL: there are none. */
struct span_port {
	struct access_log *log;
	struct access_ring *ring;
};

/* How it has ended. */
struct activation_span_end {
	const char *outcome;  /* "ready", "failed" or "given_up" */
	const char *reason;   /* of a failure, else NULL */
	const char *instance; /* that is open, else NULL */
	int64_t began_ns;     /* clk_now() when the demand was seen; 0: not known */
	int64_t now_ns;
	int64_t wall_minus_now_ns;
};

/* Has a recorded request asked for an activation that has not ended?  If so, the caller also sees
 * that the request was parked.  Thread: any. */
bool activation_span_is_begun(const struct revision *);
/* It has ended: write its span, or count it as lost.  Thread: main. */
void activation_span_put(struct revision *, struct access_ring *,
			 const struct activation_span_end *);
/* Has the activation ended for which recorded requests have asked?  If so, put its span.  demand:
 * requests that wait; wake_ns: clk_now() when the demand was seen; 0: not known.  Thread: main. */
void activation_span_look(struct revision *, const struct span_port *, uint32_t demand,
			  int64_t wake_ns);

#endif
