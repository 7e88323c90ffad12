/* explain - /why on the admin endpoint: what is wanted of a revision, by which rule, what
 * the slow brain, learned idleness and the calendar say, and the last decisions.  Text
 * for people; JSON for programs that accept it, or with format=json.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_EXPLAIN_H
#define AUTOSCALER_EXPLAIN_H

struct admin_request;
struct facts;

void explain_answer(struct admin_request *, const struct facts *);

#endif
