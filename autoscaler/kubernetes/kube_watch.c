#include "autoscaler/kubernetes/kube_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_http.h"
#include "autoscaler/kubernetes/kube_json.h"
#include "autoscaler/kubernetes/kube_split.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"

#define PAGE 500		   /* objects of a list at a time */
#define HEAD_TIMEOUT (10 * CLK_S)  /* of any answer */
#define LIST_TIMEOUT (120 * CLK_S) /* of a page as a whole … */
#define LIST_STALL (15 * CLK_S)	   /* … and its silence */
#define WATCH_STALL (90 * CLK_S)   /* bookmarks come each 60 to 75 s */
#define WATCH_LEAST_S 300	   /* the server ends a watch after that, or up to twice it */
#define BACKOFF_FIRST (100 * CLK_MS)
#define BACKOFF_MOST (10 * CLK_S)
#define FORBIDDEN_AGAIN (10 * CLK_S)
#define INITIAL_MOST (60 * CLK_S) /* until all has been told */
#define CALM (5 * CLK_S)	  /* a watch that lasted so long was a good one */

enum state { WAITING, LISTING, WATCHING };

struct kube_watch {
	struct kube_watch_shared *shared;
	char *base;		   /* path and selectors: all of the query that never changes */
	char *group, *plural, *ns; /* for messages */
	const struct kube_watch_ops *ops;
	void *arg;
	enum state state;
	struct kube_request *request;
	struct kube_split split;
	char rv[128];	  /* to go on from; "": from the beginning */
	char *next;	  /* LISTING: the next page; NULL: there is none */
	bool is_syncing;  /* between on_list_begin and on_list_end */
	bool is_initial;  /* WATCHING: the whole comes first */
	bool is_expired;  /* 410 */
	bool is_nonsense; /* what came cannot be understood */
	bool is_troubled;
	int64_t begun_ns, heard_ns;
	struct backoff backoff;
	struct loop_timer timer; /* WAITING */
};

/* --- what comes --- */

static void
begin_sync(struct kube_watch *w)
{
	if (w->is_syncing)
		return;
	w->is_syncing = true;
	w->ops->on_list_begin(w->arg);
}

static void
end_sync(struct kube_watch *w)
{
	w->is_syncing = w->is_initial = false;
	w->ops->on_list_end(w->arg);
}

static void
keep_version(struct kube_watch *w, const char *rv)
{
	if (rv[0] != '\0' && strlen(rv) < sizeof w->rv)
		snprintf(w->rv, sizeof w->rv, "%s", rv);
}

/* 410, and whatever else ends a watch from within. */
static bool
take_error(struct kube_watch *w, const struct kube_event *ev)
{
	w->is_expired = ev->code == 410 || strcmp(ev->reason, "Expired") == 0 ||
			strcmp(ev->reason, "Gone") == 0;
	if (!w->is_expired)
		log_warn(NULL, "watch ended by the server", "of=%s namespace=%s code=%lld err=%s",
			 w->plural, w->ns, (long long)ev->code, ev->message);
	return false;
}

static bool
take_event(struct kube_watch *w, const struct kube_event *ev)
{
	if (ev->type == KUBE_ERROR)
		return take_error(w, ev);
	/* A list goes on from its own version: its objects may be older than all that the
	 * server remembers. */
	if (w->state == WATCHING && (!w->is_initial || ev->is_initial_end))
		keep_version(w, ev->rv);
	if (ev->type != KUBE_BOOKMARK) {
		w->shared->counts.events++;
		w->ops->on_event(ev, w->arg);
	} else if (ev->is_initial_end && w->is_initial) {
		end_sync(w);
	}
	return true;
}

static bool
take_list_metadata(struct kube_watch *w, const char *text, size_t n)
{
	char *rv = NULL, *next = NULL;
	struct err e;

	if (kube_list_decode(text, n, &rv, &next, &e) < 0)
		w->is_nonsense = true;
	else if (rv != NULL)
		keep_version(w, rv);
	free(rv);
	free(w->next);
	w->next = next;
	return !w->is_nonsense;
}

static bool
on_piece(enum kube_piece piece, const char *text, size_t n, void *arg)
{
	struct kube_watch *w = arg;
	struct kube_event ev;
	struct err e;
	bool is_wanted = true;

	if (piece == KUBE_LIST_METADATA)
		return take_list_metadata(w, text, n);
	if (kube_event_decode(&ev, text, n, piece == KUBE_ITEM, &e) < 0) {
		log_warn(NULL, "object not understood", "of=%s namespace=%s err=%s", w->plural,
			 w->ns, e.text);
		/* An item of a list would be there again next time: it is left out. */
		w->is_nonsense = piece == KUBE_EVENT;
		return piece == KUBE_ITEM;
	}
	is_wanted = take_event(w, &ev);
	kube_event_fini(&ev);
	return is_wanted;
}

static void
set_trouble(struct kube_watch *w, const char *why)
{
	if (why == NULL && !w->is_troubled)
		return;
	w->is_troubled = why != NULL;
	w->ops->on_error(why, w->arg);
}

static bool
on_data(const char *data, size_t n, void *arg)
{
	struct kube_watch *w = arg;

	w->heard_ns = clk_now();
	set_trouble(w, NULL);
	if (w->state == LISTING || w->is_initial)
		begin_sync(w);
	if (kube_split_feed(&w->split, data, n, on_piece, w) == 0)
		return true;
	w->is_nonsense |= !w->is_expired;
	return false;
}

/* --- asking --- */

static void on_done(const struct kube_answer *, void *);

static const struct kube_call_ops call_ops = {.on_data = on_data, .on_done = on_done};

static void
call(struct kube_watch *w, enum state state, const char *query)
{
	char *path = xasprintf("%s%s", w->base, query);
	bool is_list = state == LISTING;
	const struct kube_call c = {.method = "GET",
				    .path = path,
				    .priority = is_list ? KUBE_NORMAL : KUBE_STREAM,
				    .timeout = is_list ? LIST_TIMEOUT : HEAD_TIMEOUT,
				    .stall_timeout = is_list ? LIST_STALL : WATCH_STALL};

	w->state = state;
	w->is_expired = w->is_nonsense = false;
	w->begun_ns = clk_now();
	kube_split_fini(&w->split);
	kube_split_init(&w->split, is_list ? KUBE_LIST : KUBE_LINES);
	w->request = kube_http_call(w->shared->http, &c, &call_ops, w);
	free(path);
}

static void
watch(struct kube_watch *w)
{
	unsigned seconds = WATCH_LEAST_S + random_u32() % WATCH_LEAST_S;
	char *query;

	w->is_initial = w->rv[0] == '\0';
	query = w->is_initial ? xasprintf("watch=1&allowWatchBookmarks=true&sendInitialEvents=true&"
					  "resourceVersionMatch=NotOlderThan&timeoutSeconds=%u",
					  seconds)
			      : xasprintf("watch=1&allowWatchBookmarks=true&resourceVersion=%s&"
					  "timeoutSeconds=%u",
					  w->rv, seconds);
	w->shared->counts.restarts += !w->is_initial;
	w->shared->counts.lists += w->is_initial;
	call(w, WATCHING, query);
	free(query);
}

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
list(struct kube_watch *w)
{
	char *next = w->next == NULL ? xstrdup("") : encode(w->next);
	char *query = xasprintf("limit=%d%s%s", PAGE, w->next == NULL ? "" : "&continue=", next);

	w->shared->counts.lists += w->next == NULL;
	call(w, LISTING, query);
	free(query);
	free(next);
}

/* From where it is. */
static void
go_on(struct kube_watch *w)
{
	if (w->next != NULL || (w->rv[0] == '\0' && w->shared->is_list_only))
		list(w);
	else
		watch(w);
}

static void
on_timer(void *arg)
{
	go_on(arg);
}

static void
wait_for(struct kube_watch *w, int64_t delay)
{
	w->state = WAITING;
	loop_timer_set(&w->timer, delay);
}

/* --- how it ended --- */

static void
from_the_beginning(struct kube_watch *w)
{
	w->rv[0] = '\0';
	w->is_syncing = false; /* what was told half is told again */
	free(w->next);
	w->next = NULL;
}

/* The server has said no. */
static void
refused(struct kube_watch *w, const struct kube_answer *a)
{
	bool is_listing = w->state == LISTING;
	char why[600];

	if (a->status == 410) {
		from_the_beginning(w);
		wait_for(w, is_listing ? kube_http_delay(&w->backoff, a) : 0);
		return;
	}
	if (w->is_initial && (a->status == 400 || a->status == 422)) {
		log_info(NULL, "server has no sendInitialEvents, objects are listed", "status=%d",
			 a->status);
		w->shared->is_list_only = true;
		wait_for(w, 0);
		return;
	}
	if (a->status >= 500 || a->status == 429) {
		wait_for(w, kube_http_delay(&w->backoff, a));
		return;
	}
	kube_http_explain(a, is_listing ? "list" : "watch", w->plural, w->group, w->ns, why,
			  sizeof why);
	set_trouble(w, why);
	from_the_beginning(w); /* it may be the version or the page that is refused */
	wait_for(w, FORBIDDEN_AGAIN + (int64_t)(random_u32() % 1000) * CLK_MS);
}

static void
list_ended(struct kube_watch *w, const struct kube_answer *a)
{
	if (a->status == 0 || w->is_nonsense || !kube_split_is_whole(&w->split)) {
		from_the_beginning(w);
		wait_for(w, kube_http_delay(&w->backoff, a));
		return;
	}
	set_trouble(w, NULL);
	if (w->next != NULL) {
		list(w);
		return;
	}
	begin_sync(w); /* an answer without a byte of body tells of nothing, too */
	end_sync(w);
	watch(w);
}

static void
watch_ended(struct kube_watch *w, const struct kube_answer *a)
{
	bool was_good = clk_now() - w->begun_ns >= CALM;
	int64_t delay;

	if (a->status != 0 || w->heard_ns >= w->begun_ns)
		set_trouble(w, NULL);
	/* A server that takes the words for nothing never says that all has been told. */
	if (w->is_initial && clk_now() - w->begun_ns >= INITIAL_MOST)
		w->shared->is_list_only = true;
	if (w->is_expired || w->is_nonsense || w->is_initial) {
		log_debug(NULL, "watch begins anew", "of=%s namespace=%s expired=%d nonsense=%d",
			  w->plural, w->ns, w->is_expired, w->is_nonsense);
		from_the_beginning(w);
	}
	if (was_good && !w->is_nonsense)
		backoff_reset(&w->backoff);
	/* At once after a good one, or the first that was told to begin anew. */
	delay = kube_http_delay(&w->backoff, a);
	wait_for(w, was_good || (w->is_expired && w->backoff.tries == 1) ? 0 : delay);
}

static void
on_done(const struct kube_answer *a, void *arg)
{
	struct kube_watch *w = arg;

	w->request = NULL;
	if (a->status >= 300)
		refused(w, a);
	else if (w->state == LISTING)
		list_ended(w, a);
	else
		watch_ended(w, a);
}

void
kube_watch_check(struct kube_watch *w, int64_t since_ns)
{
	if (w->state == WAITING) {
		loop_timer_set(&w->timer, 0);
		return;
	}
	if (w->state != WATCHING || MAX(w->heard_ns, w->begun_ns) > since_ns)
		return;
	kube_http_cancel(&w->request);
	if (w->is_initial)
		from_the_beginning(w);
	go_on(w);
}

/* --- life --- */

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
	free(w->next);
	free(w->ns);
	free(w->plural);
	free(w->group);
	free(w->base);
	free(w);
}

bool
kube_watch_is(const struct kube_watch *w, const struct kube_watch_conf *c)
{
	char *base = base_of(c);
	bool is_same = strcmp(base, w->base) == 0;

	free(base);
	return is_same;
}
