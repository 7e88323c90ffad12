#include "common/hmap.h"

#include <stdlib.h>
#include <string.h>

#include "common/random.h"

#define CAP_MIN 8

struct hmap_slot {
	char *key; /* NULL: never used; tomb: its entry was removed */
	void *value;
	uint64_t hash;
};

static char tomb[] = "";

static uint64_t
rotl(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-1-3 (Aumasson and Bernstein); its key is the seed, twice. */
static uint64_t
hash_of(uint64_t seed, const char *key, size_t n)
{
	uint64_t v[4] = {seed ^ 0x736f6d6570736575, ~seed ^ 0x646f72616e646f6d,
			 seed ^ 0x6c7967656e657261, ~seed ^ 0x7465646279746573};
	uint64_t word;
	size_t at;

	for (at = 0; at + 8 <= n; at += 8) {
		memcpy(&word, key + at, 8);
		sip_word(v, word);
	}
	word = 0;
	memcpy(&word, key + at, n - at);
	sip_word(v, word ^ (uint64_t)n << 56);
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void
hmap_init(struct hmap *m)
{
	*m = (struct hmap){.seed = random_u64()};
}

static bool
is_used(const struct hmap_slot *s)
{
	return s->key != NULL && s->key != tomb;
}

void
hmap_fini(struct hmap *m)
{
	size_t i;

	for (i = 0; i < m->cap; i++)
		if (is_used(&m->slots[i]))
			free(m->slots[i].key);
	free(m->slots);
	*m = (struct hmap){.seed = m->seed};
}

static struct hmap_slot *
lookup(const struct hmap *m, uint64_t hash, const char *key, size_t n)
{
	size_t at;

	if (m->n == 0)
		return NULL;
	for (at = hash & (m->cap - 1); m->slots[at].key != NULL; at = (at + 1) & (m->cap - 1)) {
		struct hmap_slot *s = &m->slots[at];

		if (s->hash == hash && s->key != tomb && strncmp(s->key, key, n) == 0 &&
		    s->key[n] == '\0')
			return s;
	}
	return NULL;
}

/* Add an entry whose key is not in the map yet; the map has room for it. */
static void
insert(struct hmap *m, struct hmap_slot entry)
{
	size_t at = entry.hash & (m->cap - 1);

	while (is_used(&m->slots[at]))
		at = (at + 1) & (m->cap - 1);
	m->filled += m->slots[at].key == NULL;
	m->slots[at] = entry;
	m->n++;
}

/* Make room for one more entry, so that at most three quarters of the slots are filled;
 * growing drops the slots of removed entries. */
static void
make_room(struct hmap *m)
{
	struct hmap old = *m;
	size_t i;

	if (m->cap != 0 && (m->filled + 1) * 4 <= m->cap * 3)
		return;
	for (m->cap = CAP_MIN; (m->n + 1) * 2 > m->cap; m->cap *= 2)
		;
	m->slots = xcalloc(m->cap, sizeof *m->slots);
	m->n = m->filled = 0;
	for (i = 0; i < old.cap; i++)
		if (is_used(&old.slots[i]))
			insert(m, old.slots[i]);
	free(old.slots);
}

void *
hmap_put(struct hmap *m, const char *key, void *value)
{
	size_t n = strlen(key);
	uint64_t hash = hash_of(m->seed, key, n);
	struct hmap_slot *s = lookup(m, hash, key, n);

	CHECK(value != NULL);
	if (s != NULL) {
		void *old = s->value;

		s->value = value;
		return old;
	}
	make_room(m);
	insert(m, (struct hmap_slot){.key = xstrndup(key, n), .value = value, .hash = hash});
	return NULL;
}

void *
hmap_find_n(const struct hmap *m, const char *key, size_t n)
{
	/* No hash is made for an empty map. */
	const struct hmap_slot *s = m->n == 0 ? NULL : lookup(m, hash_of(m->seed, key, n), key, n);

	return s == NULL ? NULL : s->value;
}

void *
hmap_find(const struct hmap *m, const char *key)
{
	return hmap_find_n(m, key, strlen(key));
}

void *
hmap_remove(struct hmap *m, const char *key)
{
	size_t n = strlen(key);
	struct hmap_slot *s = lookup(m, hash_of(m->seed, key, n), key, n);
	void *value;

	if (s == NULL)
		return NULL;
	value = s->value;
	free(s->key);
	s->key = tomb;
	s->value = NULL;
	m->n--;
	return value;
}

bool
hmap_next(const struct hmap *m, size_t *at, const char **key, void **value)
{
	for (; *at < m->cap; ++*at) {
		const struct hmap_slot *s = &m->slots[*at];

		if (is_used(s)) {
			if (key != NULL)
				*key = s->key;
			if (value != NULL)
				*value = s->value;
			++*at;
			return true;
		}
	}
	return false;
}
