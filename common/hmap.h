/* hmap - strings to pointers.  Keys are copied; values are borrowed.  Open
 * addressing, seeded per map so that a peer that picks keys cannot pick their
 * places.  Thread: the owner; reading is safe from many threads while no one
 * writes. */
#ifndef COMMON_HMAP_H
#define COMMON_HMAP_H

#include "common/base.h"

struct hmap {
	struct hmap_slot *slots;
	size_t n;      /* entries */
	size_t cap;    /* slots, a power of two, or 0 */
	size_t filled; /* slots in use or once used */
	uint64_t seed;
};

void hmap_init(struct hmap *);
void hmap_fini(struct hmap *);

/* Set key to value (not NULL).  Returns the value that was there, or NULL. */
void *hmap_put(struct hmap *, const char *key, void *value);

/* NULL where the key is not there. */
void *hmap_find(const struct hmap *, const char *key);
void *hmap_find_n(const struct hmap *, const char *key, size_t n);

/* Remove; returns what was there, or NULL. */
void *hmap_remove(struct hmap *, const char *key);

/* Walk: `size_t at = 0; while (hmap_next(&m, &at, &key, &value)) …`.  The entry
 * just returned may be removed, nothing may be put. */
bool hmap_next(const struct hmap *, size_t *at, const char **key, void **value);

#endif
