/* admin - the HTTP endpoint for operators (evhttp; never on the request path):
 * /healthz, /readyz, /metrics, and what a program adds.  Sizes are bounded.
 * Thread: the loop's. */
#ifndef COMMON_ADMIN_H
#define COMMON_ADMIN_H

#include "common/err.h"

struct loop;
struct strbuf;
struct admin;

struct admin_request {
	const char *path;
	/* A query parameter, decoded, or NULL; borrowed for the call. */
	const char *(*param)(struct admin_request *, const char *name);
	bool is_json_wanted;	  /* accept: application/json */
	struct strbuf *body;	  /* write the answer here */
	const char *content_type; /* preset: text/plain; charset=utf-8 */
	int status;		  /* preset: 200 */
};

struct admin_ops {
	/* NULL when ready; else why not (borrowed): /readyz is 503 with it. */
	const char *(*not_ready)(void *arg);
	/* Append the whole exposition. */
	void (*metrics)(struct strbuf *, void *arg);
};

/* Listen at each "host:port" of addrs (NULL-terminated).  ops, arg borrowed. */
NODISCARD struct admin *admin_open(struct loop *, const char *const *addrs,
				   const struct admin_ops *, void *arg, struct err *);
/* Serve path (exact) by fn.  GET and HEAD only. */
void admin_route(struct admin *, const char *path, void (*fn)(struct admin_request *, void *arg),
		 void *arg);
void admin_close(struct admin **);

#endif
