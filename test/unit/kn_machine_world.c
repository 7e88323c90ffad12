#include "test/unit/kn_machine_world.h"

#include "autoscaler/kube/kube_recorder.h"
#include "common/loop.h"

struct kn_machine_world world;

/* --- in place of loop.c, kube_http.c and kube_recorder.c --- */

static int64_t
now(void)
{
	return world.now;
}

static int64_t
wall(void)
{
	return 1000 * CLK_S + world.now + world.wall_step;
}

static struct test_timer *
find_timer(const struct loop_timer *t)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&world.timers, node, tmp)
		if (container_of(node, struct test_timer, node)->t == t)
			return container_of(node, struct test_timer, node);
	return NULL;
}

void
loop_timer_init(struct loop_timer *t, struct loop *loop, void (*fn)(void *), void *arg)
{
	t->loop = loop;
	t->fn = fn;
	t->arg = arg;
}

void
loop_timer_clear(struct loop_timer *t)
{
	struct test_timer *of = find_timer(t);

	if (of == NULL)
		return;
	list_remove(&world.timers, &of->node);
	free(of);
}

void
loop_timer_set(struct loop_timer *t, int64_t delay_ns)
{
	struct test_timer *of = xcalloc(1, sizeof *of);

	loop_timer_clear(t);
	of->t = t;
	of->at = world.now + delay_ns;
	list_push(&world.timers, &of->node);
}

bool
loop_timer_pending(const struct loop_timer *t)
{
	return find_timer(t) != NULL;
}

void
loop_timer_fini(struct loop_timer *t)
{
	loop_timer_clear(t);
}

struct kube_request *
kube_http_call(struct kube_http *h, const struct kube_call *c, const struct kube_call_ops *ops,
	       void *arg)
{
	struct kube_request *r = xcalloc(1, sizeof *r);

	assert_null(h);
	r->method = xstrdup(c->method);
	r->path = xstrndup(c->path, strcspn(c->path, "?"));
	r->body = xstrdup(c->body == NULL ? "" : c->body);
	r->ops = ops;
	r->arg = arg;
	list_push(&world.requests, &r->node);
	world.most = MAX(world.most, world.requests.n);
	return r;
}

static void
request_free(struct kube_request *r)
{
	free(r->body);
	free(r->path);
	free(r->method);
	free(r);
}

void
kube_http_cancel(struct kube_request **rp)
{
	if (*rp != NULL) {
		list_remove(&world.requests, &(*rp)->node);
		request_free(*rp);
	}
	*rp = NULL;
}

int64_t
kube_http_delay(struct backoff *b, const struct kube_answer *a)
{
	(void)a;
	return backoff_next(b, 0);
}

void
kube_http_explain(const struct kube_answer *a, const char *verb, const char *resource,
		  const char *group, const char *ns, char *text, size_t size)
{
	(void)verb, (void)resource, (void)group, (void)ns;
	snprintf(text, size, "%d", a->status);
}

void
kube_recorder_add(struct kube_recorder *r, const struct kube_involved *o, bool is_warning,
		  const char *reason, const char *message)
{
	size_t n = strlen(world.notes);

	assert_null(r);
	assert_string_not_equal(o->uid, "");
	assert_string_equal(o->version, "v1");
	snprintf(world.notes + n, sizeof world.notes - n, "%s %s %d %s;", o->kind, reason,
		 is_warning, message);
}

/* --- the API server --- */

const char *
text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text == NULL ? "" : text;
}

json_t *
meta_of(const json_t *j)
{
	return json_object_get(j, "metadata");
}

void
stamp(json_t *object)
{
	char *rv = xasprintf("%lld", (long long)++world.version);

	json_object_set_new(meta_of(object), "resourceVersion", json_string(rv));
	free(rv);
}

void
store(const char *path, json_t *object)
{
	json_decref(hmap_put(&world.objects, path, object));
}

json_t *
add(const char *collection, json_t *object)
{
	char *uid = xasprintf("u%u", ++world.uids);
	char *path = xasprintf("%s/%s", collection, text_of(meta_of(object), "name"));

	json_object_set_new(meta_of(object), "uid", json_string(uid));
	stamp(object);
	store(path, object);
	free(path);
	free(uid);
	return object;
}

void
answer(struct kube_request *r, int status, const json_t *object, const char *reason)
{
	char *body = object == NULL ? xstrdup("{\"kind\":\"Status\"}") : json_dumps(object, 0);
	const struct kube_answer a = {.status = status,
				      .body = status == 0 ? "" : body,
				      .n = status == 0 ? 0 : strlen(body),
				      .reason = reason,
				      .message = status >= 300 || status == 0 ? "no" : ""};
	const struct kube_call_ops *ops = r->ops;
	void *arg = r->arg;

	list_remove(&world.requests, &r->node);
	request_free(r);
	ops->on_done(&a, arg);
	free(body);
}

/* Carry out a write; *status and *object are what is answered. */
static void
perform(const struct kube_request *r, int *status, json_t **object)
{
	char *path = xstrdup(r->path), *sub = strstr(path, "/status");
	json_t *sent = json_loads(r->body, 0, NULL), *is = NULL, *copy;
	bool is_status = sub != NULL;

	if (is_status)
		*sub = '\0';
	is = hmap_find(&world.objects, path);
	*object = NULL;
	if (strcmp(r->method, "POST") == 0) {
		char *full = xasprintf("%s/%s", path, text_of(meta_of(sent), "name"));

		*status = hmap_find(&world.objects, full) != NULL ? 409 : 201;
		if (*status == 201) {
			*object = add(path, json_incref(sent));
			world.creates++;
		}
		free(full);
	} else if (is == NULL) {
		*status = 404;
	} else if (strcmp(r->method, "DELETE") == 0) {
		assert_string_equal(text_of(json_object_get(sent, "preconditions"), "uid"),
				    text_of(meta_of(is), "uid"));
		*status = 200;
		json_decref(hmap_remove(&world.objects, path));
	} else if (strcmp(text_of(meta_of(sent), "resourceVersion"),
			  text_of(meta_of(is), "resourceVersion")) != 0) {
		*status = 409;
	} else if (world.is_stubborn && !is_status) {
		*status = 200;
		*object = is;
	} else {
		copy = json_deep_copy(is);
		if (is_status)
			json_object_set(copy, "status", json_object_get(sent, "status"));
		else
			json_object_update_recursive(copy, sent);
		world.statuses += is_status;
		stamp(copy);
		store(path, copy);
		*status = 200;
		*object = copy;
	}
	json_decref(sent);
	free(path);
}

static void
serve(struct kube_request *r)
{
	json_t *object = NULL;
	int status = 0;

	if (strcmp(r->method, "GET") == 0) {
		world.reads++;
		object = hmap_find(&world.objects, r->path);
		answer(r, object == NULL ? 404 : 200, object, "");
		return;
	}
	world.writes++;
	if (world.fault == DELETE_REFUSED) {
		status = 422;
		if (strcmp(r->method, "DELETE") != 0)
			perform(r, &status, &object);
		answer(r, status, object, "");
		return;
	}
	if (world.fault == NONE || world.fault == LOST_AFTER)
		perform(r, &status, &object);
	if (world.fault == LOST_AFTER || world.fault == LOST_BEFORE) {
		status = 0;
		object = NULL;
	}
	if (world.fault == REFUSED)
		status = 422;
	if (world.fault == UNAVAILABLE)
		status = 503;
	if (world.fault != UNAVAILABLE && world.fault != REFUSED)
		world.fault = NONE;
	answer(r, status, object, status == 409 ? "AlreadyExists" : "");
}

/* Fire what is due, and answer what is asked, until nothing is left. */
void
settle(void)
{
	unsigned rounds = 0;

	for (;;) {
		struct list_node *node, *tmp;
		struct test_timer *due = NULL;

		LIST_FOREACH(&world.timers, node, tmp) {
			struct test_timer *t = container_of(node, struct test_timer, node);

			if (t->at <= world.now && due == NULL)
				due = t;
		}
		assert_true(++rounds < 100000);
		if (due != NULL) {
			struct loop_timer *t = due->t;

			loop_timer_clear(t);
			t->fn(t->arg);
		} else if (!list_empty(&world.requests)) {
			serve(container_of(list_first(&world.requests), struct kube_request, node));
		} else {
			return;
		}
	}
}

/* Time passes, and all that is due in it happens in its order. */
void
pass(int64_t ns)
{
	int64_t until = world.now + ns;

	for (;;) {
		struct list_node *node, *tmp;
		int64_t next = until;

		settle();
		LIST_FOREACH(&world.timers, node, tmp)
			next = MIN(next, container_of(node, struct test_timer, node)->at);
		if (world.now == until)
			return;
		world.now = next;
	}
}

/* The watch shows an object of the server as it is now. */
void
watch(enum kn_kind kind, const char *path)
{
	json_t *object = hmap_find(&world.objects, path);

	assert_non_null(object);
	kn_cache_put(kn_machine_cache(world.machine), kind, object);
}

void
watch_gone(enum kn_kind kind, const char *path)
{
	json_t *object = hmap_remove(&world.objects, path);

	assert_non_null(object);
	kn_cache_remove(kn_machine_cache(world.machine), kind, "n",
			text_of(meta_of(object), "name"), text_of(meta_of(object), "uid"));
	json_decref(object);
}

/* --- life --- */

void
machine_world_open(void)
{
	memset(&world, 0, sizeof world);
	world.now = CLK_S;
	list_init(&world.timers);
	list_init(&world.requests);
	hmap_init(&world.objects);
	clk_replace(now);
	clk_replace_wall(wall);
}

void
machine_world_close(void)
{
	void *object;
	size_t at = 0;

	assert_int_equal(world.timers.n, 0);
	assert_int_equal(world.requests.n, 0);
	while (hmap_next(&world.objects, &at, NULL, &object))
		json_decref(object);
	hmap_fini(&world.objects);
	clk_replace(NULL);
	clk_replace_wall(NULL);
}
