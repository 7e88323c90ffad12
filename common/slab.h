/* slab - objects of one size, many of which come and go: cut from blocks that hold
 * nothing else, so that a burst which is over leaves no holes that the next one cannot
 * use, and each begins on a cache line.  Memory stays with the slab until the end: it
 * holds as much as was in use at once.
 * With the address sanitiser each object is an allocation of its own.
 * Thread: the owner's. */
#ifndef COMMON_SLAB_H
#define COMMON_SLAB_H

#include "common/base.h"

struct slab_block;

struct slab {
	size_t size; /* of one, whole cache lines */
	size_t used; /* objects that are out */
	void *spare; /* the newest given back; each begins with a pointer to the next */
	struct slab_block *blocks;
};

void slab_init(struct slab *, size_t object_size);
void slab_fini(struct slab *); /* none may be out */

/* A zeroed object; give it back with slab_put(). */
NODISCARD void *slab_get(struct slab *);
void slab_put(struct slab *, void *object);

#endif
