/* kube_watch - follows all objects of one kind in one namespace, as far as its selectors match:
 * first the objects that exist (the list), then each change to them, without a gap.  client-go
 * calls this a reflector.
 *
 * The server numbers its changes: each event, each page of a list and each bookmark carries a
 * resourceVersion.  A watch that ends is followed by a new one from the newest version that was
 * read, so that no change is missed.  Everything is listed again only
 *  - if the version, or the token of a page, has expired (410);
 *  - if a change cannot be decoded, or an object is too large;
 *  - if the server ends the watch by an ERROR event;
 *  - if a request of a list brings no complete answer (a page that is refused with 5xx or 429 is
 *    asked for again);
 *  - if the server refuses with a status other than 5xx and 429;
 *  - if kube_watch_suspect() says so.
 *
 *	WAITING   a timer runs; then LISTING, where pages are to be read, else WATCHING
 *	LISTING   a page is read; then the next page, or WATCHING after the last one; WAITING if
 *	          the page failed
 *	WATCHING  events are read until the request ends; then WAITING.  If a list in it stops for
 *	          20 s before its end, or takes 5 minutes, the request is cancelled, and LISTING
 *	          begins at once.
 *	          kube_watch_reconnect() and kube_watch_suspect() end it, and send the next
 *	          request at once
 *
 * The list comes in one of two ways:
 *  - in a watch with sendInitialEvents (Kubernetes 1.27 and later, with its feature WatchList
 *    on): the objects come as ADDED events, a bookmark with the annotation
 *    k8s.io/initial-events-end ends the list, and the same request goes on with the changes;
 *  - in pages: from a server that refuses sendInitialEvents, or that ignores it, so that the
 *    bookmark does not come.  The watch then begins at the version of the list.  After an hour
 *    the next list is asked for in a watch again: the server may have been replaced.
 * An object of a list that cannot be decoded is left out, as if it did not exist; the log names it
 * once.
 *
 * Servers send a bookmark each 60 to 75 s.  If nothing comes for 90 s, the connection counts as
 * dead, and the watch goes on over a new one.  kube_echo.h says when a watch is suspect before
 * that.
 *
 * The functions of kube_watch_ops may be called from within libcurl.  They note what has happened,
 * and call nothing of kube_http, kube_watch or curlev.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBE_KUBE_WATCH_H
#define AUTOSCALER_KUBE_KUBE_WATCH_H

#include "common/err.h"

struct kube_event;
struct kube_http;
struct kube_watch; /* opaque */
struct loop;

struct kube_watch_conf {
	const char *group_path;	     /* "/api/v1", "/apis/apps/v1" */
	const char *group;	     /* "", "apps": for messages */
	const char *plural;	     /* "pods" */
	const char *ns;		     /* NULL: the kind has no namespaces */
	const char *labels, *fields; /* labelSelector, fieldSelector; NULL: none */
};

struct kube_watch_ops {
	/* A list begins: its request is about to be sent, so it has everything that is known to
	 * exist by now.  If it breaks off, the next one begins without an on_list_end. */
	void (*on_list_begin)(void *arg);
	/* An object of the list (as KUBE_ADDED), or a change.  Never a bookmark or an error. */
	void (*on_event)(const struct kube_event *, void *arg);
	/* The list is complete: an object that was not in it does not exist. */
	void (*on_list_end)(void *arg);
	/* Why the server refuses (a missing right, no such kind); NULL: it refuses no more.
	 * kube_http reports a server that does not answer; this function does not. */
	void (*on_error)(const char *why, void *arg);
};

/* Objects and changes that were read; requests that began a list; requests that began a watch at
 * a version, also after a list in pages. */
struct kube_watch_counts {
	uint64_t events, lists, watches;
};

/* What all watches on one server share. */
struct kube_watch_shared {
	struct loop *loop;
	struct kube_http *http;
	int64_t page_until_ns; /* until then lists are read in pages: the server does not list in a
				* watch, as the first watch that tries finds out */
	struct kube_watch_counts counts;
};

/* conf is copied; the others are borrowed. */
NODISCARD struct kube_watch *kube_watch_new(struct kube_watch_shared *,
					    const struct kube_watch_conf *,
					    const struct kube_watch_ops *, void *arg);
void kube_watch_free(struct kube_watch **);

/* Does it watch what conf says? */
bool kube_watch_matches(const struct kube_watch *, const struct kube_watch_conf *);

/* Has the server refused with 404, as it has no such kind? */
bool kube_watch_is_missing(const struct kube_watch *);

/* The server answers again; it did not from since_ns on.  WAITING: send the next request now.
 * WATCHING, and nothing was sent or received since then: cancel the request, and send the next one
 * now, over another connection; a list that was coming in it begins anew.  Else: do nothing. */
void kube_watch_reconnect(struct kube_watch *, int64_t since_ns);

/* The watch should have shown something that happened after since_ns.  If nothing was sent or
 * received since then, list everything again.  Does nothing while it is WAITING, or a list is
 * coming. */
void kube_watch_suspect(struct kube_watch *, int64_t since_ns);

#endif
