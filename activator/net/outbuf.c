#include "activator/net/outbuf.h"

#include <stdlib.h>
#include <string.h>

void
outbuf_append(struct outbuf *b, const struct iovec *iov, int n, size_t skip)
{
	size_t need = iovec_size(iov, n) - skip;

	if (b->at > 0) {
		memmove(b->data, b->data + b->at, b->n);
		b->at = 0;
	}
	if (b->n + need > b->cap) {
		CHECK(b->n + need <= UINT32_MAX / 2);
		b->cap = (uint32_t)(b->n + need);
		b->data = xrealloc(b->data, b->cap);
	}
	for (; n > 0; iov++, n--) {
		size_t cut = MIN(skip, iov->iov_len);

		memcpy(b->data + b->n, (const char *)iov->iov_base + cut, iov->iov_len - cut);
		b->n += (uint32_t)(iov->iov_len - cut);
		skip -= cut;
	}
}

void
outbuf_consume(struct outbuf *b, size_t n)
{
	CHECK(n <= b->n);
	b->at += (uint32_t)n;
	b->n -= (uint32_t)n;
}

void
outbuf_clear(struct outbuf *b)
{
	free(b->data);
	*b = (struct outbuf){.data = NULL};
}
