#include "common/slab.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_LINE ((size_t)64)
#define BLOCK ((size_t)32 << 10)

/* The first cache line of each block. */
struct slab_block {
	struct slab_block *next;
};

void
slab_init(struct slab *s, size_t object_size)
{
	*s = (struct slab){.size = (object_size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE};
	CHECK(s->size > 0 && s->size <= BLOCK - CACHE_LINE);
}

void
slab_fini(struct slab *s)
{
	CHECK(s->used == 0);
	while (s->blocks != NULL) {
		struct slab_block *b = s->blocks;

		s->blocks = b->next;
		free(b);
	}
	s->free_objects = NULL;
}

#ifdef __SANITIZE_ADDRESS__
void *
slab_get(struct slab *s)
{
	s->used++;
	return xcalloc(1, s->size);
}

void
slab_put(struct slab *s, void *object)
{
	CHECK(s->used > 0);
	s->used--;
	free(object);
}
#else
static void
grow(struct slab *s)
{
	struct slab_block *b = xaligned(CACHE_LINE, BLOCK);
	size_t at;

	b->next = s->blocks;
	s->blocks = b;
	/* From the last to the first, so that slab_get() returns them by rising address. */
	for (at = CACHE_LINE + (BLOCK - CACHE_LINE) / s->size * s->size; at > CACHE_LINE;) {
		at -= s->size;
		*(void **)(void *)((char *)b + at) = s->free_objects;
		s->free_objects = (char *)b + at;
	}
}

void *
slab_get(struct slab *s)
{
	void *object;

	if (s->free_objects == NULL)
		grow(s);
	object = s->free_objects;
	s->free_objects = *(void **)object;
	s->used++;
	memset(object, 0, s->size);
	return object;
}

void
slab_put(struct slab *s, void *object)
{
	CHECK(s->used > 0);
	s->used--;
	*(void **)object = s->free_objects;
	s->free_objects = object;
}
#endif
