/* chunked - decoder of chunked bodies (RFC 9112 7.1), byte by byte as the grammar has
 * it.  Not llhttp's: that one ends trailers at a bare LF, takes anything for a chunk
 * extension and joins folded trailers.  Pure.  Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_CHUNKED_H
#define ACTIVATOR_CHUNKED_H

#include "common/base.h"

struct chunked; /* opaque, heap */

/* announced: the value of the head's Trailer field (NULL: none); what it does not name
 * is dropped, what may not stand in trailers is an error.  max_overhead: bytes of
 * extensions and trailers that are borne. */
NODISCARD struct chunked *chunked_new(const char *announced, size_t announced_n,
				      size_t max_overhead);
void chunked_free(struct chunked **);
/* Decode buf[0..n) in place: the data is moved to the front, *data_n bytes of it.
 * Returns how much was consumed (all, unless the body ends), or -1: malformed. */
NODISCARD ssize_t chunked_feed(struct chunked *, char *buf, size_t n, size_t *data_n);
bool chunked_done(const struct chunked *);
/* "name: value\r\n…", or "": once done.  Borrowed. */
const char *chunked_trailers(const struct chunked *);

#endif
