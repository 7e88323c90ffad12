/* pages - pages of memory, of which those that hold nothing but zeroes take no memory while they
 * are not used: for tables that are empty for most of the time.
 * Thread: the owner's. */
#ifndef COMMON_PAGES_H
#define COMMON_PAGES_H

#include "common/base.h"

#define PAGES_SIZE ((size_t)4096) /* bytes of a page */
#define PAGES_KEPT ((size_t)64)	  /* unused pages that keep their memory for the next use */

struct pages {
	/* The unused pages, all full of zeroes. */
	void *kept[PAGES_KEPT]; /* these have memory, and are used first */
	size_t kept_n;
	void **clean; /* these have none */
	size_t clean_n;
	char **chunks; /* that they are parts of */
	size_t chunks_n;
	bool is_possible;
};

void pages_init(struct pages *);
void pages_fini(struct pages *); /* all pages are unused */

/* A page full of zeroes.  NULL: the pages of this machine have another size. */
NODISCARD void *pages_get(struct pages *);
/* p: what pages_get() returned.  False: it is something else. */
NODISCARD bool pages_put(struct pages *, void *p);
/* If the page is full of zeroes, give its memory back to the kernel: it reads as zeroes afterwards,
 * too, and is the caller's as before. */
void pages_trim(void *p);

#endif
