#include "common/pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_PAGES ((size_t)256)
#define CHUNK (CHUNK_PAGES * PAGES_SIZE)

void
pages_init(struct pages *p)
{
	*p = (struct pages){.is_possible = sysconf(_SC_PAGESIZE) == (long)PAGES_SIZE};
}

void
pages_fini(struct pages *p)
{
	size_t i;

	CHECK(p->kept_n + p->clean_n == p->chunks_n * CHUNK_PAGES);
	for (i = 0; i < p->chunks_n; i++)
		munmap(p->chunks[i], CHUNK);
	free(p->chunks);
	free(p->clean);
}

/* Ends the program where memory ends, as xmalloc() does. */
static void
grow(struct pages *p)
{
	char *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (chunk == MAP_FAILED)
		abort();
	madvise(chunk, CHUNK, MADV_NOHUGEPAGE); /* one page alone is to have memory */
	p->chunks = xrealloc(p->chunks, (p->chunks_n + 1) * sizeof *p->chunks);
	p->chunks[p->chunks_n++] = chunk;
	p->clean = xrealloc(p->clean, p->chunks_n * CHUNK_PAGES * sizeof *p->clean);
	for (i = CHUNK_PAGES; i > 0; i--)
		p->clean[p->clean_n++] = chunk + (i - 1) * PAGES_SIZE;
}

void *
pages_get(struct pages *p)
{
	if (!p->is_possible)
		return NULL;
	if (p->kept_n > 0)
		return p->kept[--p->kept_n];
	if (p->clean_n == 0)
		grow(p);
	return p->clean[--p->clean_n];
}

static bool
is_page(const struct pages *p, const char *at)
{
	size_t i;

	if ((uintptr_t)at % PAGES_SIZE != 0)
		return false;
	for (i = 0; i < p->chunks_n; i++)
		if (at >= p->chunks[i] && at < p->chunks[i] + CHUNK)
			return true;
	return false;
}

bool
pages_put(struct pages *p, void *at)
{
	if (!is_page(p, at))
		return false;
	if (p->kept_n < PAGES_KEPT) {
		memset(at, 0, PAGES_SIZE);
		p->kept[p->kept_n++] = at;
		return true;
	}
	if (madvise(at, PAGES_SIZE, MADV_DONTNEED) < 0)
		memset(at, 0, PAGES_SIZE);
	p->clean[p->clean_n++] = at;
	return true;
}

void
pages_trim(void *at)
{
	const char *bytes = at;

	if (bytes[0] == 0 && memcmp(bytes, bytes + 1, PAGES_SIZE - 1) == 0)
		madvise(at, PAGES_SIZE, MADV_DONTNEED);
}
