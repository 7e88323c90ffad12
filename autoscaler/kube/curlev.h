/* curlev - runs libcurl's multi interface on our event loop: many transfers at a time, each of
 * which ends in one upcall.
 *
 * curlev_add() begins the transfer: over an open connection the request is on the wire when
 * the call returns.  No upcall comes from within a call.  In a callback of libcurl's own
 * (write, header) no transfer may be added or removed.
 * Thread: the loop's. */
#ifndef AUTOSCALER_KUBE_CURLEV_H
#define AUTOSCALER_KUBE_CURLEV_H

#include <curl/curl.h>

#include "common/err.h"

struct curlev; /* opaque */
struct loop;

/* connections: how many idle ones to keep for later. */
NODISCARD struct curlev *curlev_new(struct loop *, long connections, struct err *);
void curlev_free(struct curlev **); /* all transfers must have been removed */

/* Run a transfer.  When it has ended it is removed, then on_done(easy, result, arg) is called.
 * CURLOPT_PRIVATE of the handle is curlev's. */
struct curlev_transfer {
	void (*on_done)(CURL *, CURLcode, void *arg);
	void *arg;
};
void curlev_add(struct curlev *, CURL *, struct curlev_transfer *);
void curlev_remove(struct curlev *, CURL *);

#endif
