/* kube_http - requests to one API server: who we are, how long an answer may take, and who
 * goes first.
 *
 * A wake-up never waits for another request: it has connections of its own, of which some
 * are kept open and warm, and no limit of rate stands before it.  HTTP/1.1, one request at
 * a time on a connection: one that hangs holds up nothing else, and is cut by its own
 * time limit.  All else goes a few at a time.
 * The server is always verified.  A token file is read again when it is a few seconds
 * old; after 401 at once, and the request is sent once more.
 * What failed is told, not repeated: whoever asked knows what is wanted by then
 * (kube_http_delay() says when).
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_HTTP_H
#define AUTOSCALER_KUBERNETES_KUBE_HTTP_H

#include "common/backoff.h"
#include "common/err.h"

struct kube_config;
struct kube_http;    /* opaque */
struct kube_request; /* opaque */
struct loop;

#define KUBE_CALL_TIMEOUT INT64_C(5000000000) /* of an ordinary request, ns */
#define KUBE_MERGE_PATCH "application/merge-patch+json"

enum kube_priority {
	KUBE_WAKE,   /* at once */
	KUBE_NORMAL, /* a few at a time, and not while the server asks for less */
	KUBE_SPARE,  /* likewise, once none of those waits; what runs of it holds up nothing */
	KUBE_STREAM  /* a connection of its own, for as long as it takes */
};

struct kube_call {
	const char *method; /* "GET", "PATCH", "POST" */
	const char *path;   /* "/api/v1/pods?limit=500", encoded */
	const char *type;   /* of body; NULL: none */
	const char *body;
	enum kube_priority priority;
	int64_t timeout;       /* ns: for all of it; KUBE_STREAM: for its head */
	int64_t stall_timeout; /* ns: silence within the answer; 0: `timeout` says all */
};

/* How it ended; borrowed for the upcall. */
struct kube_answer {
	int status;	  /* of HTTP; 0: no answer, or one that broke off */
	const char *body; /* NUL-terminated; "" where on_data had it */
	size_t n;
	const char *reason;  /* the server's ("Forbidden"), or "" */
	const char *message; /* what went wrong, for people; "" after a success */
	int64_t retry_after; /* ns; 0: the server said nothing of it */
};

struct kube_call_ops {
	/* Bytes of a 2xx answer, from within libcurl: to be noted, no call of ours may be
	 * made.  false: no more is wanted.  NULL: the answer gets the body. */
	bool (*on_data)(const char *data, size_t n, void *arg);
	/* It has ended and is gone.  Never from within a call of ours. */
	void (*on_done)(const struct kube_answer *, void *arg);
};

struct kube_http_ops {
	/* The server answers again after it did not: what was silent since may be dead. */
	void (*on_back)(int64_t away_since_ns, void *arg);
};

/* config and ops are borrowed. */
NODISCARD struct kube_http *kube_http_open(struct loop *, const struct kube_config *,
					   const struct kube_http_ops *, void *arg, struct err *);
void kube_http_close(struct kube_http **); /* what is under way is cancelled in silence */

/* Strings are copied; ops and arg are borrowed until on_done or the cancel. */
struct kube_request *kube_http_call(struct kube_http *, const struct kube_call *,
				    const struct kube_call_ops *, void *arg);
void kube_http_cancel(struct kube_request **); /* may be NULL; on_done does not come */

/* When to try again: what the server said, else the back-off. */
int64_t kube_http_delay(struct backoff *, const struct kube_answer *);
/* A right that is missing, in words that say what to grant; else the answer's message. */
void kube_http_explain(const struct kube_answer *, const char *verb, const char *resource,
		       const char *group, const char *ns, char *text, size_t size);

struct kube_http_counts {
	uint64_t requests, errors, refused;
};
const struct kube_http_counts *kube_http_counts(const struct kube_http *);

#endif
