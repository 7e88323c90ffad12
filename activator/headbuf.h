/* headbuf - a copy of the head that is to be sent to an instance, for as long as it may have
 * to be sent again.
 *
 * Most copies live for one exchange and are small: these lie in buffers of one size that
 * are used over and over.  A parked request may wait for long, beside many others: its copy
 * is exact-sized.  Thread: the owner's. */
#ifndef ACTIVATOR_HEADBUF_H
#define ACTIVATOR_HEADBUF_H

#include "common/list.h"

#define HEADBUF_SIZE 512 /* of a buffer of the pool */

struct headbuf {
	char *data;	/* NULL: no copy is kept */
	bool is_pooled; /* data is a buffer of the pool */
};

struct headbuf_pool {
	struct list unused; /* each buffer begins with its node */
};

void headbuf_pool_init(struct headbuf_pool *);
void headbuf_pool_fini(struct headbuf_pool *); /* no buffer of it may be in use */

/* Keep a copy of head[0..n).  None is kept yet. */
void headbuf_set(struct headbuf *, struct headbuf_pool *, const char *head, size_t n);
/* Keep n bytes, which the caller writes to the buffer that is returned.  None are kept yet. */
char *headbuf_reserve(struct headbuf *, struct headbuf_pool *, size_t n);
/* Keep an exact-sized copy of head[0..n), which may be the copy that is kept. */
void headbuf_set_exact(struct headbuf *, struct headbuf_pool *, const char *head, size_t n);
void headbuf_clear(struct headbuf *, struct headbuf_pool *);

#endif
