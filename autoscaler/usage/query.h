/* query - computes one answer of /usage in a thread of its own: adding up many hours, and writing a
 * long answer, take more time than the event loop can spare.
 * Thread: the loop's, except for what runs in its own. */
#ifndef AUTOSCALER_USAGE_QUERY_H
#define AUTOSCALER_USAGE_QUERY_H

#include "common/err.h"

struct hours;
struct loop;
struct query; /* opaque */
struct strbuf;
struct table;

enum query_format { QUERY_CSV, QUERY_JSON, QUERY_LINES /* table_write_lines() */ };

/* Called once from the loop: the answer of an HTTP request, borrowed for the call.  The query is
 * freed after it. */
typedef void query_done_fn(int status, const char *content_type, const struct strbuf *body,
			   void *arg);

/* Add the hours from `from` to before `upto` to the table, which is taken over and has its live
 * rows already.  From now on until done() is called or query_cancel() returns the thread reads
 * hours, and nothing may change them.  NULL with err. */
NODISCARD struct query *query_start(struct loop *, const struct hours *, int64_t from, int64_t upto,
				    struct table **, enum query_format, query_done_fn *done,
				    void *arg, struct err *);
/* End it, without a call of done(). */
void query_cancel(struct query **);

#endif
