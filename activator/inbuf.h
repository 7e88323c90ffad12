/* inbuf - bytes that were read from a client and are not consumed yet: the beginning of a
 * head, or what follows one.
 *
 * Within an event they are borrowed from the worker's read buffer, so that an ordinary
 * request is never copied.  The buffer serves all connections of the worker: what is left
 * when the event ends is copied to the heap (inbuf_keep()).  Thread: the owner's. */
#ifndef ACTIVATOR_INBUF_H
#define ACTIVATOR_INBUF_H

#include "common/base.h"

struct inbuf {
	char *data;
	uint32_t n;
	bool is_borrowed; /* data points into the read buffer, else to the heap */
};

/* Move the bytes to the front of buf, the read buffer: borrowed. */
void inbuf_move(struct inbuf *, char *buf);
/* Copy what is borrowed to the heap. */
void inbuf_keep(struct inbuf *);
/* The first n bytes are done with. */
void inbuf_consume(struct inbuf *, size_t n);
void inbuf_clear(struct inbuf *);

#endif
