#include "autoscaler/knative/kn_itself.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_watch.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/text.h"

struct kn_itself {
	struct kube_watch *watch;
	void (*on_change)(void *);
	void *arg;
	struct loop_timer change; /* on_change is due */
	bool is_listed;
	bool is_there;
	bool is_seen; /* in the list that is coming */
	char *refusal;
};

/* --- upcalls of the watch, also from within libcurl --- */

static void
on_list_begin(void *arg)
{
	struct kn_itself *i = arg;

	i->is_seen = false;
}

static void
set_there(struct kn_itself *i, bool is_there)
{
	i->is_there = is_there;
	loop_timer_set(&i->change, 0);
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct kn_itself *i = arg;

	if (strcmp(ev->name, KN_ITSELF_WEBHOOK) != 0)
		return;
	i->is_seen = ev->type != KUBE_DELETED;
	if (i->is_listed && i->is_seen != i->is_there)
		set_there(i, i->is_seen);
}

static void
on_list_end(void *arg)
{
	struct kn_itself *i = arg;

	if (!i->is_listed || i->is_seen != i->is_there)
		set_there(i, i->is_seen);
	i->is_listed = true;
}

static void
on_error(const char *why, void *arg)
{
	struct kn_itself *i = arg;

	if (why != NULL && !text_equal(i->refusal, why))
		log_warn(NULL, "cannot find out whether Knative Serving itself is in this cluster",
			 "webhook=%s err=%s", KN_ITSELF_WEBHOOK, why);
	text_replace(&i->refusal, why);
}

static void
on_change_due(void *arg)
{
	struct kn_itself *i = arg;

	i->on_change(i->arg);
}

/* --- life --- */

struct kn_itself *
kn_itself_new(struct kube_watch_shared *shared, void (*on_change)(void *), void *arg)
{
	static const struct kube_watch_ops ops = {on_list_begin, on_event, on_list_end, on_error};
	static const struct kube_watch_conf conf = {
		.group_path = "/apis/admissionregistration.k8s.io/v1",
		.group = "admissionregistration.k8s.io",
		.plural = "validatingwebhookconfigurations",
		.fields = "metadata.name=" KN_ITSELF_WEBHOOK};
	struct kn_itself *i = xcalloc(1, sizeof *i);

	i->on_change = on_change;
	i->arg = arg;
	loop_timer_init(&i->change, shared->loop, on_change_due, i);
	i->watch = kube_watch_new(shared, &conf, &ops, i);
	return i;
}

void
kn_itself_free(struct kn_itself **ip)
{
	struct kn_itself *i = *ip;

	*ip = NULL;
	if (i == NULL)
		return;
	kube_watch_free(&i->watch);
	loop_timer_fini(&i->change);
	free(i->refusal);
	free(i);
}

bool
kn_itself_is_known(const struct kn_itself *i)
{
	return i->is_listed;
}

bool
kn_itself_is_there(const struct kn_itself *i)
{
	return i->is_there;
}

const char *
kn_itself_refusal(const struct kn_itself *i)
{
	return i->refusal;
}

void
kn_itself_reconnect(struct kn_itself *i, int64_t since_ns)
{
	kube_watch_reconnect(i->watch, since_ns);
}
