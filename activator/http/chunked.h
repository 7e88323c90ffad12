/* chunked - decoder of chunked bodies (RFC 9112 7.1), byte by byte as the grammar has
 * it.  Not llhttp's: that one ends trailers at a bare LF, takes anything for a chunk
 * extension and joins folded trailers.  Pure.  Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_HTTP_CHUNKED_H
#define ACTIVATOR_HTTP_CHUNKED_H

#include "activator/http/h1.h"

struct chunked; /* opaque, heap */

/* The body behind a head: trailers that its Trailer fields do not name are dropped,
 * what may not stand there is an error.  max_overhead: bytes of sizes, extensions and
 * trailers that are borne; a byte of data pays for eight of those before it. */
NODISCARD struct chunked *chunked_new(const struct h1_head *, size_t max_overhead);
void chunked_free(struct chunked **);
/* Decode buf[0..n) in place: the data is moved to the front, *data_n bytes of it.
 * Returns how much was consumed (all, unless the body ends), or -1: malformed. */
NODISCARD ssize_t chunked_feed(struct chunked *, char *buf, size_t n, size_t *data_n);
bool chunked_done(const struct chunked *);
/* "name: value\r\n…", or "": once done.  Borrowed. */
const char *chunked_trailers(const struct chunked *);

#endif
