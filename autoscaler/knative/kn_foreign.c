#include "autoscaler/knative/kn_foreign.h"

#include <jansson.h>
#include <stdlib.h>

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_write.h"
#include "autoscaler/kube/kube_http.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/loop.h"

#define FOREIGN_EVERY (30 * CLK_S)
#define READINGS_MOST 16 /* at a time */

/* One that is being read. */
struct kn_reading {
	struct list_node node;
	struct kn_foreign *f;
	enum kn_kind kind;
	char *ns, *name;
	struct kube_request *request;
};

struct kn_foreign {
	struct kube_http *http;
	struct kn_cache *cache;
	const struct kn_foreign_ops *ops;
	void *arg;
	struct list readings;
	struct loop_timer timer;
};

static void
reading_free(struct kn_reading *r)
{
	list_remove(&r->f->readings, &r->node);
	kube_http_cancel(&r->request);
	free(r->name);
	free(r->ns);
	free(r);
}

static void
on_answer(const struct kube_answer *a, void *arg)
{
	struct kn_reading *r = arg;
	struct kn_foreign *f = r->f;
	json_t *object = a->status == 200 ? kn_answer_object(a) : NULL;

	r->request = NULL;
	if (object != NULL)
		f->ops->on_read(r->kind, object, f->arg);
	else if (a->status == 404)
		kn_cache_remove(f->cache, r->kind, r->ns, r->name, NULL);
	json_decref(object);
	reading_free(r);
}

static const struct kube_call_ops read_ops = {.on_done = on_answer};

static void
read_again(struct kn_foreign *f, const struct kn_object *o)
{
	struct kn_reading *r = xcalloc(1, sizeof *r);

	r->f = f;
	r->kind = o->kind;
	r->ns = xstrdup(o->ns);
	r->name = xstrdup(o->name);
	list_push(&f->readings, &r->node);
	r->request = kn_read_send(f->http, r->kind, r->ns, r->name, &read_ops, r);
}

/* Read the foreign objects that something still waits for; forget the others. */
static void
on_timer(void *arg)
{
	struct kn_foreign *f = arg;
	bool is_any = false;
	enum kn_kind kind;

	for (kind = 0; kind < KN_KINDS_N; kind++) {
		const struct kn_object *o = kn_cache_next(f->cache, kind, NULL, NULL), *next;

		for (; o != NULL; o = next) {
			next = kn_cache_next(f->cache, kind, NULL, o);
			if (!o->is_foreign)
				continue;
			if (!f->ops->is_tracked(o, f->arg)) {
				kn_cache_remove(f->cache, kind, o->ns, o->name, NULL);
				continue;
			}
			is_any = true;
			if (f->readings.n < READINGS_MOST)
				read_again(f, o);
		}
	}
	if (is_any)
		loop_timer_set(&f->timer, FOREIGN_EVERY);
}

void
kn_foreign_follow(struct kn_foreign *f)
{
	if (!loop_timer_pending(&f->timer))
		loop_timer_set(&f->timer, FOREIGN_EVERY);
}

struct kn_foreign *
kn_foreign_new(struct loop *loop, struct kube_http *http, struct kn_cache *cache,
	       const struct kn_foreign_ops *ops, void *arg)
{
	struct kn_foreign *f = xcalloc(1, sizeof *f);

	f->http = http;
	f->cache = cache;
	f->ops = ops;
	f->arg = arg;
	list_init(&f->readings);
	loop_timer_init(&f->timer, loop, on_timer, f);
	return f;
}

void
kn_foreign_free(struct kn_foreign **fp)
{
	struct kn_foreign *f = *fp;
	struct list_node *node, *tmp;

	*fp = NULL;
	if (f == NULL)
		return;
	LIST_FOREACH(&f->readings, node, tmp)
		reading_free(container_of(node, struct kn_reading, node));
	loop_timer_fini(&f->timer);
	free(f);
}
