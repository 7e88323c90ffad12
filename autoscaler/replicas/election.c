#include "autoscaler/replicas/election.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_config.h"
#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_watch.h"
#include "autoscaler/replicas/lease_json.h"
#include "common/clk.h"
#include "common/jget.h"
#include "common/log.h"
#include "common/loop.h"

#define DURATION (5 * CLK_S)
#define RENEW_EVERY CLK_S
#define DECIDE_FOR (3 * CLK_S)
#define CALL_TIMEOUT (2 * CLK_S) /* less than DECIDE_FOR, so that another try is in time */
#define REFUSED_RETRY CLK_S
#define GROUP "coordination.k8s.io"
#define GROUP_PATH "/apis/" GROUP "/v1"

struct election {
	struct loop *loop;
	struct kube_config config;
	struct kube_http *http;
	struct kube_watch_shared shared;
	struct kube_watch *watch;
	struct kube_request *request; /* NULL: none is under way */
	enum lease_verb verb;	      /* of it */
	char *collection, *path;      /* of all Leases, and of this one */
	char *ns, *name;
	struct lease *lease;
	const struct election_ops *ops;
	void *arg;
	struct loop_timer step;	  /* the next request is due, or lease_may_decide() ends */
	bool is_in_list;	  /* the list that comes has the Lease */
	int failure;		  /* status of the failure that was logged last; -1: none */
	enum lease_standing told; /* what ops knows */
	uint64_t told_term;
	char *told_holder;
	bool is_ended; /* standing is not told any more */
};

bool
election_may_decide(const struct election *e)
{
	return lease_may_decide(e->lease, clk_boot());
}

enum lease_standing
election_standing(const struct election *e)
{
	return lease_standing(e->lease, clk_boot());
}

uint64_t
election_term(const struct election *e)
{
	return lease_term(e->lease);
}

const char *
election_holder(const struct election *e)
{
	return lease_holder(e->lease);
}

/* --- requests --- */

static void
log_failure(struct election *e, const struct kube_answer *a)
{
	static const char *const verbs[] = {
		[LEASE_READ] = "get", [LEASE_CREATE] = "create", [LEASE_UPDATE] = "patch"};
	char text[512];

	if (e->failure == a->status)
		return;
	e->failure = a->status;
	kube_http_explain(a, verbs[e->verb], "leases", GROUP, e->ns, text, sizeof text);
	log_warn(NULL, "cannot reach the Lease", "lease=%s/%s status=%d err=%s", e->ns, e->name,
		 a->status, text);
}

static void
on_answer(const struct kube_answer *a, void *arg)
{
	struct election *e = arg;
	struct lease_object object = {.version = ""};
	enum lease_outcome outcome = LEASE_FAILED;
	struct json_t *doc = NULL;
	int64_t wait = a->retry_after;
	struct err why;

	e->request = NULL;
	if (a->status == 200 || a->status == 201) {
		doc = kube_json_parse(a->body, a->n, &why);
		if (doc != NULL)
			lease_json_read(doc, &object);
		outcome = object.version[0] == '\0' ? LEASE_FAILED : LEASE_DONE;
	} else if (a->status == 409) {
		outcome = LEASE_CONFLICT;
	} else if (a->status == 404 && e->verb != LEASE_CREATE) {
		outcome = LEASE_ABSENT;
	}
	if (outcome != LEASE_FAILED) {
		e->failure = -1;
	} else {
		log_failure(e, a);
		if (a->status >= 400 && a->status < 500)
			wait = MAX(wait, REFUSED_RETRY);
	}
	lease_answered(e->lease, outcome, outcome == LEASE_DONE ? &object : NULL, wait, clk_boot());
	jget_close(&doc);
	loop_timer_set(&e->step, 0);
}

static const struct kube_call_ops call_ops = {.on_done = on_answer};

static void
send_request(struct election *e, const struct lease_request *r)
{
	static const char *const methods[] = {
		[LEASE_READ] = "GET", [LEASE_CREATE] = "POST", [LEASE_UPDATE] = "PATCH"};
	struct kube_call call = {.method = methods[r->verb],
				 .path = r->verb == LEASE_CREATE ? e->collection : e->path,
				 .priority = KUBE_WAKE,
				 .timeout = CALL_TIMEOUT};
	char *body = NULL;

	e->verb = r->verb;
	if (r->verb != LEASE_READ) {
		body = lease_json_body(r, e->name, DURATION, clk_wall());
		call.body = body;
		call.type = r->verb == LEASE_CREATE ? "application/json" : KUBE_MERGE_PATCH;
	}
	e->request = kube_http_call(e->http, &call, &call_ops, e);
	free(body);
}

/* --- steps --- */

static bool
has_changed(struct election *e)
{
	enum lease_standing standing = election_standing(e);
	const char *holder = election_holder(e);
	uint64_t term = election_term(e);

	if (standing == e->told && term == e->told_term && strcmp(holder, e->told_holder) == 0)
		return false;
	log_info(NULL, "election", "lease=%s/%s standing=%s holder=%s term=%llu", e->ns, e->name,
		 lease_standing_name(standing), holder,
		 (unsigned long long)lease_holder_term(e->lease));
	e->told = standing;
	e->told_term = term;
	free(e->told_holder);
	e->told_holder = xstrdup(holder);
	return true;
}

static void
on_step(void *arg)
{
	struct election *e = arg;
	struct lease_request r;
	int64_t now = clk_boot(), next;

	if (lease_next(e->lease, now, &r))
		send_request(e, &r);
	next = MIN(lease_next_ns(e->lease), lease_turns_ns(e->lease, now));
	if (next != INT64_MAX)
		loop_timer_set(&e->step, MAX(next - now, 0));
	if (!e->is_ended && has_changed(e))
		e->ops->on_change(e->arg);
}

/* --- the watch: it may be called from within libcurl --- */

static void
on_list_begin(void *arg)
{
	struct election *e = arg;

	e->is_in_list = false;
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct election *e = arg;
	struct lease_object object;

	if (strcmp(ev->name, e->name) != 0)
		return;
	e->is_in_list = true;
	lease_json_read(ev->object, &object);
	lease_saw(e->lease, ev->type == KUBE_DELETED ? NULL : &object, clk_boot());
	loop_timer_set(&e->step, 0);
}

static void
on_list_end(void *arg)
{
	struct election *e = arg;

	if (e->is_in_list)
		return;
	lease_saw(e->lease, NULL, clk_boot());
	loop_timer_set(&e->step, 0);
}

static void
on_error(const char *why, void *arg)
{
	const struct election *e = arg;

	if (why != NULL)
		log_warn(NULL, "cannot watch the Lease", "lease=%s/%s err=%s", e->ns, e->name, why);
}

static const struct kube_watch_ops watch_ops = {.on_list_begin = on_list_begin,
						.on_event = on_event,
						.on_list_end = on_list_end,
						.on_error = on_error};

static void
on_back(int64_t since_ns, void *arg)
{
	struct election *e = arg;

	kube_watch_reconnect(e->watch, since_ns);
	loop_timer_set(&e->step, 0);
}

static const struct kube_http_ops http_ops = {.on_back = on_back};

/* --- life --- */

struct election *
election_open(struct loop *loop, const struct election_conf *conf, const struct election_ops *ops,
	      void *arg, struct err *err)
{
	struct election *e = xcalloc(1, sizeof *e);
	char *fields;

	if (kube_config_load(&e->config, conf->kubeconfig, err) == 0)
		e->http = kube_http_open(loop, &e->config, &http_ops, e, err);
	if (e->http == NULL) {
		kube_config_fini(&e->config);
		free(e);
		return NULL;
	}
	e->loop = loop;
	e->ops = ops;
	e->arg = arg;
	e->failure = -1;
	e->ns = xstrdup(conf->ns);
	e->name = xstrdup(conf->name);
	e->collection = xasprintf(GROUP_PATH "/namespaces/%s/leases", e->ns);
	e->path = xasprintf("%s/%s", e->collection, e->name);
	e->told_holder = xstrdup("");
	e->lease = lease_new(&(struct lease_conf){.id = conf->id,
						  .duration_ns = DURATION,
						  .renew_ns = RENEW_EVERY,
						  .decide_ns = DECIDE_FOR});
	e->shared = (struct kube_watch_shared){.loop = loop, .http = e->http};
	loop_timer_init(&e->step, loop, on_step, e);
	fields = xasprintf("metadata.name=%s", e->name);
	e->watch = kube_watch_new(&e->shared,
				  &(struct kube_watch_conf){.group_path = GROUP_PATH,
							    .group = GROUP,
							    .plural = "leases",
							    .ns = e->ns,
							    .fields = fields},
				  &watch_ops, e);
	free(fields);
	loop_timer_set(&e->step, 0);
	return e;
}

static void
on_release_timeout(void *arg)
{
	*(bool *)arg = true;
}

void
election_release(struct election *e, int64_t most_ns)
{
	struct loop_timer timeout;
	bool is_over = false;

	e->is_ended = true;
	lease_release(e->lease, clk_boot());
	loop_timer_set(&e->step, 0);
	loop_timer_init(&timeout, e->loop, on_release_timeout, &is_over);
	loop_timer_set(&timeout, most_ns);
	while (!is_over && !lease_is_released(e->lease))
		loop_once(e->loop, false);
	loop_timer_fini(&timeout);
}

void
election_close(struct election **ep)
{
	struct election *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	loop_timer_fini(&e->step);
	kube_http_cancel(&e->request);
	kube_watch_free(&e->watch);
	kube_http_close(&e->http);
	kube_config_fini(&e->config);
	lease_free(&e->lease);
	free(e->told_holder);
	free(e->path);
	free(e->collection);
	free(e->name);
	free(e->ns);
	free(e);
}
