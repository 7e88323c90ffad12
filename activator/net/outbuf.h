/* outbuf - bytes that a socket has not taken yet, copied until it has room.
 * Thread: the owner's. */
#ifndef ACTIVATOR_NET_OUTBUF_H
#define ACTIVATOR_NET_OUTBUF_H

#include <sys/uio.h>

#include "common/base.h"

struct outbuf {
	char *data;	     /* NULL: none, and n is 0 */
	uint32_t at, n, cap; /* the bytes are data[at..at + n) */
};

static inline size_t
iovec_size(const struct iovec *iov, int n)
{
	size_t size = 0;

	while (n-- > 0)
		size += iov[n].iov_len;
	return size;
}

/* Append iov[0..n) without its first skip bytes. */
void outbuf_append(struct outbuf *, const struct iovec *iov, int n, size_t skip);
/* The socket took the first n bytes. */
void outbuf_consume(struct outbuf *, size_t n);
void outbuf_clear(struct outbuf *);

#endif
