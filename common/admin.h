/* admin - the HTTP endpoint for operators: /healthz, /readyz, /metrics, and the pages that a
 * program adds.  It uses evhttp, which is never on the path of clients' requests.  Heads,
 * bodies and answers are bounded.
 * Thread: the loop's. */
#ifndef COMMON_ADMIN_H
#define COMMON_ADMIN_H

#include "common/err.h"

struct loop;
struct strbuf;
struct admin;
struct admin_stream;
struct admin_stream_ops;

/* An answer that comes after the page's function has returned. */
struct admin_later {
	/* Send the answer, and free this.  Nothing is sent if the connection is closed. */
	void (*answer)(struct admin_later *, int status, const char *content_type,
		       const struct strbuf *body);
};

struct admin_request {
	const char *path;
	/* The decoded query parameter of that name, or NULL; borrowed for the call. */
	const char *(*param)(struct admin_request *, const char *name);
	/* The request's field of that name, or NULL; borrowed for the call. */
	const char *(*field)(struct admin_request *, const char *name);
	bool is_json_wanted; /* the request accepts application/json */
	bool is_head;	     /* HEAD: a body would not be sent */
	/* Add a field to the answer, also to one that comes later. */
	void (*add_field)(struct admin_request *, const char *name, const char *value);
	/* The answer comes later, by one call of its answer(); the members below are ignored. */
	struct admin_later *(*defer)(struct admin_request *);
	/* The answer is a stream, as admin_stream.h says, of this content type; the members below
	 * are ignored.  Not for HEAD. */
	struct admin_stream *(*stream)(struct admin_request *, const char *content_type,
				       const struct admin_stream_ops *, void *arg);
	struct strbuf *body;	   /* of the answer; empty at first */
	const char *content_type;  /* of the answer; text/plain; charset=utf-8 at first */
	const char *cache_control; /* of the answer; no-store at first */
	int status;		   /* of the answer; 200 at first */
};

struct admin_ops {
	/* NULL if the program is ready, else why not (borrowed): /readyz answers 503 with
	 * this text. */
	const char *(*not_ready)(void *arg);
	/* Append all metrics, as metric.h writes them. */
	void (*metrics)(struct strbuf *, void *arg);
};

/* Listen at each "host:port" of addrs, whose last is NULL; "": none.  from: sockets that are open
 * already; NULL: none.  ops and arg are borrowed. */
struct inherited;
NODISCARD struct admin *admin_open(struct loop *, const char *const *addrs, struct inherited *from,
				   const struct admin_ops *, void *arg, struct err *);
/* Accept no connections until admin_resume(). */
void admin_pause(struct admin *);
void admin_resume(struct admin *);
/* Call fn for each socket that listens. */
void admin_each_socket(const struct admin *, void (*fn)(int fd, void *arg), void *arg);
/* Other addresses.  Making the change opens the sockets that are not there yet; NULL with err, and
 * nothing has changed.  Connections go on where an address goes. */
struct admin_change;
NODISCARD struct admin_change *admin_change_new(struct admin *, const char *const *addrs,
						struct err *);
void admin_change_make(struct admin_change **);
void admin_change_free(struct admin_change **); /* it is not made */
/* Answer GET and HEAD for exactly this path by fn. */
void admin_add_page(struct admin *, const char *path, void (*fn)(struct admin_request *, void *arg),
		    void *arg);
/* Answer 400 to a query parameter of the page that is not among these; the last is NULL.  Else it
 * would be ignored, and the answer would look like that to another question.  Borrowed. */
void admin_page_params(struct admin *, const char *path, const char *const *names);
/* "/" sends browsers, which accept text/html, to the page at this path; all else gets the list of
 * pages.  Borrowed. */
void admin_set_home(struct admin *, const char *path);
void admin_close(struct admin **);

#endif
