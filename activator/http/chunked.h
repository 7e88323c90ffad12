/* chunked - decodes chunked bodies (RFC 9112 7.1), by the grammar, byte by byte.  llhttp's
 * decoder is not used: it accepts a bare LF in trailers, any text as a chunk extension, and
 * folded trailers.  Pure.  Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_HTTP_CHUNKED_H
#define ACTIVATOR_HTTP_CHUNKED_H

#include "activator/http/h1.h"

struct chunked; /* opaque, heap */

/* A decoder for the body after this head.  It drops trailers that no Trailer field of the head
 * names; a field that must not be a trailer is an error, and so are more than max_fields.
 * max_overhead bounds the bytes of chunk sizes, extensions and trailers; each byte of data makes
 * up for eight of them. */
NODISCARD struct chunked *chunked_new(const struct h1_head *, size_t max_overhead,
				      uint32_t max_fields);
void chunked_free(struct chunked **);
/* Decode buf[0..n) in place: *data_n bytes of data are moved to its front.  Returns the bytes
 * consumed, which are all unless the body ends; -1: malformed. */
NODISCARD ssize_t chunked_feed(struct chunked *, char *buf, size_t n, size_t *data_n);
/* Judge trailers that did not come in chunks, "name: value" CRLF …: as those of a chunked body, but
 * all are kept.  Returns them, the caller's to free, or NULL: malformed. */
NODISCARD char *chunked_judge_trailers(const char *trailers, size_t most, uint32_t max_fields);
bool chunked_done(const struct chunked *);
/* Once done: "name: value\r\n…", or ""; borrowed. */
const char *chunked_trailers(const struct chunked *);

#endif
