#include "common/slab.h"

#include <stdlib.h>
#include <string.h>

#define LINE ((size_t)64)
#define BLOCK ((size_t)32 << 10)

/* At the beginning of each block, a line of its own. */
struct slab_block {
	struct slab_block *next;
};

void
slab_init(struct slab *s, size_t object_size)
{
	*s = (struct slab){.size = (object_size + LINE - 1) / LINE * LINE};
	CHECK(s->size > 0 && s->size <= BLOCK - LINE);
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
	s->spare = NULL;
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
	struct slab_block *b = aligned_alloc(LINE, BLOCK);
	size_t at;

	CHECK(b != NULL);
	b->next = s->blocks;
	s->blocks = b;
	/* From the last to the first, so that they go out in the order of their addresses. */
	for (at = LINE + (BLOCK - LINE) / s->size * s->size; at > LINE;) {
		at -= s->size;
		*(void **)(void *)((char *)b + at) = s->spare;
		s->spare = (char *)b + at;
	}
}

void *
slab_get(struct slab *s)
{
	void *object;

	if (s->spare == NULL)
		grow(s);
	object = s->spare;
	s->spare = *(void **)object;
	s->used++;
	memset(object, 0, s->size);
	return object;
}

void
slab_put(struct slab *s, void *object)
{
	CHECK(s->used > 0);
	s->used--;
	*(void **)object = s->spare;
	s->spare = object;
}
#endif
