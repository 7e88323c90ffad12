/* decision_span - the span of a decision of the autoscaler that starts instances: by which rule,
 * and what came of it.  While an activation is recorded, it is a child of that activation's span,
 * and linked to the same requests; else it begins a trace.
 *
 * The autoscaler tells one activator of each decision (`scaling`).  The span ends once as many
 * instances answer here as were wanted, the revision cannot be started, or the autoscaler wants
 * fewer or more.
 * Thread: main. */
#ifndef ACTIVATOR_DECISION_SPAN_H
#define ACTIVATOR_DECISION_SPAN_H

#include "activator/activation_span.h"
#include "common/msg.h"

struct decision_span; /* opaque */

NODISCARD struct decision_span *decision_span_begin(struct revision *, const struct msg_scaling *);
/* Has it ended?  If so, write its span, or count it as lost, and null it. */
void decision_span_look(struct decision_span **, struct revision *, const struct span_port *);
/* It has ended; another one has begun (is_superseded), or nothing more is known of it.  NULL:
 * nothing. */
void decision_span_end(struct decision_span **, struct revision *, const struct span_port *,
		       bool is_superseded);

#endif
