#include "autoscaler/kube/kube_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_split.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/text.h"

#define PAGE_SIZE 500			 /* objects */
#define PAGE_TIMEOUT (120 * CLK_S)	 /* for the whole of a page */
#define PAGE_STALL (15 * CLK_S)		 /* silence within it */
#define WATCH_TIMEOUT (10 * CLK_S)	 /* for the head of the answer */
#define WATCH_STALL (90 * CLK_S)	 /* servers send a bookmark each 60 to 75 s */
#define WATCH_LEAST_S 300		 /* the server ends a watch after that, or up to twice it */
#define LIST_IN_WATCH_STALL (20 * CLK_S) /* from an object of it to the next, or to its end */
#define LIST_IN_WATCH_MOST (300 * CLK_S)
#define PAGES_LAST (3600 * CLK_S)   /* then a list in a watch is tried again */
#define LEFT_OUT_MOST ((size_t)100) /* objects whose names are kept, so as to log each once */
#define BACKOFF_FIRST (100 * CLK_MS)
#define BACKOFF_MOST (10 * CLK_S)
#define REFUSED_RETRY (10 * CLK_S) /* and up to a second more */
#define STABLE                                                                                     \
	(5 * CLK_S) /* a watch that lasted so long, and was not malformed, needs no back-off */

enum state {
	WAITING,  /* there is no request; `timer` begins the next one */
	LISTING,  /* `request` reads a page of a list */
	WATCHING, /* `request` reads events; `timer` bounds the list that comes first, if any */
};

struct kube_watch {
	struct kube_watch_shared *shared;
	char *base;		   /* path and selectors, up to the parameters that change */
	char *group, *plural, *ns; /* for messages */
	const struct kube_watch_ops *ops;
	void *arg;
	enum state state;
	struct loop_timer timer;
	struct kube_request *request;
	struct kube_split split;
	char version[128];     /* resourceVersion to go on from; "": list everything.  Between
				* two pages: the list's; not used before the last page */
	char *continue_token;  /* of the next page of the list; NULL: there is none */
	bool is_list_in_watch; /* WATCHING: the list is still coming */
	bool is_expired;       /* an ERROR event said that the server has forgotten `version`; a
				* status that says so (410) goes to take_refusal() */
	bool is_malformed;     /* its data cannot be used: not decodable, too large, or an ERROR
				* event other than 410 */
	char *error;	       /* what on_error said last; NULL: the server does not refuse */
	bool is_missing;       /* … since it has no such kind */
	int64_t request_ns;    /* when the request was begun */
	int64_t received_ns;   /* when bytes came last, of this or an earlier request */
	int64_t head_ns;       /* is_list_in_watch: when the answer began */
	int64_t listed_ns;     /* is_list_in_watch: when an object of the list came last */
	struct hmap left_out;  /* names of objects that could not be decoded and were logged */
	struct backoff backoff;
};

/* --- what the server sends --- */

static void
end_list(struct kube_watch *w)
{
	w->is_list_in_watch = false;
	loop_timer_clear(&w->timer);
	w->ops->on_list_end(w->arg);
}

static void
set_version(struct kube_watch *w, const char *version)
{
	if (version[0] != '\0' && strlen(version) < sizeof w->version)
		snprintf(w->version, sizeof w->version, "%s", version);
}

static void
set_error(struct kube_watch *w, const char *why)
{
	if (text_equal(w->error, why))
		return;
	text_replace(&w->error, why);
	w->ops->on_error(why, w->arg);
}

/* The server ends the watch by this event. */
static void
take_error_event(struct kube_watch *w, const struct kube_event *ev)
{
	w->is_expired = ev->code == 410 || strcmp(ev->reason, "Expired") == 0 ||
			strcmp(ev->reason, "Gone") == 0;
	if (!w->is_expired)
		log_warn(NULL, "server ended a watch with an error",
			 "resource=%s namespace=%s code=%lld err=%s", w->plural, w->ns,
			 (long long)ev->code, ev->message);
}

/* false: the request is to end. */
static bool
take_event(struct kube_watch *w, const struct kube_event *ev)
{
	if (ev->type == KUBE_ERROR) {
		take_error_event(w, ev);
		return false;
	}
	/* During a list, ignore the versions of its objects: the server may have forgotten them.
	 * A list in a watch has its own version in its last event, a list in pages in the metadata
	 * of each page. */
	if (w->state == WATCHING && (!w->is_list_in_watch || ev->is_initial_end))
		set_version(w, ev->rv);
	/* A server that ignores sendInitialEvents goes on with changes of other types, too. */
	if (ev->type == KUBE_ADDED)
		w->listed_ns = clk_now();
	if (ev->type != KUBE_BOOKMARK) {
		w->shared->counts.events++;
		w->ops->on_event(ev, w->arg);
	} else if (ev->is_initial_end && w->is_list_in_watch) {
		end_list(w);
	}
	return true;
}

/* The list's version, and the token of its next page.  false: the request is to end. */
static bool
take_list_metadata(struct kube_watch *w, const char *text, size_t n)
{
	char *version = NULL, *token = NULL;
	struct err e;

	if (kube_list_decode(text, n, &version, &token, &e) < 0)
		w->is_malformed = true;
	else if (version != NULL)
		set_version(w, version);
	free(version);
	free(w->continue_token);
	w->continue_token = token;
	return !w->is_malformed;
}

/* An object of a list.  Without it the list can still end: else one object would hide all others
 * for ever. */
static void
leave_out(struct kube_watch *w, const char *text, size_t n, const struct err *e)
{
	static char known[] = "";
	char name[256];

	kube_object_name(text, n, name, sizeof name);
	if (hmap_find(&w->left_out, name) != NULL || w->left_out.n == LEFT_OUT_MOST)
		return;
	hmap_put(&w->left_out, name, known);
	log_error(NULL, "object cannot be decoded and is left out",
		  "resource=%s namespace=%s name=%s err=%s", w->plural, w->ns,
		  name[0] == '\0' ? "unknown" : name, e->text);
}

static bool
on_piece(enum kube_piece piece, const char *text, size_t n, void *arg)
{
	struct kube_watch *w = arg;
	struct kube_event ev;
	struct err e;
	bool go_on;

	if (piece == KUBE_LIST_METADATA)
		return take_list_metadata(w, text, n);
	if (kube_event_decode(&ev, text, n, piece == KUBE_ITEM, &e) < 0) {
		if (piece == KUBE_ITEM || w->is_list_in_watch) {
			leave_out(w, text, n, &e);
			return true;
		}
		log_warn(NULL, "change cannot be decoded, objects are listed again",
			 "resource=%s namespace=%s err=%s", w->plural, w->ns, e.text);
		w->is_malformed = true;
		return false;
	}
	go_on = take_event(w, &ev);
	kube_event_fini(&ev);
	return go_on;
}

static void
on_head(void *arg)
{
	struct kube_watch *w = arg;

	w->head_ns = w->listed_ns = clk_now();
	if (w->is_list_in_watch)
		loop_timer_set(&w->timer, LIST_IN_WATCH_STALL);
}

static bool
on_data(const char *data, size_t n, void *arg)
{
	struct kube_watch *w = arg;

	w->received_ns = clk_now();
	set_error(w, NULL);
	if (kube_split_feed(&w->split, data, n, on_piece, w) == 0)
		return true;
	w->is_malformed |= !w->is_expired; /* an ERROR event ended it, too */
	return false;
}

/* --- requests --- */

static void on_done(const struct kube_answer *, void *);

static const struct kube_call_ops call_ops = {
	.on_head = on_head, .on_data = on_data, .on_done = on_done};

static void
request(struct kube_watch *w, enum state state, const char *query)
{
	char *path = xasprintf("%s%s", w->base, query);
	bool is_list = state == LISTING;
	const struct kube_call c = {.method = "GET",
				    .path = path,
				    .priority = is_list ? KUBE_NORMAL : KUBE_STREAM,
				    .timeout = is_list ? PAGE_TIMEOUT : WATCH_TIMEOUT,
				    .stall_timeout = is_list ? PAGE_STALL : WATCH_STALL};

	w->state = state;
	loop_timer_clear(&w->timer);
	w->is_expired = w->is_malformed = false;
	w->request_ns = clk_now();
	kube_split_fini(&w->split);
	kube_split_init(&w->split, is_list ? KUBE_LIST : KUBE_LINES);
	w->request = kube_http_call(w->shared->http, &c, &call_ops, w);
	free(path);
}

/* The request that is about to be sent begins a list.  It does so now, not when the answer comes:
 * by then answers to other requests may have told of objects that the list has not got. */
static void
begin_list(struct kube_watch *w)
{
	w->shared->counts.lists++;
	w->ops->on_list_begin(w->arg);
}

/* From `version` on; without one, everything that exists comes first. */
static void
request_watch(struct kube_watch *w)
{
	unsigned seconds = WATCH_LEAST_S + random_u32() % WATCH_LEAST_S;
	char *query;

	w->is_list_in_watch = w->version[0] == '\0';
	query = w->is_list_in_watch
			? xasprintf("watch=1&allowWatchBookmarks=true&sendInitialEvents=true&"
				    "resourceVersionMatch=NotOlderThan&timeoutSeconds=%u",
				    seconds)
			: xasprintf("watch=1&allowWatchBookmarks=true&resourceVersion=%s&"
				    "timeoutSeconds=%u",
				    w->version, seconds);
	if (w->is_list_in_watch)
		begin_list(w);
	else
		w->shared->counts.watches++;
	request(w, WATCHING, query);
	free(query);
}

/* Percent-encode; the caller's. */
static char *
encode(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_.~";
	char *out = xmalloc(3 * strlen(text) + 1);
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (strchr(plain, *text) != NULL)
			out[n++] = *text;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*text);
	}
	out[n] = '\0';
	return out;
}

static void
request_page(struct kube_watch *w)
{
	bool is_first = w->continue_token == NULL;
	char *token = is_first ? xstrdup("") : encode(w->continue_token);
	char *query = xasprintf("limit=%d%s%s", PAGE_SIZE, is_first ? "" : "&continue=", token);

	w->is_list_in_watch = false;
	if (is_first)
		begin_list(w);
	request(w, LISTING, query);
	free(query);
	free(token);
}

static void
request_next(struct kube_watch *w)
{
	bool has_version = w->version[0] != '\0';

	if (w->continue_token != NULL || (!has_version && clk_now() < w->shared->page_until_ns))
		request_page(w);
	else
		request_watch(w);
}

static void
wait_for(struct kube_watch *w, int64_t delay)
{
	w->state = WAITING;
	loop_timer_set(&w->timer, delay);
}

/* The next request lists everything, from the first object. */
static void
start_over(struct kube_watch *w)
{
	w->version[0] = '\0';
	free(w->continue_token);
	w->continue_token = NULL;
}

static void
list_in_pages(struct kube_watch *w)
{
	w->shared->page_until_ns = clk_now() + PAGES_LAST;
}

/* The bookmark at the end of the list has not come.  If the list has stopped, or takes very long,
 * the server may ignore sendInitialEvents.  All servers list in pages. */
static void
list_in_watch_is_late(struct kube_watch *w)
{
	int64_t now = clk_now();
	int64_t left = MIN(w->listed_ns + LIST_IN_WATCH_STALL, w->head_ns + LIST_IN_WATCH_MOST) -
		       now;

	if (left > 0) {
		loop_timer_set(&w->timer, left);
		return;
	}
	log_info(NULL, "server does not end a list in a watch, objects are listed in pages",
		 "resource=%s namespace=%s waited_ms=%lld", w->plural, w->ns,
		 (long long)((now - w->head_ns) / CLK_MS));
	list_in_pages(w);
	kube_http_cancel(&w->request);
	start_over(w);
	request_next(w);
}

static void
on_timer(void *arg)
{
	struct kube_watch *w = arg;

	if (w->state == WATCHING)
		list_in_watch_is_late(w);
	else
		request_next(w);
}

/* --- the end of a request --- */

/* A status other than 2xx. */
static void
take_refusal(struct kube_watch *w, const struct kube_answer *a)
{
	bool is_list = w->state == LISTING;
	char why[600];

	if (a->status == 410) { /* the version, or the token of a page, has expired */
		int64_t delay = kube_http_delay(&w->backoff, a);

		start_over(w);
		wait_for(w, is_list || w->backoff.tries > 1 ? delay : 0);
		return;
	}
	if (!is_list && w->is_list_in_watch && (a->status == 400 || a->status == 422)) {
		log_info(NULL,
			 "server does not support sendInitialEvents, objects are listed in "
			 "pages",
			 "status=%d", a->status);
		list_in_pages(w);
		wait_for(w, 0);
		return;
	}
	if (a->status >= 500 || a->status == 429) {
		wait_for(w, kube_http_delay(&w->backoff, a));
		return;
	}
	kube_http_explain(a, is_list ? "list" : "watch", w->plural, w->group, w->ns, why,
			  sizeof why);
	w->is_missing = a->status == 404;
	set_error(w, why);
	start_over(w); /* it may be the version or the token that is refused */
	wait_for(w, REFUSED_RETRY + (int64_t)(random_u32() % 1000) * CLK_MS);
}

static void
page_ended(struct kube_watch *w, const struct kube_answer *a)
{
	if (a->status == 0 || w->is_malformed || !kube_split_is_complete(&w->split)) {
		start_over(w);
		wait_for(w, kube_http_delay(&w->backoff, a));
		return;
	}
	set_error(w, NULL);
	if (w->continue_token != NULL) {
		request_page(w);
		return;
	}
	end_list(w);
	request_watch(w);
}

static void
watch_ended(struct kube_watch *w, const struct kube_answer *a)
{
	int64_t lasted = clk_now() - w->request_ns, delay;
	bool is_stable = lasted >= STABLE && !w->is_malformed;
	bool has_data = w->received_ns >= w->request_ns;

	if (a->status != 0 || has_data)
		set_error(w, NULL);
	if (w->is_expired || w->is_malformed || w->is_list_in_watch) {
		log_debug(NULL, "objects are listed again",
			  "resource=%s namespace=%s expired=%d "
			  "malformed=%d",
			  w->plural, w->ns, w->is_expired, w->is_malformed);
		start_over(w);
	}
	if (is_stable)
		backoff_reset(&w->backoff);
	/* A stable watch is followed at once.  So is one that has expired, if it is the first
	 * failure since a stable one. */
	delay = kube_http_delay(&w->backoff, a);
	wait_for(w, is_stable || (w->is_expired && w->backoff.tries == 1) ? 0 : delay);
}

static void
on_done(const struct kube_answer *a, void *arg)
{
	struct kube_watch *w = arg;

	w->request = NULL;
	if (a->status >= 300)
		take_refusal(w, a);
	else if (w->state == LISTING)
		page_ended(w, a);
	else
		watch_ended(w, a);
}

bool
kube_watch_is_missing(const struct kube_watch *w)
{
	return w->error != NULL && w->is_missing;
}

void
kube_watch_reconnect(struct kube_watch *w, int64_t since_ns)
{
	if (w->state == WAITING) {
		loop_timer_set(&w->timer, 0);
		return;
	}
	if (w->state != WATCHING || MAX(w->received_ns, w->request_ns) > since_ns)
		return;
	kube_http_cancel(&w->request);
	if (w->is_list_in_watch)
		start_over(w);
	request_next(w);
}

void
kube_watch_suspect(struct kube_watch *w, int64_t since_ns)
{
	int64_t heard_ns = MAX(w->received_ns, w->request_ns);

	if (w->state != WATCHING || w->is_list_in_watch || heard_ns > since_ns)
		return;
	log_warn(NULL, "a watch does not show what has happened, objects are listed again",
		 "resource=%s namespace=%s silent_ms=%lld", w->plural, w->ns,
		 (long long)((clk_now() - heard_ns) / CLK_MS));
	kube_http_cancel(&w->request);
	start_over(w);
	request_next(w);
}

/* --- life --- */

/* "PATH?SELECTORS&"; the caller's. */
static char *
base_of(const struct kube_watch_conf *c)
{
	char *labels = c->labels == NULL ? NULL : encode(c->labels);
	char *fields = c->fields == NULL ? NULL : encode(c->fields);
	char *base = xasprintf("%s%s%s/%s?%s%s%s%s%s%s", c->group_path,
			       c->ns == NULL ? "" : "/namespaces/", c->ns == NULL ? "" : c->ns,
			       c->plural,
			       labels == NULL ? "" : "labelSelector=", labels == NULL ? "" : labels,
			       labels == NULL ? "" : "&",
			       fields == NULL ? "" : "fieldSelector=", fields == NULL ? "" : fields,
			       fields == NULL ? "" : "&");

	free(labels);
	free(fields);
	return base;
}

struct kube_watch *
kube_watch_new(struct kube_watch_shared *shared, const struct kube_watch_conf *c,
	       const struct kube_watch_ops *ops, void *arg)
{
	struct kube_watch *w = xcalloc(1, sizeof *w);

	w->shared = shared;
	w->base = base_of(c);
	w->group = xstrdup(c->group);
	w->plural = xstrdup(c->plural);
	w->ns = xstrdup(c->ns == NULL ? "" : c->ns);
	w->ops = ops;
	w->arg = arg;
	kube_split_init(&w->split, KUBE_LINES);
	hmap_init(&w->left_out);
	backoff_init(&w->backoff, BACKOFF_FIRST, BACKOFF_MOST);
	loop_timer_init(&w->timer, shared->loop, on_timer, w);
	wait_for(w, 0);
	return w;
}

void
kube_watch_free(struct kube_watch **wp)
{
	struct kube_watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	kube_http_cancel(&w->request);
	loop_timer_fini(&w->timer);
	kube_split_fini(&w->split);
	hmap_fini(&w->left_out);
	free(w->error);
	free(w->continue_token);
	free(w->ns);
	free(w->plural);
	free(w->group);
	free(w->base);
	free(w);
}

bool
kube_watch_matches(const struct kube_watch *w, const struct kube_watch_conf *c)
{
	char *base = base_of(c);
	bool is_same = strcmp(base, w->base) == 0;

	free(base);
	return is_same;
}
