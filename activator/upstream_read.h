/* upstream_read - takes apart what an instance sends: response heads and the framing of
 * bodies, whether a client gets them (relay.c) or they are thrown away (upstream.c).
 * All bytes stand in the worker's read buffer.  Thread: the worker's. */
#ifndef ACTIVATOR_UPSTREAM_READ_H
#define ACTIVATOR_UPSTREAM_READ_H

#include "activator/http/response.h"

struct upstream;

/* Move the beginning of a head that was kept to the front of the read buffer.  Returns its
 * size: the next read goes behind it. */
size_t upstream_read_begin(struct upstream *);
/* The n bytes at buf are the beginning of a head: keep them for the next read. */
void upstream_read_keep(struct upstream *, const char *buf, size_t n);

/* The head buf[0..n), as h1_scan() found it.  -1: malformed or ambiguous. */
NODISCARD int upstream_read_head(struct upstream *, const char *buf, size_t n, struct response *);
/* The head is final (not 1xx): note how its body is framed, and what it says of the
 * connection and of the instance. */
void upstream_read_final(struct upstream *, const struct response *);
/* What follows is not HTTP (after a 101), or cannot be read as HTTP: it ends with the connection.
 */
void upstream_read_raw(struct upstream *);
/* Take the framing off a piece of the body, in place.  Returns how much was consumed, with
 * *data_n bytes of content at buf, or -1: malformed.  Sets is_done at the end of the body. */
NODISCARD ssize_t upstream_read_body(struct upstream *, char *buf, size_t n, size_t *data_n);
/* Throw away n bytes in the read buffer, heads and body.  True: the response is complete
 * (is_done), or cannot be read on. */
NODISCARD bool upstream_read_past(struct upstream *, size_t n);
/* Forget the response: the next one begins with a head. */
void upstream_read_forget(struct upstream *);

#endif
