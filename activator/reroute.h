/* reroute - what becomes of parked requests whose revision gets no more requests by a new route
 * table: where the service has other revisions now, they wait for one of these, in their order
 * and with the deadline that they had; where no request is routed to the service any more, they
 * are answered as a new one is, with 404.  A revision that goes has no instances before long.
 * Thread: the worker's. */
#ifndef ACTIVATOR_REROUTE_H
#define ACTIVATOR_REROUTE_H

struct worker;

/* w->snapshot is new. */
void reroute_parked(struct worker *w);

#endif
