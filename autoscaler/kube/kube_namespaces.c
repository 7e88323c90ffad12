#include "autoscaler/kube/kube_namespaces.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_watch.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/str_list.h"
#include "common/text.h"

#define CHANGE_DELAY (20 * CLK_MS) /* changes within it are one call of on_change */

struct kube_namespaces {
	struct kube_watch_shared *shared;
	void (*on_change)(void *);
	void *arg;
	struct str_list named;
	char *selector;		  /* NULL: none is set */
	struct kube_watch *watch; /* NULL: as above */
	struct hmap selected;	  /* names that match it */
	struct hmap listed;	  /* names that the list being read has shown */
	bool is_listed;		  /* once, by any selector since there has been one */
	char *error;
	struct str_list all; /* as kube_namespaces_get() returned it last */
	struct loop_timer timer;
};

static void
changed(struct kube_namespaces *s)
{
	if (!loop_timer_pending(&s->timer))
		loop_timer_set(&s->timer, CHANGE_DELAY);
}

static void
on_timer(void *arg)
{
	struct kube_namespaces *s = arg;

	s->on_change(s->arg);
}

static void
forget(struct hmap *names)
{
	hmap_fini(names);
	hmap_init(names);
}

/* --- upcalls of the watch --- */

static void
on_list_begin(void *arg)
{
	struct kube_namespaces *s = arg;

	forget(&s->listed);
}

static void
on_namespace(const struct kube_event *ev, void *arg)
{
	struct kube_namespaces *s = arg;
	bool is_gone = ev->type == KUBE_DELETED;

	if (is_gone != (hmap_find(&s->selected, ev->name) == NULL))
		changed(s);
	if (is_gone) {
		hmap_remove(&s->selected, ev->name);
		hmap_remove(&s->listed, ev->name);
	} else {
		hmap_put(&s->selected, ev->name, s);
		hmap_put(&s->listed, ev->name, s);
	}
}

static void
on_list_end(void *arg)
{
	struct kube_namespaces *s = arg;
	const char *name;
	void *unused;
	size_t at = 0;

	while (hmap_next(&s->selected, &at, &name, &unused))
		if (hmap_find(&s->listed, name) == NULL) {
			hmap_remove(&s->selected, name);
			at = 0;
		}
	s->is_listed = true;
	changed(s);
}

static void
on_error(const char *why, void *arg)
{
	struct kube_namespaces *s = arg;

	if (why != NULL) {
		log_warn(NULL, "cannot watch namespaces", "namespace_selector=%s err=%s",
			 s->selector, why);
		changed(s);
	}
	text_replace(&s->error, why);
}

static const struct kube_watch_ops watch_ops = {on_list_begin, on_namespace, on_list_end, on_error};

/* --- what they are --- */

const struct str_list *
kube_namespaces_get(struct kube_namespaces *s)
{
	const char *name;
	void *unused;
	size_t at = 0, i;

	if (s->named.n == 0 && s->selector == NULL)
		return NULL;
	str_list_set(&s->all, s->named.v, s->named.n);
	while (hmap_next(&s->selected, &at, &name, &unused)) {
		for (i = 0; i < s->named.n && strcmp(s->named.v[i], name) != 0; i++)
			;
		if (i == s->named.n)
			str_list_add(&s->all, name);
	}
	return &s->all;
}

bool
kube_namespaces_are_listed(const struct kube_namespaces *s)
{
	return s->selector == NULL || s->is_listed;
}

const char *
kube_namespaces_error(const struct kube_namespaces *s)
{
	return s->error;
}

void
kube_namespaces_reconnect(struct kube_namespaces *s, int64_t since_ns)
{
	if (s->watch != NULL)
		kube_watch_reconnect(s->watch, since_ns);
}

/* --- life --- */

static void
watch(struct kube_namespaces *s, const char *selector)
{
	struct kube_watch_conf conf = {
		.group_path = "/api/v1", .group = "", .plural = "namespaces"};

	text_replace(&s->selector, selector);
	text_replace(&s->error, NULL);
	conf.labels = s->selector;
	kube_watch_free(&s->watch);
	if (selector != NULL) {
		s->watch = kube_watch_new(s->shared, &conf, &watch_ops, s);
		return;
	}
	s->is_listed = false;
	forget(&s->selected);
}

void
kube_namespaces_use(struct kube_namespaces *s, const struct settings *settings)
{
	const struct str_list *named = &settings->autoscaler.namespaces;

	str_list_set(&s->named, named->v, named->n);
	if (!text_equal(s->selector, settings->autoscaler.namespace_selector))
		watch(s, settings->autoscaler.namespace_selector);
}

struct kube_namespaces *
kube_namespaces_new(struct kube_watch_shared *shared, const struct settings *settings,
		    void (*on_change)(void *), void *arg)
{
	struct kube_namespaces *s = xcalloc(1, sizeof *s);

	s->shared = shared;
	s->on_change = on_change;
	s->arg = arg;
	hmap_init(&s->selected);
	hmap_init(&s->listed);
	loop_timer_init(&s->timer, shared->loop, on_timer, s);
	kube_namespaces_use(s, settings);
	return s;
}

void
kube_namespaces_free(struct kube_namespaces **sp)
{
	struct kube_namespaces *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	loop_timer_fini(&s->timer);
	kube_watch_free(&s->watch);
	hmap_fini(&s->listed);
	hmap_fini(&s->selected);
	str_list_fini(&s->named);
	str_list_fini(&s->all);
	free(s->selector);
	free(s->error);
	free(s);
}
