#include "activator/inbuf.h"

#include <stdlib.h>
#include <string.h>

void
inbuf_clear(struct inbuf *in)
{
	if (!in->is_borrowed)
		free(in->data);
	*in = (struct inbuf){.data = NULL};
}

void
inbuf_move(struct inbuf *in, char *buf)
{
	if (in->n > 0)
		memmove(buf, in->data, in->n);
	if (!in->is_borrowed)
		free(in->data);
	in->data = buf;
	in->is_borrowed = true;
}

void
inbuf_keep(struct inbuf *in)
{
	char *own;

	if (!in->is_borrowed)
		return;
	if (in->n == 0) {
		inbuf_clear(in);
		return;
	}
	own = xmalloc(in->n);
	memcpy(own, in->data, in->n);
	in->data = own;
	in->is_borrowed = false;
}

void
inbuf_consume(struct inbuf *in, size_t n)
{
	CHECK(n <= in->n);
	in->n -= (uint32_t)n;
	if (in->is_borrowed)
		in->data += n;
	else if (in->n > 0) /* data stays what malloc gave */
		memmove(in->data, in->data + n, in->n);
	else
		inbuf_clear(in);
}
