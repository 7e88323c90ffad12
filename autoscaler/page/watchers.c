#include "autoscaler/page/watchers.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/page/feed.h"
#include "common/admin.h"
#include "common/admin_stream.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/list.h"
#include "common/strbuf.h"

struct watchers {
	struct list list; /* of struct watcher */
	const struct feed *feed;
};

struct watcher {
	struct list_node node;
	struct watchers *all;
	struct admin_stream *stream;
	uint64_t serial; /* it was sent what has changed up to this one */
	uint64_t began;	 /* feed_serial() when `serial` was 0 */
};

struct watchers *
watchers_new(const struct feed *feed)
{
	struct watchers *w = xcalloc(1, sizeof *w);

	list_init(&w->list);
	w->feed = feed;
	return w;
}

void
watchers_free(struct watchers **wp)
{
	struct watchers *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	CHECK(list_empty(&w->list));
	free(w);
}

size_t
watchers_n(const struct watchers *w)
{
	return w->list.n;
}

/* --- one watcher --- */

static void
send_event(struct watcher *w, const char *type, const char *data)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_addf(&b, "event: %s\ndata: %s\n\n", type, data);
	admin_stream_send(w->stream, b.data, b.len);
	strbuf_fini(&b);
}

static void
put_gone(struct strbuf *b, const struct feed_item *item)
{
	struct jput j;

	jput_init(&j, b);
	jput_object(&j, NULL);
	jput_string(&j, "gone", item->name);
	jput_object_end(&j);
}

/* Add what has changed, up to the bound.  Returns how many items. */
static size_t
put_items(struct watcher *w, struct strbuf *b)
{
	const struct feed *f = w->all->feed;
	const struct feed_item *item = feed_after(f, w->serial);
	size_t n = 0;

	for (; item != NULL && (n == 0 || b->len + item->len < WATCHERS_EVENT);
	     item = feed_next(f, item)) {
		w->serial = item->serial;
		if (item->text == NULL && item->serial <= w->began)
			continue; /* it was not sent the item */
		if (n++ > 0)
			strbuf_adds(b, ",");
		if (item->text == NULL)
			put_gone(b, item);
		else
			strbuf_add(b, item->text, item->len);
	}
	return n;
}

/* Send it an event, unless one is queued still. */
static void
pump(struct watcher *w)
{
	struct strbuf b;

	if (admin_stream_queued(w->stream) > 0)
		return;
	if (feed_is_forgotten(w->all->feed, w->serial, w->began)) {
		w->serial = 0;
		w->began = feed_serial(w->all->feed);
		send_event(w, "anew", "{}");
		return; /* on_drained() goes on */
	}
	strbuf_init(&b, 0);
	strbuf_adds(&b, "event: items\ndata: [");
	if (put_items(w, &b) > 0) {
		strbuf_adds(&b, "]\n\n");
		admin_stream_send(w->stream, b.data, b.len);
	}
	strbuf_fini(&b);
}

static void
on_drained(struct admin_stream *s, void *arg)
{
	(void)s;
	pump(arg);
}

static void
on_closed(void *arg)
{
	struct watcher *w = arg;

	list_remove(&w->all->list, &w->node);
	free(w);
}

static const struct admin_stream_ops stream_ops = {.on_drained = on_drained,
						   .on_closed = on_closed};

/* --- all --- */

bool
watchers_add(struct watchers *all, struct admin_request *req, const char *hello)
{
	struct watcher *w;

	if (all->list.n >= WATCHERS_MAX)
		return false;
	w = xcalloc(1, sizeof *w);
	w->all = all;
	w->began = feed_serial(all->feed);
	w->stream = req->stream(req, "text/event-stream", &stream_ops, w);
	list_push(&all->list, &w->node);
	send_event(w, "hello", hello);
	return true;
}

void
watchers_send(struct watchers *all)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->list, node, tmp)
		pump(container_of(node, struct watcher, node));
}

void
watchers_beat(struct watchers *all)
{
	struct list_node *node, *tmp;
	char *data = xasprintf("{\"now_ms\":%lld}", (long long)(clk_wall() / CLK_MS));

	LIST_FOREACH(&all->list, node, tmp) {
		struct watcher *w = container_of(node, struct watcher, node);

		if (admin_stream_queued(w->stream) == 0)
			send_event(w, "beat", data);
	}
	free(data);
}
