/* access_otlp - sends spans to a collector: POST, OTLP/HTTP in JSON, over HTTP with or without TLS.
 *
 * Each call sends one message and waits for the answer, for a few seconds at most: only a thread of
 * its own may call it.  The name of the collector is resolved for each message, so that one that
 * moves is found.  Thread: the owner's. */
#ifndef ACTIVATOR_ACCESS_ACCESS_OTLP_H
#define ACTIVATOR_ACCESS_ACCESS_OTLP_H

#include <sys/uio.h>

#include "common/err.h"

struct access_otlp; /* opaque */

/* url: "http://HOST:PORT/PATH" or https, as form_is_collector() has it; ca: a file with the
 * authorities that the certificate of the collector may be of; NULL: those of the system. */
NODISCARD struct access_otlp *access_otlp_new(const char *url, const char *ca);
void access_otlp_free(struct access_otlp **);

/* Send the first of the spans, each a line, in one message.  Returns how many bytes of them are
 * done with: the collector has them, or refuses them for good, and then *dropped is their number.
 * -1 with errno and err: they are to be sent again later. */
NODISCARD ssize_t access_otlp_write(struct access_otlp *, const struct iovec *lines,
				    uint64_t *dropped, struct err *);

#endif
