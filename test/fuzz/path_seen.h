/* path_seen - whether what a client and what an instance have got is right, by the bytes
 * alone (path.c).  What is not ends the program. */
#ifndef TEST_FUZZ_PATH_SEEN_H
#define TEST_FUZZ_PATH_SEEN_H

#include "common/base.h"

struct strbuf;

#define MARK 2 /* a request's target, which the response repeats: which client, which of its */

/* is_eof: the end of `got` was a clean one.  is_raw: what was sent may forge marks.  Returns
 * how many of the requests in `sent` are POST. */
unsigned seen_by_client(const struct strbuf *sent, const struct strbuf *got, bool is_eof,
			bool is_raw);
/* How many of the requests that it got are POST. */
unsigned seen_by_instance(const struct strbuf *got);
/* The mark of the last request that an instance has got; "": it has none, or is no request
 * that we would take. */
void seen_last_mark(const struct strbuf *got, char mark[MARK]);

#endif
