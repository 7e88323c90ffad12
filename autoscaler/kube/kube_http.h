/* kube_http - requests to one API server: credentials, time limits, and which request goes
 * first.
 *
 * A PATCH that scales up (KUBE_WAKE) never waits for a request of another kind, nor for a
 * server's Retry-After, and idle connections are kept open for it, until nothing but watches has
 * been asked for 2 min.  All other requests but watches run a few at a time.
 * HTTP/1.1 with one request at a time on a connection: a request that hangs holds up no other,
 * and ends at its own time limit.
 * The server's certificate is always verified.  A token file is read again when its text is
 * 10 s old, and at once after a 401, whereupon the request is sent once more.  A credentials
 * plug-in (kube_exec.h) is likewise run again after a 401; while it has given no credential that is
 * good, all requests wait.  kube_http repeats no other request that failed: its caller may want
 * another one by then, and asks kube_http_delay() when to send it.
 * Thread: the autoscaler's only loop.
 *
 * Room: autoscaler/kube is the client of a Kubernetes API server: where it is and by what
 * credentials (kube_config, kube_exec), requests (kube_http, over libcurl on the loop: curlev),
 * watches (kube_watch, kube_split), Events (kube_recorder), and JSON that is common to all kinds of
 * objects (kube_json, kube_fields), and files of YAML (kube_yaml).  It may use common/.  It knows
 * no kind of object. */
#ifndef AUTOSCALER_KUBE_KUBE_HTTP_H
#define AUTOSCALER_KUBE_KUBE_HTTP_H

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
	KUBE_NORMAL, /* a few at a time, and none until the server's Retry-After is over */
	KUBE_SPARE,  /* likewise, while no KUBE_NORMAL waits; those that run count apart */
	KUBE_STREAM  /* at once, without a limit for the whole: watches */
};

struct kube_call {
	const char *method; /* "GET", "PATCH", "POST" */
	const char *path;   /* "/api/v1/pods?limit=500", encoded */
	const char *type;   /* of body; NULL: none */
	const char *body;
	enum kube_priority priority;
	int64_t timeout;       /* ns: for the whole; KUBE_STREAM: for the head of the answer */
	int64_t stall_timeout; /* ns: for a silence within the answer; 0: none */
};

/* How it ended; borrowed for the upcall. */
struct kube_answer {
	int status;	  /* of HTTP; 0: no answer, or one that broke off */
	const char *body; /* NUL-terminated; "" where on_data got it */
	size_t n;
	const char *reason;  /* of the Status that refuses ("Forbidden"), or "" */
	const char *message; /* what went wrong, for people; "" after a success */
	int64_t retry_after; /* ns; 0: the server names no time */
};

struct kube_call_ops {
	/* on_head and on_data are called from within libcurl, where nothing of kube_http and
	 * curlev may be called. */
	/* The head of a 2xx answer has come; only if there is a stall_timeout.  May be NULL. */
	void (*on_head)(void *arg);
	/* Bytes of a 2xx answer.  false: end the request.  NULL: the body goes into the answer. */
	bool (*on_data)(const char *data, size_t n, void *arg);
	/* The request has ended and is freed.  Never called from within kube_http_call(). */
	void (*on_done)(const struct kube_answer *, void *arg);
};

struct kube_http_ops {
	/* The server answers, and did not since then: a connection that has been silent since
	 * may be dead. */
	void (*on_back)(int64_t away_since_ns, void *arg);
	/* May be NULL.  Asked just before a request that changes something is sent: NULL: it may be
	 * sent; else it ends as if there were no answer, with this message. */
	const char *(*withhold)(void *arg);
};

/* config and ops are borrowed. */
NODISCARD struct kube_http *kube_http_open(struct loop *, const struct kube_config *,
					   const struct kube_http_ops *, void *arg, struct err *);
void kube_http_close(struct kube_http **); /* cancels all requests */

/* Strings are copied; ops and arg are borrowed until on_done or the cancel. */
struct kube_request *kube_http_call(struct kube_http *, const struct kube_call *,
				    const struct kube_call_ops *, void *arg);
void kube_http_cancel(struct kube_request **); /* may be NULL; on_done does not come */

/* How long to wait before the next try, ns: the Retry-After of the answer, else the back-off. */
int64_t kube_http_delay(struct backoff *, const struct kube_answer *);
/* The answer's message; where a right is missing also the verb and the resource that have to be
 * granted. */
void kube_http_explain(const struct kube_answer *, const char *verb, const char *resource,
		       const char *group, const char *ns, char *text, size_t size);

struct kube_http_counts {
	uint64_t requests;
	uint64_t errors;  /* that brought no answer */
	uint64_t refused; /* answered with 4xx or 5xx */
};
const struct kube_http_counts *kube_http_counts(const struct kube_http *);

#endif
