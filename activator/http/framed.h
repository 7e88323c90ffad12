/* framed - what one write consists of: a head, and a piece of a body in its framing.  The bytes
 * stay where they are.  Thread: any. */
#ifndef ACTIVATOR_HTTP_FRAMED_H
#define ACTIVATOR_HTTP_FRAMED_H

#include <sys/uio.h>

#include "activator/http/put.h"

/* Begins with framed_init().  One framed_add(), one framed_chunk() and one framed_last_chunk()
 * fit. */
struct framed {
	struct iovec iov[7];
	int n;
	char size[20]; /* of the chunk, in hex */
};

/* Nothing yet.  The members that n does not count stay as they are. */
static inline void
framed_init(struct framed *f)
{
	f->n = 0;
}

static inline void
framed_add(struct framed *f, const char *s, size_t n)
{
	if (n == 0)
		return;
	/* sendmsg(2) does not change what it sends: const is lost in the type alone. */
	memcpy(&f->iov[f->n].iov_base, &s, sizeof s);
	f->iov[f->n++].iov_len = n;
}

static inline void
framed_chunk(struct framed *f, const char *data, size_t n)
{
	char *end;

	if (n == 0)
		return;
	end = PUT_LITERAL(put_hex(f->size, n), "\r\n");
	framed_add(f, f->size, (size_t)(end - f->size));
	framed_add(f, data, n);
	framed_add(f, "\r\n", 2);
}

/* trailers: "name: value" CRLF, any number of them. */
static inline void
framed_last_chunk(struct framed *f, const char *trailers)
{
	framed_add(f, "0\r\n", 3);
	framed_add(f, trailers, strlen(trailers));
	framed_add(f, "\r\n", 2);
}

#endif
