#include "autoscaler/kube/kube_recorder.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autoscaler/kube/kube_http.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "common/text.h"

#define EVENTS_MOST 1000 /* not created yet; more are dropped, and only logged by the caller */
#define TRIES_MOST 8
#define MESSAGE_MOST 1000 /* bytes; the server takes 1024 */
#define CALL_TIMEOUT (10 * CLK_S)

struct recorded_event {
	struct list_node node;
	struct kube_recorder *recorder;
	char *path, *body, *ns;
	struct kube_request *request;
	struct loop_timer timer;
	struct backoff backoff;
};

struct kube_recorder {
	struct loop *loop;
	struct kube_http *http;
	struct list waiting;
	char *refusal; /* that was logged; NULL: the last Event was created */
};

static void
recorded_event_free(struct recorded_event *e)
{
	list_remove(&e->recorder->waiting, &e->node);
	kube_http_cancel(&e->request);
	loop_timer_fini(&e->timer);
	free(e->ns);
	free(e->body);
	free(e->path);
	free(e);
}

/* Whether another try may succeed. */
static bool
may_retry(const struct recorded_event *e, const struct kube_answer *a)
{
	return (a->status == 0 || a->status == 429 || a->status >= 500) &&
	       e->backoff.tries < TRIES_MOST;
}

static void
take_refusal(struct recorded_event *e, const struct kube_answer *a)
{
	struct kube_recorder *r = e->recorder;
	char why[600];

	kube_http_explain(a, "create", "events", "", e->ns, why, sizeof why);
	if (!text_equal(r->refusal, why))
		log_warn(NULL, "cannot create an Event", "namespace=%s err=%s", e->ns, why);
	text_replace(&r->refusal, why);
}

static void
on_done(const struct kube_answer *a, void *arg)
{
	struct recorded_event *e = arg;

	e->request = NULL;
	if (may_retry(e, a)) {
		loop_timer_set(&e->timer, kube_http_delay(&e->backoff, a));
		return;
	}
	/* 404: the namespace is being deleted, and the object with it. */
	if (a->status >= 300 && a->status != 404)
		take_refusal(e, a);
	else if (a->status != 404 && a->status != 0)
		text_replace(&e->recorder->refusal, NULL);
	recorded_event_free(e);
}

static const struct kube_call_ops call_ops = {.on_done = on_done};

static void
on_timer(void *arg)
{
	struct recorded_event *e = arg;
	const struct kube_call call = {.method = "POST",
				       .path = e->path,
				       .type = "application/json",
				       .body = e->body,
				       .priority = KUBE_SPARE, /* nothing waits for it */
				       .timeout = CALL_TIMEOUT};

	e->request = kube_http_call(e->recorder->http, &call, &call_ops, e);
}

static void
put_object(struct jput *j, const struct kube_involved *o)
{
	char *version = xasprintf("%s%s%s", o->group, o->group[0] == '\0' ? "" : "/", o->version);

	jput_object(j, "involvedObject");
	jput_string(j, "apiVersion", version);
	jput_string(j, "kind", o->kind);
	jput_string(j, "namespace", o->ns);
	jput_string(j, "name", o->name);
	jput_string(j, "uid", o->uid);
	jput_object_end(j);
	free(version);
}

/* The length of text cut to `most` bytes, at the end of a UTF-8 character. */
static size_t
cut(const char *text, size_t most)
{
	size_t n = strnlen(text, most + 1);

	if (n <= most)
		return n;
	for (n = most; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
		n--;
	return n;
}

static char *
body_of(const struct kube_involved *o, bool is_warning, const char *reason, const char *message)
{
	int64_t now = clk_wall();
	time_t seconds = (time_t)(now / CLK_S);
	struct tm tm;
	char when[32], *name = xasprintf("%.200s.%llx", o->name, (unsigned long long)now);
	char *text = xstrndup(message, cut(message, MESSAGE_MOST));
	struct strbuf b;
	struct jput j;

	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	strbuf_init(&b, 0);
	jput_init(&j, &b);
	jput_object(&j, NULL);
	jput_string(&j, "apiVersion", "v1");
	jput_string(&j, "kind", "Event");
	jput_object(&j, "metadata");
	jput_string(&j, "namespace", o->ns);
	jput_string(&j, "name", name);
	jput_object_end(&j);
	put_object(&j, o);
	jput_string(&j, "type", is_warning ? "Warning" : "Normal");
	jput_string(&j, "reason", reason);
	jput_string(&j, "message", text);
	jput_i64(&j, "count", 1);
	jput_string(&j, "firstTimestamp", when);
	jput_string(&j, "lastTimestamp", when);
	jput_object(&j, "source");
	jput_string(&j, "component", "activator");
	jput_object_end(&j);
	jput_object_end(&j);
	free(text);
	free(name);
	return strbuf_take(&b);
}

void
kube_recorder_add(struct kube_recorder *r, const struct kube_involved *o, bool is_warning,
		  const char *reason, const char *message)
{
	struct recorded_event *e;

	if (r->waiting.n >= EVENTS_MOST)
		return;
	e = xcalloc(1, sizeof *e);
	e->recorder = r;
	e->ns = xstrdup(o->ns);
	e->path = xasprintf("/api/v1/namespaces/%s/events", o->ns);
	e->body = body_of(o, is_warning, reason, message);
	backoff_init(&e->backoff, 500 * CLK_MS, 30 * CLK_S);
	loop_timer_init(&e->timer, r->loop, on_timer, e);
	loop_timer_set(&e->timer, 0);
	list_push(&r->waiting, &e->node);
}

struct kube_recorder *
kube_recorder_new(struct loop *loop, struct kube_http *http)
{
	struct kube_recorder *r = xcalloc(1, sizeof *r);

	r->loop = loop;
	r->http = http;
	list_init(&r->waiting);
	return r;
}

void
kube_recorder_free(struct kube_recorder **rp)
{
	struct kube_recorder *r = *rp;
	struct list_node *node, *tmp;

	*rp = NULL;
	if (r == NULL)
		return;
	LIST_FOREACH(&r->waiting, node, tmp)
		recorded_event_free(container_of(node, struct recorded_event, node));
	free(r->refusal);
	free(r);
}
