/* hmap - a hash map from strings to pointers.  It copies the keys and borrows the values.
 * Each map has a seed of its own, so that a peer that chooses the keys cannot choose keys
 * that collide.  Thread: the owner; several threads may read while none writes. */
#ifndef COMMON_HMAP_H
#define COMMON_HMAP_H

#include "common/base.h"

struct hmap {
	struct hmap_slot *slots;
	size_t n;      /* entries */
	size_t cap;    /* slots, a power of two, or 0 */
	size_t filled; /* slots in use, and those whose entry was removed */
	uint64_t seed;
};

void hmap_init(struct hmap *);
void hmap_fini(struct hmap *);

/* Set the value of key, which must not be NULL.  Returns the value before, or NULL. */
void *hmap_put(struct hmap *, const char *key, void *value);

/* The value of key, or NULL. */
void *hmap_find(const struct hmap *, const char *key);
void *hmap_find_n(const struct hmap *, const char *key, size_t n);

/* Remove key.  Returns its value, or NULL. */
void *hmap_remove(struct hmap *, const char *key);

/* Walk: `size_t at = 0; while (hmap_next(&m, &at, &key, &value)) …`.  The entry just
 * returned may be removed; none may be added. */
bool hmap_next(const struct hmap *, size_t *at, const char **key, void **value);

#endif
