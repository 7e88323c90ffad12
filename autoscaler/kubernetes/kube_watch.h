/* kube_watch - one kind of object in one namespace, as far as selectors go: told whole, and
 * then change by change, without a gap.
 *
 *	LISTING --all told--> WATCHING --410, or nonsense--> LISTING
 *	   └──── WAITING (back-off) ────┘  (from its last resourceVersion where it has one)
 *
 * Where the server can (sendInitialEvents), the whole comes as the beginning of the watch;
 * else as a list in pages.  A watch that is silent for longer than bookmarks are apart is
 * begun anew from where it was, which costs next to nothing.
 * on_event and the other upcalls come from within libcurl: what they bring is to be
 * noted, no call to kube_http, kube_watch or curlev may be made from them.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_WATCH_H
#define AUTOSCALER_KUBERNETES_KUBE_WATCH_H

#include "common/err.h"

struct kube_event;
struct kube_http;
struct kube_watch; /* opaque */
struct loop;

struct kube_watch_conf {
	const char *group_path;	     /* "/api/v1", "/apis/apps/v1" */
	const char *group;	     /* "", "apps": for messages */
	const char *plural;	     /* "pods" */
	const char *ns;		     /* NULL: a kind of the cluster's own */
	const char *labels, *fields; /* selectors; NULL: none */
};

struct kube_watch_ops {
	/* All that there is will be told from here on … */
	void (*on_list_begin)(void *arg);
	void (*on_event)(const struct kube_event *, void *arg); /* never a bookmark or error */
	/* … and has been: what was not told since on_list_begin is gone. */
	void (*on_list_end)(void *arg);
	/* It cannot be read, and why (a right that is missing, no such kind); NULL: it can.
	 * A server that is away is no trouble. */
	void (*on_error)(const char *why, void *arg);
};

struct kube_watch_counts {
	uint64_t events, lists, restarts;
};

/* What all watches of one server share. */
struct kube_watch_shared {
	struct loop *loop;
	struct kube_http *http;
	bool is_list_only; /* it knows no sendInitialEvents, as has been seen */
	struct kube_watch_counts counts;
};

/* conf is copied; the others are borrowed. */
NODISCARD struct kube_watch *kube_watch_new(struct kube_watch_shared *,
					    const struct kube_watch_conf *,
					    const struct kube_watch_ops *, void *arg);
void kube_watch_free(struct kube_watch **);
/* Whether it is what conf asks for. */
bool kube_watch_is(const struct kube_watch *, const struct kube_watch_conf *);
/* The server was away from since_ns on: where nothing came since, begin anew. */
void kube_watch_check(struct kube_watch *, int64_t since_ns);

#endif
