#include "test/unit/kn_world.h"

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_conditions.h"
#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_defaults.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_time.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define NS "default"
#define ROUNDS_MOST 200

/* --- the API server --- */

static const char *
key_of(const char *ns, const char *name)
{
	static char keys[4][200];
	static size_t next;
	char *key = keys[next++ % ARRAY_LEN(keys)];

	(void)snprintf(key, sizeof keys[0], "%s/%s", ns, name);
	return key;
}

static json_t *
find(const struct kn_world *w, enum kn_kind kind, const char *ns, const char *name)
{
	return json_object_get(w->store[kind], key_of(ns, name));
}

static json_t *
meta(json_t *object)
{
	return kn_json_child(object, "metadata");
}

/* Keep the object as the newest, and show it. */
static void
keep(struct kn_world *w, enum kn_kind kind, json_t *object)
{
	const char *ns = kn_json_text(object, "metadata", "namespace", NULL);
	const char *name = kn_json_text(object, "metadata", "name", NULL);
	const char *label = kn_kind_names(kind)->label;
	char rv[24];

	(void)snprintf(rv, sizeof rv, "%lu", ++w->rv);
	kn_json_set_text(meta(object), "resourceVersion", rv);
	kn_json_set(w->store[kind], key_of(ns, name), json_incref(object));
	/* What has not got the watch's label is seen only when it is in the way. */
	if (label == NULL || kn_json_at(object, "metadata", "labels", label, NULL) != NULL ||
	    kn_cache_find(w->cache, kind, ns, name) != NULL)
		(void)kn_cache_put(w->cache, kind, object);
	json_decref(object);
}

static void
drop(struct kn_world *w, enum kn_kind kind, const char *ns, const char *name)
{
	kn_json_set(w->store[kind], key_of(ns, name), NULL);
	(void)kn_cache_remove(w->cache, kind, ns, name, NULL);
}

/* Takes the object over. */
static void
create(struct kn_world *w, enum kn_kind kind, json_t *object)
{
	char uid[24], now[KN_TIME_SIZE];

	assert_null(find(w, kind, kn_json_text(object, "metadata", "namespace", NULL),
			 kn_json_text(object, "metadata", "name", NULL)));
	(void)snprintf(uid, sizeof uid, "uid-%lu", ++w->uid);
	kn_json_set_text(meta(object), "uid", uid);
	kn_json_set_number(meta(object), "generation", 1);
	kn_json_set_text(meta(object), "creationTimestamp", kn_time_format(w->wall_s, now));
	kn_json_set_text(object, "apiVersion", kn_kind_names(kind)->api_version);
	kn_json_set_text(object, "kind", kn_kind_names(kind)->kind);
	kn_json_set(object, "status", NULL);
	keep(w, kind, object);
}

/* What the server keeps of `old` when `object` takes its place; a status write keeps all else. */
static json_t *
merge_old(json_t *object, const json_t *old, bool is_status)
{
	static const char *const fixed[] = {"uid", "creationTimestamp", "generation",
					    "resourceVersion", "deletionTimestamp"};
	json_t *merged = json_deep_copy(is_status ? old : object);
	size_t i;

	if (is_status) {
		kn_json_set(merged, "status", kn_json_copy(json_object_get(object, "status")));
		return merged;
	}
	kn_json_set(merged, "status", kn_json_copy(json_object_get(old, "status")));
	for (i = 0; i < ARRAY_LEN(fixed); i++)
		kn_json_set(meta(merged), fixed[i],
			    kn_json_copy(kn_json_at(old, "metadata", fixed[i], NULL)));
	if (!json_equal(json_object_get(object, "spec"), json_object_get(old, "spec")))
		kn_json_set_number(
			meta(merged), "generation",
			kn_json_number(kn_json_at(old, "metadata", NULL), "generation", 0) + 1);
	return merged;
}

/* False: nothing has changed. */
static bool
replace(struct kn_world *w, enum kn_kind kind, json_t *old, json_t *object, bool is_status)
{
	json_t *merged = merge_old(object, old, is_status);

	if (json_equal(merged, old)) {
		json_decref(merged);
		return false;
	}
	keep(w, kind, merged);
	return true;
}

static void
merge_patch(json_t *to, const json_t *patch)
{
	const json_t *value;
	const char *key;

	KN_EACH_MEMBER(patch, key, value)
	{
		if (json_is_null(value))
			kn_json_set(to, key, NULL);
		else if (json_is_object(value))
			merge_patch(kn_json_child(to, key), value);
		else
			kn_json_set(to, key, kn_json_copy(value));
	}
}

/* What the uid owns goes, and what that owns. */
static void
collect(struct kn_world *w, const char *uid)
{
	enum kn_kind kind;
	const struct kn_object *o;

	for (kind = 0; kind < KN_KINDS_N; kind++)
		while ((o = kn_cache_next_owned(w->cache, kind, uid, NULL)) != NULL) {
			char *own = xstrdup(o->uid), *ns = xstrdup(o->ns), *name = xstrdup(o->name);

			drop(w, kind, ns, name);
			collect(w, own);
			free(name);
			free(ns);
			free(own);
		}
}

void
kn_world_apply(struct kn_world *w, enum kn_kind kind, const char *text)
{
	json_error_t error;
	json_t *object = json_loads(text, 0, &error), *old;
	const char *ns;

	if (object == NULL)
		fail_msg("%s: %s", text, error.text);
	ns = kn_json_text(object, "metadata", "namespace", NULL);
	if (*ns == '\0')
		kn_json_set_text(meta(object), "namespace", ns = NS);
	old = find(w, kind, ns, kn_json_text(object, "metadata", "name", NULL));
	if (old == NULL) {
		create(w, kind, object);
		return;
	}
	kn_json_set_text(object, "apiVersion", kn_kind_names(kind)->api_version);
	kn_json_set_text(object, "kind", kn_kind_names(kind)->kind);
	if (kn_json_at(object, "metadata", "ownerReferences", NULL) == NULL)
		kn_json_set(meta(object), "ownerReferences",
			    kn_json_copy(kn_json_at(old, "metadata", "ownerReferences", NULL)));
	(void)replace(w, kind, old, object, false);
	json_decref(object);
}

void
kn_world_patch(struct kn_world *w, enum kn_kind kind, const char *name, const char *text)
{
	json_t *old = find(w, kind, NS, name), *patch = json_loads(text, 0, NULL), *object;

	assert_non_null(old);
	assert_non_null(patch);
	object = json_deep_copy(old);
	merge_patch(object, patch);
	if (json_object_get(patch, "status") != NULL)
		(void)replace(w, kind, old, object, true);
	else
		(void)replace(w, kind, old, object, false);
	json_decref(object);
	json_decref(patch);
}

static void
delete_one(struct kn_world *w, enum kn_kind kind, const char *ns, const char *name)
{
	json_t *object = json_incref(find(w, kind, ns, name));

	assert_non_null(object);
	drop(w, kind, ns, name);
	collect(w, kn_json_text(object, "metadata", "uid", NULL));
	json_decref(object);
}

void
kn_world_delete(struct kn_world *w, enum kn_kind kind, const char *name)
{
	delete_one(w, kind, NS, name);
}

static void
set_deleting(struct kn_world *w, enum kn_kind kind, json_t *object)
{
	json_t *copy = json_deep_copy(object);
	char now[KN_TIME_SIZE];

	kn_json_set_text(meta(copy), "deletionTimestamp", kn_time_format(w->wall_s, now));
	kn_json_set_number(meta(copy), "generation",
			   kn_json_number(meta(copy), "generation", 0) + 1);
	keep(w, kind, copy);
}

void
kn_world_delete_foreground(struct kn_world *w, enum kn_kind kind, const char *name)
{
	json_t *object = find(w, kind, NS, name);

	assert_non_null(object);
	set_deleting(w, kind, object);
}

/* One object that is being deleted; NULL: there is none. */
static const json_t *
find_deleting(const struct kn_world *w, enum kn_kind *kind)
{
	const json_t *object;
	const char *key;

	for (*kind = 0; *kind < KN_KINDS_N; ++*kind)
		KN_EACH_MEMBER(w->store[*kind], key, object)
		{
			(void)key;
			if (kn_json_at(object, "metadata", "deletionTimestamp", NULL) != NULL)
				return object;
		}
	return NULL;
}

void
kn_world_collect(struct kn_world *w)
{
	const json_t *object;
	enum kn_kind kind;

	while ((object = find_deleting(w, &kind)) != NULL)
		delete_one(w, kind, kn_json_text(object, "metadata", "namespace", NULL),
			   kn_json_text(object, "metadata", "name", NULL));
}

/* --- the machine --- */

static void
fail_write(const struct kn_write *write, const char *what)
{
	char *body = write->body == NULL ? xstrdup("") : json_dumps(write->body, JSON_COMPACT);

	print_message("%s\n", body);
	free(body);
	fail_msg("%s %s/%s: %s", kn_kind_names(write->kind)->kind, write->ns, write->name, what);
}

/* The object that a write is for; its resourceVersion must be the newest, unless the same plan has
 * written to it before. */
static json_t *
target_of(const struct kn_world *w, const struct kn_plan *plan, size_t i)
{
	const struct kn_write *write = &plan->writes[i], *before;
	json_t *object = find(w, write->kind, write->ns, write->name);

	if (object == NULL)
		return NULL;
	if (strcmp(kn_json_text(object, "metadata", "uid", NULL), write->uid) != 0)
		return NULL;
	for (before = plan->writes; before < write; before++)
		if (before->kind == write->kind && strcmp(before->ns, write->ns) == 0 &&
		    strcmp(before->name, write->name) == 0)
			return object;
	if (strcmp(kn_json_text(object, "metadata", "resourceVersion", NULL), write->rv) != 0)
		fail_write(write, "an old resourceVersion");
	return object;
}

/* False: the plan ends here, and is made again. */
static bool
carry_out(struct kn_world *w, const struct kn_plan *plan, size_t i)
{
	const struct kn_write *write = &plan->writes[i];
	json_t *object = NULL, *changed;

	if (write->verb == KN_CREATE) {
		object = find(w, write->kind, write->ns, write->name);
		if (object != NULL) {
			if (kn_cache_find(w->cache, write->kind, write->ns, write->name) != NULL)
				fail_write(write, "it exists");
			(void)kn_cache_put(w->cache, write->kind, object);
			return false;
		}
		create(w, write->kind, json_deep_copy(write->body));
		return true;
	}
	object = target_of(w, plan, i);
	if (object == NULL)
		return true; /* it is gone */
	switch (write->verb) {
	case KN_DELETE:
		delete_one(w, write->kind, write->ns, write->name);
		return true;
	case KN_PATCH:
		changed = json_deep_copy(object);
		merge_patch(changed, write->body);
		if (!replace(w, write->kind, object, changed, false))
			fail_write(write, "a patch that changes nothing");
		json_decref(changed);
		return true;
	default:
		if (!replace(w, write->kind, object, write->body, write->verb == KN_PUT_STATUS))
			fail_write(write, "a write that changes nothing");
		return true;
	}
}

static const char *
failure_key(const struct kn_object *o)
{
	static char key[240];

	(void)snprintf(key, sizeof key, "%s %s/%s", kn_kind_names(o->kind)->plural, o->ns, o->name);
	return key;
}

/* Carry out the writes of a plan.  Returns how many were. */
static size_t
execute(struct kn_world *w, const char *key, const struct kn_plan *plan)
{
	const char *why;
	size_t i, refused = 0;

	for (i = 0; i < plan->writes_n; i++) {
		why = w->refuse == NULL ? NULL : w->refuse(w, &plan->writes[i]);
		if (why != NULL && plan->writes[i].verb == KN_DELETE) {
			refused++;
			continue;
		}
		if (why != NULL) {
			kn_json_set(w->failures, key,
				    json_pack("{s:i, s:i, s:s, s:i, s:s, s:s}", "verb",
					      (int)plan->writes[i].verb, "kind",
					      (int)plan->writes[i].kind, "name",
					      plan->writes[i].name, "status", w->refuse_status,
					      "reason",
					      w->refuse_status == 403 ? "Forbidden" : "Invalid",
					      "message", why));
			return i;
		}
		if (w->dies_at != 0 && w->writes_n == w->dies_at) {
			json_object_clear(w->failures);
			w->dies_at = 0;
			return i + 1; /* as if something had changed: the next one begins anew */
		}
		w->writes_n++;
		if (!carry_out(w, plan, i))
			return i + 1;
	}
	kn_json_set(w->failures, key, NULL);
	return i - refused;
}

/* Returns how many writes it has made. */
static size_t
reconcile(struct kn_world *w, enum kn_kind kind, const char *ns, const char *name)
{
	const struct kn_object *o = kn_cache_find(w->cache, kind, ns, name);
	struct kn_context ctx = {.cache = w->cache,
				 .config = w->config,
				 .facts = &w->facts,
				 .settings = w->settings,
				 .wall_s = w->wall_s,
				 .now_ns = w->now_ns,
				 .kubernetes_minor = w->kubernetes_minor};
	struct kn_failure failure;
	struct kn_plan plan;
	json_t *past;
	char *key;
	size_t n;

	if (o == NULL || o->is_deleting)
		return 0;
	key = xstrdup(failure_key(o));
	past = kn_json_copy(json_object_get(w->failures, key));
	if (past != NULL) {
		failure = (struct kn_failure){
			.verb = (enum kn_verb)kn_json_number(past, "verb", 0),
			.kind = (enum kn_kind)kn_json_number(past, "kind", 0),
			.name = (char *)(uintptr_t)kn_json_text(past, "name", NULL),
			.status = (int)kn_json_number(past, "status", 0),
			.reason = (char *)(uintptr_t)kn_json_text(past, "reason", NULL),
			.message = (char *)(uintptr_t)kn_json_text(past, "message", NULL)};
		ctx.failure = &failure;
	}
	kn_plan_init(&plan);
	w->handlers.v[kind](&ctx, o, &plan);
	n = execute(w, key, &plan);
	/* A plan that is refused again at the same write has come to its end. */
	if (past != NULL && n == 0 && plan.writes_n > 0)
		n = 0;
	else if (past == NULL && json_object_get(w->failures, key) != NULL)
		n++;
	kn_plan_fini(&plan);
	json_decref(past);
	free(key);
	return n;
}

static size_t
reconcile_all(struct kn_world *w)
{
	size_t n = 0, i;
	enum kn_kind kind;

	for (kind = 0; kind < KN_KINDS_N; kind++) {
		json_t *keys;
		const json_t *value;
		const char *key;

		if (w->handlers.v[kind] == NULL)
			continue;
		keys = json_array();
		KN_EACH_MEMBER(w->store[kind], key, value)
		json_array_append_new(keys, json_string(key));
		(void)value;
		for (i = 0; i < json_array_size(keys); i++) {
			char *ns = xstrdup(json_string_value(json_array_get(keys, i)));
			char *name = strchr(ns, '/');

			*name++ = '\0';
			n += reconcile(w, kind, ns, name);
			free(ns);
		}
		json_decref(keys);
	}
	return n;
}

/* --- pods --- */

static const char *
image_of(const json_t *deployment)
{
	const json_t *pod = kn_json_at(deployment, "spec", "template", "spec", NULL);

	return kn_json_text(kn_serving_container(pod), "image", NULL);
}

static bool
can_run(const struct kn_world *w, const char *image)
{
	return w->quota == NULL && strstr(image, "missing") == NULL &&
	       strstr(image, "crash") == NULL && strstr(image, "huge") == NULL;
}

static json_t *
condition(const char *type, const char *status, const char *reason, const char *message)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "type", type, "status", status, "reason", reason,
			 "message", message);
}

/* The Deployment's status as its controller would write it. */
static json_t *
make_status(const struct kn_world *w, const json_t *deployment)
{
	int64_t replicas = kn_json_number(kn_json_at(deployment, "spec", NULL), "replicas", 1);
	int64_t ready = can_run(w, image_of(deployment)) ? replicas : 0;
	json_t *conditions = json_array(), *status;

	json_array_append_new(
		conditions,
		ready == replicas
			? condition("Progressing", "True", "NewReplicaSetAvailable", "has pods")
			: condition("Progressing", "True", "ReplicaSetUpdated", "is progressing"));
	if (w->quota != NULL && replicas > 0)
		json_array_append_new(
			conditions, condition("ReplicaFailure", "True", "FailedCreate", w->quota));
	status = json_pack("{s:o}", "conditions", conditions);
	if (replicas > 0)
		kn_json_set_number(status, "replicas", w->quota != NULL ? 0 : replicas);
	if (ready > 0) {
		kn_json_set_number(status, "readyReplicas", ready);
		kn_json_set_number(status, "availableReplicas", ready);
	}
	return status;
}

/* Returns how many Deployments have changed. */
static size_t
run_pods(struct kn_world *w)
{
	const json_t *deployment;
	const char *key;
	size_t n = 0;
	void *next;

	json_object_foreach_safe(w->store[KN_DEPLOYMENT], next, key, deployment)
	{
		json_t *changed;

		(void)key;
		if (kn_json_at(deployment, "metadata", "deletionTimestamp", NULL) != NULL)
			continue;
		changed = json_deep_copy(deployment);
		if (w->desired >= 0)
			kn_json_set_number(json_object_get(changed, "spec"), "replicas",
					   w->desired);
		n += replace(w, KN_DEPLOYMENT, (json_t *)(uintptr_t)deployment, changed, false);
		json_decref(changed);
	}
	json_object_foreach_safe(w->store[KN_DEPLOYMENT], next, key, deployment)
	{
		json_t *changed;

		if (kn_json_at(deployment, "metadata", "deletionTimestamp", NULL) != NULL)
			continue;
		changed = json_deep_copy(deployment);
		kn_json_set(changed, "status", make_status(w, deployment));
		n += replace(w, KN_DEPLOYMENT, (json_t *)(uintptr_t)deployment, changed, true);
		json_decref(changed);
	}
	return n;
}

static bool
facts_of_revision(const struct kn_facts *facts, const char *ns, const char *name,
		  struct kn_revision_facts *out)
{
	const struct kn_world *w = facts->arg;
	const json_t *deployment = find(w, KN_DEPLOYMENT, ns, name);
	const char *image = image_of(deployment);
	static char *images[2];
	int32_t replicas;

	if (deployment == NULL || kn_json_at(deployment, "status", NULL) == NULL)
		return false;
	replicas = (int32_t)kn_json_number(kn_json_at(deployment, "spec", NULL), "replicas", 1);
	*out = (struct kn_revision_facts){.is_known = true,
					  .actual = replicas,
					  .desired = replicas,
					  .most_ready = w->most_ready};
	out->ready = can_run(w, image) ? replicas : 0;
	if (out->ready > 0 && w->image_id != NULL) {
		images[0] = (char *)(uintptr_t) "user-container";
		images[1] = (char *)(uintptr_t)w->image_id;
		out->images = images;
		out->images_n = 2;
	}
	if (replicas == 0 || w->quota != NULL)
		return true;
	if (strstr(image, "missing") != NULL) {
		out->waiting_reason = w->is_pulling ? "ErrImagePull" : "ImagePullBackOff";
		out->waiting_message = w->is_pulling ? "not found" : "Back-off pulling image";
	} else if (strstr(image, "crash") != NULL) {
		out->waiting_reason = "CrashLoopBackOff";
		out->waiting_message = "back-off 10s";
		out->ended_reason = "Error";
		out->ended_message = "no such table";
		out->ended_code = 3;
	} else if (strstr(image, "huge") != NULL) {
		out->unscheduled = "0/3 nodes are available: 3 Insufficient cpu.";
	}
	return true;
}

static bool
says_is_routed(const struct kn_facts *facts, const char *ns, const char *route)
{
	(void)ns;
	(void)route;
	return ((const struct kn_world *)facts->arg)->is_routed;
}

static const char *
says_no_refusal(const struct kn_facts *facts, enum kn_kind kind, const char *ns, const char *name)
{
	(void)facts;
	(void)kind;
	(void)ns;
	(void)name;
	return NULL;
}

/* --- the world --- */

void
kn_world_open(struct kn_world *w)
{
	static const char conf[] = "activator { listen = {\":8080\", \":8083 local\"} }\n"
				   "autoscaler { driver = kubernetes }\n";
	struct settings_errors errors;
	enum kn_kind kind;

	*w = (struct kn_world){.wall_s = 1764500000,
			       .now_ns = 1,
			       .kubernetes_minor = 30,
			       .has_kubelet = true,
			       .is_routed = true,
			       .desired = -1};
	w->cache = kn_cache_new(NULL, NULL);
	w->config = kn_config_new(NULL);
	w->settings = settings_load_bytes("t.conf", conf, strlen(conf), &errors);
	assert_non_null(w->settings);
	settings_errors_free(&errors);
	w->facts = (struct kn_facts){.revision = facts_of_revision,
				     .is_routed = says_is_routed,
				     .refusal = says_no_refusal,
				     .arg = w};
	w->failures = json_object();
	for (kind = 0; kind < KN_KINDS_N; kind++)
		w->store[kind] = json_object();
}

void
kn_world_close(struct kn_world *w)
{
	enum kn_kind kind;

	for (kind = 0; kind < KN_KINDS_N; kind++)
		json_decref(w->store[kind]);
	json_decref(w->failures);
	settings_free(&w->settings);
	kn_config_free(&w->config);
	kn_cache_free(&w->cache);
}

void
kn_world_run(struct kn_world *w)
{
	unsigned round;

	for (round = 0; round < ROUNDS_MOST; round++) {
		size_t n = reconcile_all(w);

		if (w->has_kubelet)
			n += run_pods(w);
		if (n == 0)
			return;
	}
	fail_msg("no end after %d rounds", ROUNDS_MOST);
}

void
kn_world_wait(struct kn_world *w, int64_t seconds)
{
	w->wall_s += seconds;
	w->now_ns += seconds * 1000000000;
	kn_world_run(w);
}

json_t *
kn_world_get(const struct kn_world *w, enum kn_kind kind, const char *name)
{
	return find(w, kind, NS, name);
}

size_t
kn_world_count(const struct kn_world *w, enum kn_kind kind)
{
	return json_object_size(w->store[kind]);
}

const char *
kn_world_condition(const struct kn_world *w, enum kn_kind kind, const char *name, const char *type)
{
	static char texts[8][400];
	static size_t next;
	char *text = texts[next++ % ARRAY_LEN(texts)];
	const json_t *c = kn_condition_find(kn_json_at(kn_world_get(w, kind, name), "status", NULL),
					    type);
	const char *reason = kn_json_text(c, "reason", NULL);
	const char *message = kn_json_text(c, "message", NULL);

	(void)snprintf(text, sizeof texts[0], "%s%s%s%s%s", kn_json_text(c, "status", NULL),
		       *reason ? " " : "", reason, *message ? ": " : "", message);
	return text;
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *
summarize(const json_t *object)
{
	const json_t *m = kn_json_at(object, "metadata", NULL);
	const json_t *ready = kn_condition_find(kn_json_at(object, "status", NULL), KN_READY);
	const json_t *status = kn_json_at(object, "status", NULL);

	return xasprintf(
		"%s %s gen %lld/%lld ready=%s %s created=%s latest=%s state=%s routes=%s\n",
		kn_json_text(object, "kind", NULL), kn_json_text(m, "name", NULL),
		(long long)kn_json_number(m, "generation", 0),
		(long long)kn_json_number(status, "observedGeneration", 0),
		kn_json_text(ready, "status", NULL), kn_json_text(ready, "reason", NULL),
		kn_json_text(status, "latestCreatedRevisionName", NULL),
		kn_json_text(status, "latestReadyRevisionName", NULL),
		kn_json_text(m, "labels", KN_LABEL_ROUTING_STATE, NULL),
		kn_json_text(m, "annotations", KN_ANNOTATION_ROUTES, NULL));
}

char *
kn_world_summary(const struct kn_world *w)
{
	char *lines[400];
	struct strbuf out;
	enum kn_kind kind;
	const json_t *object;
	const char *key;
	size_t n = 0, i;

	for (kind = 0; kind < KN_KINDS_N; kind++)
		KN_EACH_MEMBER(w->store[kind], key, object)
		{
			(void)key;
			assert_true(n < ARRAY_LEN(lines));
			lines[n++] = summarize(object);
		}
	qsort(lines, n, sizeof *lines, compare_lines);
	strbuf_init(&out, 0);
	for (i = 0; i < n; i++) {
		(void)strbuf_adds(&out, lines[i]);
		free(lines[i]);
	}
	return strbuf_take(&out);
}
