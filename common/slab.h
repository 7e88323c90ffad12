/* slab - an allocator for many objects of one size.  Its blocks hold nothing else, so that
 * the memory of a burst that has ended serves the next one without fragmentation.  Each
 * object begins on a cache line.  The slab keeps its blocks until slab_fini(): it holds as
 * much memory as was ever in use at once.
 * With the address sanitiser each object is an allocation of its own.
 * Thread: the owner's. */
#ifndef COMMON_SLAB_H
#define COMMON_SLAB_H

#include "common/base.h"

struct slab_block;

struct slab {
	size_t size;	    /* of one object, a multiple of a cache line */
	size_t used;	    /* objects that slab_get() gave out */
	void *free_objects; /* a list, newest first; each begins with a pointer to the next */
	struct slab_block *blocks;
};

void slab_init(struct slab *, size_t object_size);
void slab_fini(struct slab *); /* every object must have been given back */

/* A zeroed object; give it back with slab_put(). */
NODISCARD void *slab_get(struct slab *);
void slab_put(struct slab *, void *object);

#endif
