/* request_counts - what the requests of one revision came to: how many arrived and how each ended,
 * the bytes of their bodies, and what cold starts cost.  Activators count it and send it in
 * `stats`; the autoscaler keeps it as usage.
 * Pure.  Thread: the owner. */
#ifndef COMMON_REQUEST_COUNTS_H
#define COMMON_REQUEST_COUNTS_H

#include "common/base.h"

/* How a request can end: X(id, name).  The name stands in `stats`, in the usage journal, at /usage
 * and in metrics.  An instance has answered those from 1XX to 5XX. */
#define REQUEST_ENDS(X)                                                                            \
	X(1XX, "answered_1xx") /* upgraded to another protocol, or a CONNECT */                    \
	X(2XX, "answered_2xx")                                                                     \
	X(3XX, "answered_3xx")                                                                     \
	X(4XX, "answered_4xx")                                                                     \
	X(5XX, "answered_5xx")                                                                     \
	X(WAITING_PAGE, "waiting_page")                                                            \
	X(CLIENT_GONE, "client_gone")                                                              \
	X(BROKEN, "upstream_broken")                                                               \
	X(STALLED, "stalled")                                                                      \
	X(QUEUE_FULL, "refused_queue_full")                                                        \
	X(NOT_ACTIVE, "refused_not_active")                                                        \
	X(ACTIVATION_FAILED, "refused_activation_failed")                                          \
	X(ACTIVATION_TIMEOUT, "refused_activation_timeout")                                        \
	X(DEADLINE, "refused_deadline_exceeded")                                                   \
	X(UPSTREAM_FAILED, "refused_upstream_failed")                                              \
	X(UPSTREAM_REFUSED, "refused_upstream_refused")                                            \
	X(UPSTREAM_PROTOCOL, "refused_upstream_protocol")                                          \
	X(RESPONSE_TIMEOUT, "refused_response_timeout")                                            \
	X(REQUEST_TIMEOUT, "refused_request_timeout")                                              \
	X(SHUTTING_DOWN, "refused_shutting_down")                                                  \
	X(REFUSED_OTHER, "refused_other") /* most often the request itself is at fault */          \
	X(MOVED, "moved") /* while parked, to another revision, where it counts again */
enum request_end {
#define X(id, name) REQUEST_##id,
	REQUEST_ENDS(X)
#undef X
		REQUEST_ENDS_N
};

/* Of the ends that are refusals: the first, and the one behind the last. */
#define REQUEST_REFUSED REQUEST_QUEUE_FULL
#define REQUEST_REFUSED_END REQUEST_MOVED

struct request_counts {
	uint64_t requests; /* arrived */
	uint64_t ends[REQUEST_ENDS_N];
	uint64_t bytes_in, bytes_out; /* of bodies to instances, and of bodies from them */
	/* Requests that were parked because no instance took requests, and then answered: how many,
	 * how long they waited for the head of the response in all, and the longest wait. */
	uint64_t cold_starts;
	double cold_wait_s, cold_wait_max_s;
};

const char *request_end_name(enum request_end);
/* Add `from` to `into`; the longer wait holds. */
void request_counts_join(struct request_counts *into, const struct request_counts *from);
bool request_counts_is_empty(const struct request_counts *);

#endif
