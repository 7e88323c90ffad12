/* arrive - what a request is and where it goes, once its head has been read: it is refused,
 * answered by a rule or with the waiting page, or handed to dispatch.c to get a slot.
 * Thread: the worker's. */
#ifndef ACTIVATOR_ARRIVE_H
#define ACTIVATOR_ARRIVE_H

#include "common/base.h"

struct xfer;

/* w->head is what was parsed from buf[0..head_n); x->conn->in is what follows it. */
void arrive_request(struct xfer *, char *buf, size_t head_n);

#endif
