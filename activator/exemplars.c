#include "activator/exemplars.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

#define PLACES 1024
#define PRIME UINT64_C(0x100000001b3) /* FNV-1a */
#define BASIS UINT64_C(0xcbf29ce484222325)

_Static_assert(METRIC_TRACE == 4 * sizeof(uint64_t), "the trace of an example");

struct example {
	_Atomic uint32_t version; /* odd: it is being written */
	_Atomic uint64_t key;	  /* 0: none yet */
	_Atomic uint64_t trace[4];
	_Atomic int64_t took_ns, wall_ns;
};

struct exemplars {
	struct example entries[PLACES];
};

struct exemplars *
exemplars_new(void)
{
	return xcalloc(1, sizeof(struct exemplars));
}

void
exemplars_free(struct exemplars **ep)
{
	free(*ep);
	*ep = NULL;
}

uint64_t
exemplars_series(const char *revision, unsigned histogram)
{
	uint64_t h = (BASIS ^ histogram) * PRIME;

	for (; *revision != '\0'; revision++)
		h = (h ^ (unsigned char)*revision) * PRIME;
	return h;
}

static uint64_t
key_of(uint64_t series, size_t bucket)
{
	uint64_t key = (series ^ (bucket + 1)) * PRIME;

	key ^= key >> 32;
	return key == 0 ? 1 : key;
}

void
exemplars_put(struct exemplars *e, uint64_t series, const char *trace, int64_t took_ns,
	      int64_t wall_ns)
{
	uint64_t key = key_of(series, metric_hist_bucket(took_ns)), words[4];
	struct example *to = &e->entries[key % PLACES];
	uint32_t version = atomic_load_explicit(&to->version, memory_order_relaxed);
	size_t i;

	memcpy(words, trace, sizeof words);
	atomic_store_explicit(&to->version, version + 1, memory_order_relaxed);
	/* Each release comes behind the odd version, and each acquire of a reader before its second
	 * look at the version: a fence would do, but TSan knows none. */
	atomic_store_explicit(&to->key, key, memory_order_release);
	for (i = 0; i < ARRAY_LEN(words); i++)
		atomic_store_explicit(&to->trace[i], words[i], memory_order_release);
	atomic_store_explicit(&to->took_ns, took_ns, memory_order_release);
	atomic_store_explicit(&to->wall_ns, wall_ns, memory_order_release);
	atomic_store_explicit(&to->version, version + 2, memory_order_release);
}

/* False: it has no example of that key, or it is just being written. */
static bool
read_entry(const struct example *from, uint64_t key, struct metric_exemplar *out)
{
	uint32_t version = atomic_load_explicit(&from->version, memory_order_acquire);
	uint64_t found = atomic_load_explicit(&from->key, memory_order_acquire), words[4];
	size_t i;

	if (version % 2 != 0 || found != key)
		return false;
	for (i = 0; i < ARRAY_LEN(words); i++)
		words[i] = atomic_load_explicit(&from->trace[i], memory_order_acquire);
	memcpy(out->trace, words, sizeof words);
	out->value = (double)atomic_load_explicit(&from->took_ns, memory_order_acquire) / CLK_S;
	out->wall_s = (double)atomic_load_explicit(&from->wall_ns, memory_order_acquire) / CLK_S;
	return atomic_load_explicit(&from->version, memory_order_relaxed) == version;
}

void
exemplars_collect(const struct exemplars *e, uint64_t series,
		  struct metric_exemplar out[METRIC_BUCKETS + 1])
{
	struct metric_exemplar one;
	size_t i;

	for (i = 0; i <= METRIC_BUCKETS; i++) {
		uint64_t key = key_of(series, i);

		if (read_entry(&e->entries[key % PLACES], key, &one) &&
		    (out[i].trace[0] == '\0' || one.wall_s > out[i].wall_s))
			out[i] = one;
	}
}
