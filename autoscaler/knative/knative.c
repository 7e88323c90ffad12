#include "autoscaler/knative/knative.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_handlers.h"
#include "autoscaler/knative/kn_itself.h"
#include "autoscaler/knative/kn_machine.h"
#include "autoscaler/knative/kn_output.h"
#include "autoscaler/knative/kn_watches.h"
#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_namespaces.h"
#include "autoscaler/kube/kube_watch.h"
#include "common/clk.h"
#include "common/file.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/text.h"

/* How long all services wait for a right that is missing when the program starts: one that has just
 * been taken away, or that is not there yet, must not take Knative's services from the activators.
 */
#define PATIENCE (60 * CLK_S)
#define RESOLV_MOST ((size_t)64 << 10)
/* Looking for changes, and on_services, take at most a quarter of all time, in a storm of changes;
 * the few calls for one change, after a while without any, follow one another at once. */
#define CHANGE_SHARE 4
#define CHANGE_BURST CLK_S
#define CHANGE_PAUSE_MOST CLK_S
/* What on_services causes elsewhere for each service counts, too: activators read all of them, and
 * the driver lists all workloads again where one is new. */
#define CHANGE_EACH (CLK_MS / 20)
/* Memory that is free after changes goes back to the system after this time.  Objects that come and
 * go leave it in small parts between those that stay. */
#define TRIM_EVERY (10 * CLK_S)

struct kn_controllers {
	struct knative_conf c;
	struct kn_config *config;
	struct hmap
		config_seen; /* names of ConfigMaps to their resourceVersion, as they were read */
	struct kn_machine *machine;
	struct kn_itself *itself;   /* NULL: asking for the version */
	struct kn_watches *watches; /* NULL: not known yet whether Knative itself is there */
	struct kn_output *output;
	struct kn_facts facts;
	uint64_t routed; /* serial */
	bool is_refused; /* Knative Serving itself is there */
	bool is_writer;
	bool is_listed; /* each kind was, once */
	bool is_known;	/* is_listed, or they cannot be: the services are complete */
	int kubernetes_minor;
	struct kube_request *request;
	struct loop_timer ask, change, patience, trim;
	size_t services_n; /* that knative_services() has returned last */
	struct backoff backoff;
	int64_t change_paid_ns; /* until then on_change_due() has used up its share */
};

static struct kn_output_input
input_of(const struct kn_controllers *k)
{
	return (struct kn_output_input){.cache = kn_machine_cache(k->machine),
					.config = k->config,
					.settings = k->c.settings};
}

/* --- facts --- */

static bool
on_revision(const struct kn_facts *f, const char *ns, const char *deployment,
	    struct kn_revision_facts *out)
{
	const struct kn_controllers *k = f->arg;

	return k->c.revision(ns, deployment, out, k->c.arg);
}

static bool
on_is_routed(const struct kn_facts *f, const char *ns, const char *route)
{
	const struct kn_controllers *k = f->arg;
	const struct kn_output_input in = input_of(k);

	return kn_output_is_routed(k->output, &in, ns, route, k->routed);
}

static bool
on_is_confirmed(const struct kn_facts *f)
{
	const struct kn_controllers *k = f->arg;

	return k->routed > 0;
}

static enum rollout_verdict
on_verdict(const struct kn_facts *f, const struct rollout_question *q, char **why)
{
	const struct kn_controllers *k = f->arg;

	return k->c.judge(q, why, k->c.arg);
}

static const char *
on_refusal(const struct kn_facts *f, enum kn_kind kind, const char *ns, const char *name)
{
	const struct kn_controllers *k = f->arg;

	return kn_output_refusal(k->output, kind, ns, name);
}

/* --- ConfigMaps --- */

static void
forget_seen(struct kn_controllers *k)
{
	size_t at = 0;
	void *rv;

	while (hmap_next(&k->config_seen, &at, NULL, &rv))
		free(rv);
	hmap_fini(&k->config_seen);
}

/* Take one that has changed.  True: the config has. */
static bool
take_config_map(struct kn_controllers *k, const struct kn_object *o)
{
	const char *seen = hmap_find(&k->config_seen, o->name);
	bool is_change;
	json_t *json;

	if (!kn_config_is_read(o->name) || text_equal(seen, o->rv))
		return false;
	json = kn_object_json(o);
	is_change = kn_config_apply(k->config, o->name, json_object_get(json, "data"));
	json_decref(json);
	free(hmap_put(&k->config_seen, o->name, xstrdup(o->rv)));
	return is_change;
}

/* Those that have gone leave Knative's defaults. */
static bool
drop_config_maps(struct kn_controllers *k)
{
	const struct kn_cache *cache = kn_machine_cache(k->machine);
	bool is_change = false;
	const char *name;
	size_t at = 0;
	void *rv;

	while (hmap_next(&k->config_seen, &at, &name, &rv)) {
		if (kn_cache_find(cache, KN_CONFIG_MAP, KN_CONFIG_NAMESPACE, name) != NULL)
			continue;
		is_change |= kn_config_apply(k->config, name, NULL);
		hmap_remove(&k->config_seen, name);
		free(rv);
	}
	return is_change;
}

static void
take_config(struct kn_controllers *k)
{
	const struct kn_cache *cache = kn_machine_cache(k->machine);
	const struct kn_object *o = NULL;
	bool is_change = drop_config_maps(k);

	while ((o = kn_cache_next(cache, KN_CONFIG_MAP, NULL, o)) != NULL)
		is_change |= take_config_map(k, o);
	if (is_change)
		kn_machine_mark_all(k->machine);
}

/* --- services --- */

/* All services are looked at, and a description of all of them goes out, so that a storm of changes
 * must not call it each time. */
static void
on_change_due(void *arg)
{
	struct kn_controllers *k = arg;
	const struct kn_output_input in = input_of(k);
	int64_t now = clk_now(), took;

	if (now < k->change_paid_ns) {
		loop_timer_set(&k->change, k->change_paid_ns - now);
		return;
	}
	took = 0;
	if (!kn_output_is_current(k->output, &in)) {
		k->c.on_services(k->c.arg);
		took = (int64_t)k->services_n * CHANGE_EACH;
	}
	took += clk_now() - now;
	k->change_paid_ns = MAX(k->change_paid_ns, now - CHANGE_BURST) + CHANGE_SHARE * took;
	k->change_paid_ns = MIN(k->change_paid_ns, now + took + CHANGE_PAUSE_MOST);
}

static void
on_trim_due(void *arg)
{
	(void)arg;
	malloc_trim(0);
}

static void
on_change(void *arg)
{
	struct kn_controllers *k = arg;

	if (k->watches == NULL || !k->is_listed)
		return;
	take_config(k);
	if (!loop_timer_pending(&k->trim))
		loop_timer_set(&k->trim, TRIM_EVERY);
	if (!loop_timer_pending(&k->change))
		on_change_due(k);
}

const struct service_conf *
knative_services(struct kn_controllers *k, const struct settings *settings,
		 const struct kn_claims *claims, uint64_t serial, size_t *n)
{
	static const struct service_conf none;
	struct kn_output_input in;
	const struct service_conf *v;
	const char *ns, *name;
	enum kn_kind kind;

	*n = 0;
	if (!k->is_known)
		return NULL;
	if (!k->is_listed) /* a part of them would be taken for all */
		return &none;
	in = input_of(k);
	in.settings = settings;
	v = kn_output_services(k->output, &in, claims, serial, n);
	k->services_n = *n;
	while (kn_output_next_refusal(k->output, &kind, &ns, &name))
		kn_machine_mark(k->machine, kind, ns, name);
	return v;
}

/* Can what is in use now be what this Route waits for? */
static bool
may_be_routed(enum kn_kind kind, const char *ns, const char *name, void *arg)
{
	const struct kn_controllers *k = arg;

	return kind != KN_ROUTE || kn_output_serial(k->output, ns, name) <= k->routed;
}

void
knative_routed(struct kn_controllers *k, uint64_t serial)
{
	k->routed = MAX(k->routed, serial);
	kn_machine_mark_unrouted(k->machine, may_be_routed, k);
}

void
knative_deployment_changed(struct kn_controllers *k, const char *ns, const char *name)
{
	kn_machine_mark_deployment(k->machine, ns, name);
}

/* --- listing --- */

/* As far as they can be found out, the services are complete. */
static void
set_known(struct kn_controllers *k)
{
	loop_timer_clear(&k->patience);
	k->is_known = true;
	k->c.on_services(k->c.arg);
}

static void
on_listed(void *arg)
{
	struct kn_controllers *k = arg;

	if (kn_watches_are_listed(k->watches)) {
		k->is_listed = true;
		take_config(k);
		log_info(NULL, "Knative's objects are listed", "objects=%zu",
			 kn_cache_count(kn_machine_cache(k->machine)));
		kn_machine_start(k->machine, k->kubernetes_minor);
		set_known(k);
	} else if (!k->is_known && kn_watches_missing(k->watches) != NULL) {
		set_known(k); /* their definitions are not installed */
	}
}

/* Rights that are missing may come back: what activators have of Knative's services, and of all
 * others, has stayed as it was until now. */
static void
on_patience_over(void *arg)
{
	struct kn_controllers *k = arg;
	const char *why = NULL;

	if (k->watches != NULL)
		why = kn_watches_refusal(k->watches);
	else if (k->itself != NULL)
		why = kn_itself_is_known(k->itself) ? kube_namespaces_error(k->c.namespaces)
						    : kn_itself_refusal(k->itself);

	if (k->is_known)
		return;
	if (why == NULL) { /* the server does not answer yet */
		loop_timer_set(&k->patience, PATIENCE);
		return;
	}
	log_error(NULL, "Knative's services are not served: its objects cannot be read",
		  "waited_s=%lld err=%s", (long long)(PATIENCE / CLK_S), why);
	set_known(k);
}

/* In all the namespaces that the conf file admits, once these are known. */
static void
watch(struct kn_controllers *k)
{
	if (kube_namespaces_are_listed(k->c.namespaces))
		k->watches = kn_watches_new(k->c.shared, kn_machine_cache(k->machine),
					    kube_namespaces_get(k->c.namespaces), on_listed, k);
}

/* Knative Serving itself is known to be there, or not. */
static void
on_itself(void *arg)
{
	struct kn_controllers *k = arg;
	bool is_there = kn_itself_is_there(k->itself);

	if (!kn_itself_is_known(k->itself))
		return;
	if (is_there && !k->is_refused)
		log_error(NULL,
			  "Knative Serving itself is in this cluster: remove it, or set knative to "
			  "no; its objects are not written",
			  "webhook=%s", KN_ITSELF_WEBHOOK);
	if (!is_there && k->is_refused)
		log_info(NULL, "Knative Serving itself has gone: its objects are served here",
			 "webhook=%s", KN_ITSELF_WEBHOOK);
	k->is_refused = is_there;
	kn_machine_set_writer(k->machine, k->is_writer && !is_there);
	if (!is_there && k->watches == NULL)
		watch(k);
	else if (is_there && !k->is_known)
		set_known(k);
}

/* --- asking --- */

static void
on_version(const struct kube_answer *a, void *arg)
{
	struct kn_controllers *k = arg;
	json_t *doc = a->status == 200 ? kube_json_parse(a->body, a->n, NULL) : NULL;

	k->request = NULL;
	if (doc == NULL) {
		loop_timer_set(&k->ask, kube_http_delay(&k->backoff, a));
		return;
	}
	/* "30", or "30+" */
	k->kubernetes_minor = (int)strtol(kube_field_text_or_empty(doc, "minor"), NULL, 10);
	json_decref(doc);
	if (k->itself == NULL)
		k->itself = kn_itself_new(k->c.shared, on_itself, k);
}

static const struct kube_call_ops version_ops = {.on_done = on_version};

static void
on_ask(void *arg)
{
	static const struct kube_call call = {.method = "GET",
					      .path = "/version",
					      .priority = KUBE_NORMAL,
					      .timeout = KUBE_CALL_TIMEOUT};
	struct kn_controllers *k = arg;

	k->request = kube_http_call(k->c.shared->http, &call, &version_ops, k);
}

/* --- life --- */

/* Until those that are selected are listed for the first time, what there was goes on. */
void
knative_use_namespaces(struct kn_controllers *k)
{
	if (!kube_namespaces_are_listed(k->c.namespaces))
		return;
	if (k->watches != NULL)
		kn_watches_use(k->watches, kube_namespaces_get(k->c.namespaces));
	else if (k->itself != NULL && kn_itself_is_known(k->itself) && !k->is_refused)
		watch(k);
}

void
knative_use(struct kn_controllers *k, const struct settings *settings)
{
	k->c.settings = settings;
	kn_machine_use(k->machine, settings);
	knative_use_namespaces(k);
}

void
knative_set_writer(struct kn_controllers *k, bool is_writer)
{
	k->is_writer = is_writer;
	kn_machine_set_writer(k->machine, is_writer && !k->is_refused);
}

void
knative_reconnect(struct kn_controllers *k, int64_t since_ns)
{
	if (k->itself != NULL)
		kn_itself_reconnect(k->itself, since_ns);
	else if (k->request == NULL)
		loop_timer_set(&k->ask, 0);
	if (k->watches != NULL)
		kn_watches_reconnect(k->watches, since_ns);
}

struct kn_controllers *
knative_open(const struct knative_conf *c)
{
	struct kn_controllers *k = xcalloc(1, sizeof *k);
	struct kn_machine_conf conf = {.loop = c->shared->loop,
				       .http = c->shared->http,
				       .recorder = c->recorder,
				       .handlers = &kn_handlers,
				       .facts = &k->facts,
				       .settings = c->settings};
	struct err e; /* without that file the cluster's domain is the usual one */
	char *resolv = file_read("/etc/resolv.conf", RESOLV_MOST, NULL, &e);

	k->c = *c;
	k->is_writer = true;
	k->config = kn_config_new(resolv);
	free(resolv);
	hmap_init(&k->config_seen);
	k->facts = (struct kn_facts){.revision = on_revision,
				     .is_routed = on_is_routed,
				     .is_confirmed = on_is_confirmed,
				     .verdict = c->judge == NULL ? NULL : on_verdict,
				     .refusal = on_refusal,
				     .arg = k};
	conf.config = k->config;
	k->machine = kn_machine_new(&conf, on_change, k);
	k->output = kn_output_new();
	backoff_init(&k->backoff, 100 * CLK_MS, 30 * CLK_S);
	loop_timer_init(&k->ask, c->shared->loop, on_ask, k);
	loop_timer_init(&k->change, c->shared->loop, on_change_due, k);
	loop_timer_init(&k->trim, c->shared->loop, on_trim_due, k);
	loop_timer_init(&k->patience, c->shared->loop, on_patience_over, k);
	loop_timer_set(&k->patience, PATIENCE);
	loop_timer_set(&k->ask, 0);
	return k;
}

void
knative_close(struct kn_controllers **kp)
{
	struct kn_controllers *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	kube_http_cancel(&k->request);
	loop_timer_fini(&k->trim);
	loop_timer_fini(&k->change);
	loop_timer_fini(&k->patience);
	loop_timer_fini(&k->ask);
	kn_itself_free(&k->itself);
	kn_watches_free(&k->watches);
	kn_machine_free(&k->machine);
	kn_output_free(&k->output);
	kn_config_free(&k->config);
	forget_seen(k);
	free(k);
}
