/* path_seen - checks the bytes that a client and an instance have received (see path.c).  A
 * wrong byte ends the program. */
#ifndef TEST_FUZZ_PATH_SEEN_H
#define TEST_FUZZ_PATH_SEEN_H

#include "common/base.h"

struct strbuf;

#define MARK 2 /* bytes: the client, and the number of its request */

struct seen {
	unsigned posts;	   /* in `sent` */
	size_t whole_n;	   /* requests in `sent` that are whole */
	size_t answered_n; /* final responses in `got` that are whole */
	bool is_tunnel;	   /* the rest of `got` are no responses */
	bool is_partial;   /* `got` ends within a response */
};

/* is_eof: `got` ended with a clean end.  is_raw: `sent` may imitate marks. */
void seen_by_client(struct seen *, const struct strbuf *sent, const struct strbuf *got, bool is_eof,
		    bool is_raw);
/* Returns the number of POSTs. */
unsigned seen_by_instance(const struct strbuf *got);
/* The mark of the last request that an instance has received; "": it has no mark, or is not a
 * request of ours. */
void seen_last_mark(const struct strbuf *got, char mark[MARK]);

#endif
