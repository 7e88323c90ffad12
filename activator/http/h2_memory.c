#include "activator/http/h2_memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "activator/http/h2_block.h"
#include "common/pages.h"

/* nghttp2 makes each frame in a buffer of 16 KiB, which a session allocates when it begins.
 * h2_write() and h2_client_write() copy a frame as soon as it is made: nothing stands in the buffer
 * between two calls.  So the sessions of a thread share it, and an idle connection is two thirds
 * smaller.  Only this first buffer is lent: frames CONTINUATION stand in others until they are
 * sent. */
#define LENT_LEAST ((size_t)16 << 10) /* no other allocation of a new session is as large */

/* A request makes and frees about ten small objects of nghttp2 on each side.  What is freed is kept
 * for the next request, by size: in bin i is what has room for bin_size(i) bytes or more.  malloc()
 * keeps seven objects of a size, and many more requests are under way at once. */
#define BIN_STEP ((size_t)16)
#define BINS 80
#define KEPT_MOST ((size_t)512 << 10) /* bytes in all bins */

/* A session finds its streams by a table of this size, which has nothing but zeroes while there are
 * no streams.  It gets a page, which then takes no memory: h2_memory_trim(). */
#define TABLE PAGES_SIZE

/* The entries of a table of fields, of which a session makes two.  The first is for what it sends:
 * where that has no entries it is never written, and a page without memory does. */
#define ENTRIES ((size_t)1 << 10)

/* A header block whose fields were larger is not kept. */
#define BLOCK_MOST ((size_t)16 << 10)

/* With AddressSanitizer nothing is kept, so that it sees what is used after it was freed. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define KEEPS_NOTHING
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define KEEPS_NOTHING
#endif

/* An object in a bin. */
struct kept {
	struct kept *next;
};

struct h2_shared {
	char *frame; /* NULL: no session has asked for it yet */
	size_t frame_n;
	bool is_lending;    /* a session is being made, and has no buffer yet */
	bool needs_entries; /* is_lending: the first ENTRIES are to come, and are never written */
	void *table;	    /* of the session that is being made, or NULL */
	struct pages pages; /* tables */
	struct h2_block *block; /* not in use, or NULL */
	size_t kept_n;		/* bytes in the bins */
	struct kept *bins[BINS];
};

/* --- small objects --- */

static size_t
bin_size(size_t bin)
{
	return bin * BIN_STEP + BIN_STEP / 2; /* as malloc() of glibc rounds */
}

/* The first bin whose objects have room for n bytes. */
static size_t
bin_for(size_t n)
{
	return n <= bin_size(1) ? 1 : (n + BIN_STEP / 2 - 1) / BIN_STEP;
}

static void *
get_small(struct h2_shared *s, size_t n)
{
	size_t bin = bin_for(n);
	struct kept *k = s->bins[bin];

	if (k == NULL)
		return xmalloc(bin_size(bin));
	s->bins[bin] = k->next;
	s->kept_n -= bin_size(bin);
	return k;
}

static bool
keep(struct h2_shared *s, void *p)
{
#ifdef KEEPS_NOTHING
	(void)s;
	(void)p;
	return false;
#else
	size_t bin = (malloc_usable_size(p) - BIN_STEP / 2) / BIN_STEP;
	struct kept *k = p;

	if (bin >= BINS || s->kept_n + bin_size(bin) > KEPT_MOST)
		return false;
	k->next = s->bins[bin];
	s->bins[bin] = k;
	s->kept_n += bin_size(bin);
	return true;
#endif
}

static bool
is_small(size_t n)
{
	return n <= bin_size(BINS - 1);
}

/* --- for nghttp2 --- */

/* NULL: there are no pages. */
static void *
get_entries(struct h2_shared *s)
{
	s->needs_entries = false;
	return pages_get(&s->pages);
}

static void *
get_memory(size_t n, void *arg)
{
	struct h2_shared *s = arg;
	void *entries;

	if (n == ENTRIES && s->needs_entries && (entries = get_entries(s)) != NULL)
		return entries;
	if (is_small(n))
		return get_small(s, n);
	if (!s->is_lending || n < LENT_LEAST || (s->frame != NULL && n != s->frame_n))
		return xmalloc(n);
	s->is_lending = false;
	if (s->frame == NULL)
		s->frame = xmalloc(n);
	s->frame_n = n;
	return s->frame;
}

static void *
get_zeroes(size_t count, size_t n, void *arg)
{
	struct h2_shared *s = arg;
	size_t size;

	if (__builtin_mul_overflow(count, n, &size))
		abort();
	if (is_small(size))
		return memset(get_small(s, size), 0, size);
	if (size == TABLE && s->is_lending && (s->table = pages_get(&s->pages)) != NULL)
		return s->table;
	return xcalloc(count, n);
}

static void
put_memory(void *p, void *arg)
{
	struct h2_shared *s = arg;

	if (p != NULL && p != s->frame && !pages_put(&s->pages, p) && !keep(s, p))
		free(p);
}

static void *
resize_memory(void *p, size_t n, void *arg)
{
	const struct h2_shared *s = arg; /* nghttp2 resizes no table */
	void *own;

	if (p == NULL)
		return get_memory(n, arg);
	if (p != s->frame)
		return xrealloc(p, n);
	own = xmalloc(n);
	memcpy(own, p, MIN(n, s->frame_n));
	return own;
}

nghttp2_mem
h2_memory_begin(struct h2_shared *s, bool has_send_table)
{
	s->is_lending = true;
	s->needs_entries = !has_send_table;
	s->table = NULL;
	return (nghttp2_mem){.mem_user_data = s,
			     .malloc = get_memory,
			     .calloc = get_zeroes,
			     .realloc = resize_memory,
			     .free = put_memory};
}

void *
h2_memory_end(struct h2_shared *s)
{
	s->is_lending = s->needs_entries = false;
	return s->table;
}

/* nghttp2 frees the table when it needs a larger one.  Another session may have got it then, and
 * finds it as it was. */
void
h2_memory_trim(void *table)
{
	if (table != NULL)
		pages_trim(table);
}

/* --- header blocks --- */

struct h2_block *
h2_memory_get_block(struct h2_shared *s)
{
	struct h2_block *b = s->block;

	s->block = NULL;
	return b == NULL ? h2_block_new() : b;
}

void
h2_memory_put_block(struct h2_shared *s, struct h2_block **bp)
{
	struct h2_block *b = *bp;

	*bp = NULL;
	if (b != NULL && s->block == NULL && h2_block_bytes(b) <= BLOCK_MOST)
		s->block = b;
	else
		h2_block_free(&b);
}

/* --- of a thread --- */

struct h2_shared *
h2_shared_new(void)
{
	struct h2_shared *s = xcalloc(1, sizeof *s);

	pages_init(&s->pages);
	return s;
}

void
h2_shared_free(struct h2_shared **sp)
{
	struct h2_shared *s = *sp;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; i < BINS; i++)
		while (s->bins[i] != NULL) {
			struct kept *k = s->bins[i];

			s->bins[i] = k->next;
			free(k);
		}
	h2_block_free(&s->block);
	pages_fini(&s->pages);
	free(s->frame);
	free(s);
}
