/* curlev - libcurl's multi interface on our loop: transfers run side by side, and each
 * ends in one upcall.
 *
 * What is added is begun inside the call (the request is on the wire when it returns, if
 * a connection is open), but no upcall ever comes from inside a call.  Nothing may be
 * added or removed from within a callback of curl's own (write, header): what these
 * bring is noted by whoever gets it, and acted on later.
 * Thread: the loop's. */
#ifndef AUTOSCALER_KUBERNETES_CURLEV_H
#define AUTOSCALER_KUBERNETES_CURLEV_H

#include <curl/curl.h>

#include "common/err.h"

struct curlev; /* opaque */
struct loop;

/* connections: how many idle ones are kept for later. */
NODISCARD struct curlev *curlev_new(struct loop *, long connections, struct err *);
void curlev_free(struct curlev **); /* all transfers must have been removed */

/* Run it; on_done(easy, result, arg) when it has ended, by which time it is removed.
 * CURLOPT_PRIVATE is ours. */
struct curlev_transfer {
	void (*on_done)(CURL *, CURLcode, void *arg);
	void *arg;
};
void curlev_add(struct curlev *, CURL *, struct curlev_transfer *);
void curlev_remove(struct curlev *, CURL *);

#endif
