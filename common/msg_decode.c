#include <stdlib.h>
#include <string.h>

#include "common/jget.h"
#include "common/msg.h"
#include "common/msg_impl.h"
#include "common/msg_limits.h"
#include "common/request_counts.h"
#include "common/tally.h"

#define PERIOD_MS_MAX 3600000 /* of a report */
#define STAT_MAX 1e12	      /* so that sums of many stay exact enough */

/* A name: a string that is not empty. */
static int
get_name(const struct jget *at, const char *key, char **out, struct err *e)
{
	if (jget_string(at, key, JGET_MUST, out, e) < 0)
		return -1;
	return **out != '\0' ? 0 : jget_fail(at, key, e, "expected a name, got \"\"");
}

static int
get_list(const struct jget *at, const char *key, struct str_list *l, struct err *e)
{
	struct jget array;
	size_t n, i;

	if (jget_array(at, key, JGET_MAY, &array, &n, e) < 0)
		return -1;
	if (n == 0)
		return 0;
	l->v = xcalloc(n + 1, sizeof *l->v);
	for (i = 0; i < n; i++) {
		const char *text;

		if (jget_element_string(&array, i, &text, e) < 0)
			return -1;
		l->v[l->n++] = xstrdup(text);
	}
	return 0;
}

/* Decode each object of an array, by `one`, into an element of `size` bytes.  The pointer at
 * pv is set to the elements (by memcpy, since its type is the caller's).  *n counts each
 * element before it is decoded, so that msg_fini() frees a partly decoded one. */
static int
get_objects(const struct jget *at, const char *key, enum jget_need need, size_t size, void *pv,
	    size_t *n, int (*one)(const struct jget *, void *, struct err *), struct err *e)
{
	struct jget array, element;
	size_t count, i;
	char *v;

	if (jget_array(at, key, need, &array, &count, e) < 0)
		return -1;
	if (count == 0)
		return 0;
	v = xcalloc(count, size);
	memcpy(pv, &v, sizeof v);
	for (i = 0; i < count; i++) {
		if (jget_element(&array, i, &element, e) < 0)
			return -1;
		(*n)++;
		if (one(&element, v + i * size, e) < 0)
			return -1;
	}
	return 0;
}

#define GET_OBJECTS(at, key, need, v, n, one, e)                                                   \
	get_objects(at, key, need, sizeof *(v), &(v), &(n), one, e)

/* Features that are not known are those of a later version. */
static int
get_features(const struct jget *at, struct msg_hello *h, struct err *e)
{
	struct str_list features = {.n = 0};
	size_t i;
	int rc = get_list(at, "features", &features, e);

	for (i = 0; i < features.n; i++) {
		h->has_shares |= strcmp(features.v[i], MSG_FEATURE_SHARES) == 0;
		h->has_commands |= strcmp(features.v[i], MSG_FEATURE_COMMANDS) == 0;
		h->has_spans |= strcmp(features.v[i], MSG_FEATURE_SPANS) == 0;
		h->has_swaps |= strcmp(features.v[i], MSG_FEATURE_SWAPS) == 0;
	}
	str_list_fini(&features);
	return rc;
}

/* An autoscaler that knows shares has a term. */
static int
get_term_of_hello(const struct jget *at, struct msg_hello *h, struct err *e)
{
	bool must = h->has_shares && h->role == ROLE_AUTOSCALER;
	int64_t term = 0;

	if (jget_i64(at, "term", must ? JGET_MUST : JGET_MAY, 1, INT64_MAX, &term, e) < 0)
		return -1;
	h->term = (uint64_t)term;
	return 0;
}

static int
get_hello(const struct jget *at, struct msg_hello *h, struct err *e)
{
	int64_t protocol = 0;
	int role = 0;

	if (jget_i64(at, "protocol", JGET_MUST, 1, INT32_MAX, &protocol, e) < 0 ||
	    jget_word(at, "role", JGET_MUST, msg_role_words, MSG_ROLES, &role, e) < 0 ||
	    get_name(at, "id", &h->id, e) < 0 ||
	    jget_string(at, "version", JGET_MAY, &h->version, e) < 0 || get_features(at, h, e) < 0)
		return -1;
	if (jget_i64(at, "defaults", JGET_MAY, 1, INT64_MAX, &h->defaults, e) < 0)
		return -1;
	h->protocol = (int)protocol;
	h->role = (enum msg_role)role;
	return get_term_of_hello(at, h, e);
}

static bool
has_port(const struct msg_instance *i)
{
	return i->address != NULL && strncmp(i->address, ADDR_UNIX, sizeof ADDR_UNIX - 1) != 0;
}

/* A number of slots.  The two highest values have a meaning of their own (shares.h). */
static int
get_slots(const struct jget *at, const char *key, enum jget_need need, uint32_t *slots,
	  struct err *e)
{
	int64_t n = *slots;

	if (jget_i64(at, key, need, 0, SHARE_KEEP - 1, &n, e) < 0)
		return -1;
	*slots = (uint32_t)n;
	return 0;
}

static int
get_instance(const struct jget *at, void *to, struct err *e)
{
	struct msg_instance *i = to;
	int64_t port = 0;
	int state = 0;

	i->slots = SHARE_KEEP;
	i->uses = SHARE_NO_USES;
	if (get_name(at, "id", &i->id, e) < 0 ||
	    jget_string(at, "address", JGET_MAY, &i->address, e) < 0 ||
	    jget_i64(at, "port", has_port(i) ? JGET_MUST : JGET_MAY, 1, UINT16_MAX, &port, e) < 0 ||
	    jget_string(at, "alternate", JGET_MAY, &i->alternate, e) < 0 ||
	    jget_string(at, "probe", JGET_MAY, &i->probe, e) < 0 ||
	    jget_word(at, "state", JGET_MUST, msg_state_words, MSG_STATES, &state, e) < 0 ||
	    get_slots(at, "slots", JGET_MAY, &i->slots, e) < 0 ||
	    get_slots(at, "uses", JGET_MAY, &i->uses, e) < 0 ||
	    jget_bool(at, "at_most", JGET_MAY, &i->is_at_most, e) < 0)
		return -1;
	i->port = (uint16_t)port;
	i->state = (enum instance_state)state;
	return 0;
}

static int
get_failure(const struct jget *at, struct msg_instances *s, struct err *e)
{
	struct jget failure;

	if (jget_object(at, "failure", JGET_MAY, &failure, e) < 0)
		return -1;
	if (failure.json == NULL)
		return 0;
	s->failure = xcalloc(1, sizeof *s->failure);
	if (get_name(&failure, "reason", &s->failure->reason, e) < 0 ||
	    jget_string(&failure, "message", JGET_MUST, &s->failure->message, e) < 0 ||
	    jget_i64(&failure, "retry_after_ms", JGET_MAY, 0, MSG_DELAY_MS_MAX,
		     &s->failure->retry_after_ms, e) < 0 ||
	    jget_bool(&failure, "parking", JGET_MAY, &s->failure->is_parking, e) < 0)
		return -1;
	return 0;
}

static int
get_order(const struct jget *at, uint64_t *term, uint64_t *epoch, struct err *e)
{
	if (jget_u64(at, "term", JGET_MUST, term, e) < 0)
		return -1;
	return jget_u64(at, "epoch", JGET_MUST, epoch, e);
}

static int
get_offer(const struct jget *at, struct msg_instances *s, struct err *e)
{
	struct jget shares;
	struct msg_offer *o;
	int64_t limit = 0;

	if (jget_object(at, "shares", JGET_MAY, &shares, e) < 0)
		return -1;
	if (shares.json == NULL)
		return 0;
	o = s->offer = xcalloc(1, sizeof *o);
	if (get_order(&shares, &o->term, &o->epoch, e) < 0 ||
	    jget_i64(&shares, "limit", JGET_MUST, 1, SHARE_KEEP - 1, &limit, e) < 0 ||
	    get_slots(&shares, "recall_idle", JGET_MAY, &o->recall_idle, e) < 0 ||
	    get_slots(&shares, "recall_due", JGET_MAY, &o->recall_due, e) < 0 ||
	    jget_bool(&shares, "shared", JGET_MAY, &o->is_shared, e) < 0 ||
	    jget_bool(&shares, "asking", JGET_MAY, &o->is_asking, e) < 0)
		return -1;
	o->limit = (uint32_t)limit;
	if (!s->is_known)
		return jget_fail(at, "instances", e, "expected a list, as there are shares");
	return 0;
}

/* Decode all members but the name.  `instances` must be there, and is null if the list is not
 * known yet. */
static int
get_state(const struct jget *at, struct msg_instances *s, struct err *e)
{
	struct jget array;
	size_t n;

	if (jget_u32(at, "wanted", JGET_MUST, &s->wanted, e) < 0 ||
	    jget_double(at, "target", JGET_MAY, 0, STAT_MAX, &s->target, e) < 0 ||
	    jget_bool(at, "external", JGET_MAY, &s->is_external, e) < 0 ||
	    jget_i64(at, "cold_start_ms", JGET_MAY, 0, MSG_DELAY_MS_MAX, &s->cold_start_ms, e) <
		    0 ||
	    jget_array(at, "instances", JGET_MAY, &array, &n, e) < 0)
		return -1;
	s->is_known = array.json != NULL;
	if (GET_OBJECTS(at, "instances", JGET_MAY, s->v, s->n, get_instance, e) < 0 ||
	    get_offer(at, s, e) < 0)
		return -1;
	return get_failure(at, s, e);
}

static int
get_instances(const struct jget *at, struct msg_instances *s, struct err *e)
{
	if (get_name(at, "revision", &s->revision, e) < 0)
		return -1;
	return get_state(at, s, e);
}

static int
get_rule(const struct jget *at, void *to, struct err *e)
{
	struct rule_conf *r = to;
	int64_t status = 0;

	if (jget_word(at, "action", JGET_MUST, msg_action_words, MSG_ACTIONS, &r->action, e) < 0 ||
	    get_list(at, "methods", &r->methods, e) < 0 ||
	    get_list(at, "paths", &r->paths, e) < 0 ||
	    jget_string(at, "header", JGET_MAY, &r->header, e) < 0 ||
	    jget_string(at, "contains", JGET_MAY, &r->contains, e) < 0 ||
	    get_list(at, "clients", &r->clients, e) < 0 ||
	    jget_i64(at, "status", r->action == RULE_ANSWER ? JGET_MUST : JGET_MAY, 200, 599,
		     &status, e) < 0 ||
	    jget_string(at, "body", JGET_MAY, &r->body, e) < 0 ||
	    get_list(at, "fields", &r->fields, e) < 0)
		return -1;
	r->status = (uint32_t)status;
	return 0;
}

static int
get_traffic(const struct jget *at, void *to, struct err *e)
{
	struct msg_traffic *t = to;
	int64_t percent = 0, weight = 0;

	if (get_name(at, "revision", &t->revision, e) < 0 ||
	    jget_i64(at, "percent", JGET_MUST, 0, 100, &percent, e) < 0 ||
	    jget_i64(at, "weight", JGET_MAY, 0, 1000000, &weight, e) < 0 ||
	    jget_string(at, "tag", JGET_MAY, &t->tag, e) < 0 ||
	    get_list(at, "hosts", &t->hosts, e) < 0 ||
	    get_list(at, "local_hosts", &t->local_hosts, e) < 0)
		return -1;
	t->percent = (uint32_t)percent;
	t->weight = (uint32_t)weight;
	return 0;
}

static int
get_revision(const struct jget *at, void *to, struct err *e)
{
	struct msg_revision *r = to;
	struct jget limits;

	limits_default(&r->limits);
	if (get_name(at, "name", &r->instances.revision, e) < 0 ||
	    jget_object(at, "limits", JGET_MUST, &limits, e) < 0 ||
	    msg_limits_get(&limits, &r->limits, e) < 0)
		return -1;
	return get_state(at, &r->instances, e);
}

static int
get_service(const struct jget *at, struct msg_service *s, struct err *e)
{
	if (get_name(at, "name", &s->name, e) < 0 || get_list(at, "hosts", &s->hosts, e) < 0 ||
	    get_list(at, "local_hosts", &s->local_hosts, e) < 0 ||
	    get_list(at, "paths", &s->paths, e) < 0 ||
	    jget_string(at, "match_header", JGET_MAY, &s->match_header, e) < 0 ||
	    jget_string(at, "match_value", JGET_MAY, &s->match_value, e) < 0 ||
	    jget_string(at, "sticky", JGET_MAY, &s->sticky, e) < 0 ||
	    jget_string(at, "waiting_page", JGET_MAY, &s->waiting_page, e) < 0 ||
	    jget_bool(at, "redirect_https", JGET_MAY, &s->redirect_https, e) < 0 ||
	    jget_bool(at, "knative_tag_header", JGET_MAY, &s->knative_tag_header, e) < 0)
		return -1;
	if (GET_OBJECTS(at, "rules", JGET_MAY, s->rules, s->rules_n, get_rule, e) < 0 ||
	    GET_OBJECTS(at, "traffic", JGET_MUST, s->traffic, s->traffic_n, get_traffic, e) < 0 ||
	    GET_OBJECTS(at, "revisions", JGET_MUST, s->revisions, s->revisions_n, get_revision, e) <
		    0)
		return -1;
	return 0;
}

static int
get_stat_instance(const struct jget *at, void *to, struct err *e)
{
	struct msg_stat_instance *i = to;

	if (get_name(at, "id", &i->id, e) < 0 ||
	    jget_u32(at, "in_flight", JGET_MUST, &i->in_flight, e) < 0)
		return -1;
	return jget_double(at, "busy_s", JGET_MAY, 0, STAT_MAX, &i->busy_s, e);
}

/* A later version may report more ends, which this one does not know. */
static int
get_ends(const struct jget *at, struct msg_stat *s, struct err *e)
{
	struct jget array;
	size_t n = 0, i;

	if (jget_array(at, "ends", JGET_MAY, &array, &n, e) < 0)
		return -1;
	if (n == 0)
		return 0;
	s->tally = xcalloc(1, sizeof *s->tally);
	for (i = 0; i < MIN(n, (size_t)TALLY_ENDS_N); i++)
		if (jget_element_u64(&array, i, &s->tally->ends[i], e) < 0)
			return -1;
	return 0;
}

static int
get_durations(const struct jget *at, struct tally *t, struct err *e)
{
	struct jget array;
	uint64_t first = 0;
	size_t n = 0, i;

	if (jget_array(at, "durations", JGET_MAY, &array, &n, e) < 0)
		return -1;
	if (n == 0)
		return 0;
	if (jget_element_u64(&array, 0, &first, e) < 0)
		return -1;
	if (first > TALLY_BUCKETS || n - 1 > TALLY_BUCKETS - first)
		return jget_fail(at, "durations", e, "at most %d buckets", TALLY_BUCKETS);
	for (i = 1; i < n; i++)
		if (jget_element_u64(&array, i, &t->durations[first + i - 1], e) < 0)
			return -1;
	return 0;
}

static int
get_tally(const struct jget *at, struct msg_stat *s, struct err *e)
{
	if (get_ends(at, s, e) < 0)
		return -1;
	return s->tally == NULL ? 0 : get_durations(at, s->tally, e);
}

/* A later version may have more phases. */
static int
get_cold_start(const struct jget *at, struct msg_stat *s, struct err *e)
{
	struct jget object, array;
	size_t n = 0, i;

	if (jget_object(at, "cold_start", JGET_MAY, &object, e) < 0)
		return -1;
	if (object.json == NULL)
		return 0;
	s->cold_start = xcalloc(1, sizeof *s->cold_start);
	if (jget_i64(&object, "ago_ms", JGET_MUST, 0, MSG_DELAY_MS_MAX, &s->cold_start->ago_ms, e) <
		    0 ||
	    jget_array(&object, "phases_us", JGET_MUST, &array, &n, e) < 0)
		return -1;
	for (i = 0; i < MIN(n, (size_t)COLD_PHASES_N); i++)
		if (jget_element_u64(&array, i, &s->cold_start->phases_us[i], e) < 0)
			return -1;
	return 0;
}

static int
get_counts(const struct jget *at, struct msg_stat *s, struct err *e)
{
	struct request_counts *c;
	struct jget counts;
	size_t i;

	if (jget_object(at, "counts", JGET_MAY, &counts, e) < 0)
		return -1;
	if (counts.json == NULL)
		return 0;
	s->counts = c = xcalloc(1, sizeof *c);
	for (i = 0; i < REQUEST_ENDS_N; i++)
		if (jget_u64(&counts, request_end_name((enum request_end)i), JGET_MAY, &c->ends[i],
			     e) < 0)
			return -1;
	if (jget_u64(&counts, "requests", JGET_MAY, &c->requests, e) < 0 ||
	    jget_u64(&counts, "bytes_in", JGET_MAY, &c->bytes_in, e) < 0 ||
	    jget_u64(&counts, "bytes_out", JGET_MAY, &c->bytes_out, e) < 0 ||
	    jget_u64(&counts, "cold_starts", JGET_MAY, &c->cold_starts, e) < 0 ||
	    jget_double(&counts, "cold_wait_s", JGET_MAY, 0, STAT_MAX, &c->cold_wait_s, e) < 0)
		return -1;
	return jget_double(&counts, "cold_wait_max_s", JGET_MAY, 0, STAT_MAX, &c->cold_wait_max_s,
			   e);
}

static int
get_stat(const struct jget *at, void *to, struct err *e)
{
	struct msg_stat *s = to;

	if (get_name(at, "name", &s->name, e) < 0 ||
	    jget_double(at, "concurrency", JGET_MUST, 0, STAT_MAX, &s->concurrency, e) < 0 ||
	    jget_double(at, "waiting", JGET_MAY, 0, STAT_MAX, &s->waiting, e) < 0 ||
	    jget_u32(at, "peak", JGET_MAY, &s->peak, e) < 0 ||
	    jget_u64(at, "requests", JGET_MUST, &s->requests, e) < 0 ||
	    jget_u32(at, "parked", JGET_MUST, &s->parked, e) < 0 ||
	    jget_u32(at, "in_flight", JGET_MAY, &s->in_flight, e) < 0 ||
	    jget_u64(at, "completed", JGET_MAY, &s->completed, e) < 0 ||
	    jget_double(at, "latency_ms", JGET_MAY, 0, STAT_MAX, &s->latency_ms, e) < 0 ||
	    jget_u64(at, "missed_requests", JGET_MAY, &s->missed_requests, e) < 0 ||
	    jget_u64(at, "missed_completed", JGET_MAY, &s->missed_completed, e) < 0 ||
	    get_tally(at, s, e) < 0 || get_counts(at, s, e) < 0 || get_cold_start(at, s, e) < 0)
		return -1;
	return GET_OBJECTS(at, "instances", JGET_MAY, s->v, s->n, get_stat_instance, e);
}

static int
get_stats(const struct jget *at, struct msg_stats *s, struct err *e)
{
	if (jget_i64(at, "period_ms", JGET_MUST, 0, PERIOD_MS_MAX, &s->period_ms, e) < 0 ||
	    jget_bool(at, "partial", JGET_MAY, &s->is_partial, e) < 0)
		return -1;
	return GET_OBJECTS(at, "revisions", JGET_MUST, s->v, s->n, get_stat, e);
}

static int
get_drain(const struct jget *at, struct msg *m, struct err *e)
{
	if (get_name(at, "token", &m->u.drain.token, e) < 0 ||
	    jget_string(at, "revision", JGET_MAY, &m->u.drain.revision, e) < 0 ||
	    jget_string(at, "instance", JGET_MAY, &m->u.drain.instance, e) < 0)
		return -1;
	if ((m->u.drain.revision == NULL) == (m->u.drain.instance == NULL))
		return jget_fail(at, NULL, e, "expected either a revision or an instance");
	return 0;
}

static int
get_activate(const struct jget *at, struct msg *m, struct err *e)
{
	if (get_name(at, "revision", &m->u.activate.revision, e) < 0 ||
	    jget_u32(at, "parked", JGET_MUST, &m->u.activate.parked, e) < 0)
		return -1;
	return jget_u64(at, "seq", JGET_MUST, &m->u.activate.seq, e);
}

static int
get_activating(const struct jget *at, struct msg *m, struct err *e)
{
	if (get_name(at, "revision", &m->u.activating.revision, e) < 0 ||
	    jget_u64(at, "seq", JGET_MUST, &m->u.activating.seq, e) < 0)
		return -1;
	return jget_u32(at, "wanted", JGET_MUST, &m->u.activating.wanted, e);
}

static int
get_word_of_instance(const struct jget *at, struct msg *m, struct err *e)
{
	int state = 0;

	m->u.instance.uses = SHARE_NO_USES;
	if (get_name(at, "id", &m->u.instance.id, e) < 0 ||
	    jget_word(at, "state", JGET_MUST, msg_health_words, MSG_HEALTHS, &state, e) < 0 ||
	    get_slots(at, "uses", JGET_MAY, &m->u.instance.uses, e) < 0 ||
	    jget_bool(at, "served", JGET_MAY, &m->u.instance.has_served, e) < 0)
		return -1;
	m->u.instance.state = (enum instance_health)state;
	return 0;
}

static int
get_end(const struct jget *at, struct msg *m, struct err *e)
{
	if (jget_i64(at, "generation", JGET_MUST, 0, INT64_MAX, &m->u.end.generation, e) < 0)
		return -1;
	return jget_u32(at, "services", JGET_MUST, &m->u.end.services, e);
}

static int
get_held_instance(const struct jget *at, void *to, struct err *e)
{
	struct msg_held_instance *i = to;

	i->slots = SHARE_ALL;
	i->uses = SHARE_NO_USES;
	if (get_name(at, "id", &i->id, e) < 0 || get_slots(at, "uses", JGET_MAY, &i->uses, e) < 0 ||
	    get_slots(at, "used", JGET_MAY, &i->used, e) < 0)
		return -1;
	return get_slots(at, "slots", JGET_MAY, &i->slots, e);
}

static int
get_shares_held(const struct jget *at, struct msg_shares_held *s, struct err *e)
{
	if (get_name(at, "revision", &s->revision, e) < 0 ||
	    jget_i64(at, "generation", JGET_MUST, 0, INT64_MAX, &s->generation, e) < 0 ||
	    get_order(at, &s->term, &s->epoch, e) < 0 ||
	    jget_bool(at, "complete", JGET_MAY, &s->is_complete, e) < 0 ||
	    get_slots(at, "owed_idle", JGET_MAY, &s->owed_idle, e) < 0 ||
	    get_slots(at, "owed_due", JGET_MAY, &s->owed_due, e) < 0)
		return -1;
	if (GET_OBJECTS(at, "instances", JGET_MUST, s->v, s->n, get_held_instance, e) < 0)
		return -1;
	if (s->n > MSG_HELD_MAX)
		return jget_fail(at, "instances", e, "expected at most %d instances, got %zu",
				 MSG_HELD_MAX, s->n);
	return 0;
}

static int
get_want(const struct jget *at, struct msg_want *w, struct err *e)
{
	if (get_name(at, "revision", &w->revision, e) < 0 ||
	    get_order(at, &w->term, &w->epoch, e) < 0 ||
	    get_slots(at, "slots", JGET_MUST, &w->slots, e) < 0)
		return -1;
	return jget_i64(at, "oldest_ms", JGET_MUST, 0, MSG_DELAY_MS_MAX, &w->oldest_ms, e);
}

static int
get_scaling(const struct jget *at, struct msg_scaling *s, struct err *e)
{
	if (get_name(at, "revision", &s->revision, e) < 0 ||
	    jget_u32(at, "from", JGET_MUST, &s->from, e) < 0 ||
	    jget_u32(at, "to", JGET_MUST, &s->to, e) < 0 || get_name(at, "rule", &s->rule, e) < 0)
		return -1;
	return jget_string(at, "why", JGET_MUST, &s->why, e);
}

static int
get_command(const struct jget *at, struct msg *m, struct err *e)
{
	m->u.command.uid = m->u.command.login_uid = UINT32_MAX;
	if (get_name(at, "token", &m->u.command.token, e) < 0 ||
	    get_name(at, "command", &m->u.command.command, e) < 0 ||
	    jget_i64(at, "pid", JGET_MAY, 1, INT32_MAX, &m->u.command.pid, e) < 0 ||
	    jget_u32(at, "uid", JGET_MAY, &m->u.command.uid, e) < 0)
		return -1;
	return jget_u32(at, "login_uid", JGET_MAY, &m->u.command.login_uid, e);
}

static int
get_result(const struct jget *at, struct msg *m, struct err *e)
{
	if (get_name(at, "token", &m->u.result.token, e) < 0 ||
	    jget_bool(at, "done", JGET_MUST, &m->u.result.is_done, e) < 0)
		return -1;
	return jget_string(at, "text", JGET_MUST, &m->u.result.text, e);
}

static enum msg_type
type_of(const char *name)
{
#define X(id, word)                                                                                \
	if (strcmp(name, #word) == 0)                                                              \
		return MSG_##id;
	MSG_TYPES(X)
#undef X
	return MSG_UNKNOWN;
}

static int
get_members(const struct jget *at, struct msg *m, struct err *e)
{
	switch (m->type) {
	case MSG_UNKNOWN:
		return 0;
	case MSG_HELLO:
		return get_hello(at, &m->u.hello, e);
	case MSG_BEGIN:
	case MSG_SWAPPED:
		return jget_i64(at, "generation", JGET_MUST, 0, INT64_MAX, &m->u.begin.generation,
				e);
	case MSG_SERVICE:
		return get_service(at, &m->u.service, e);
	case MSG_END:
		return get_end(at, m, e);
	case MSG_INSTANCES:
		return get_instances(at, &m->u.instances, e);
	case MSG_ACTIVATE:
		return get_activate(at, m, e);
	case MSG_ACTIVATING:
		return get_activating(at, m, e);
	case MSG_STATS:
		return get_stats(at, &m->u.stats, e);
	case MSG_INSTANCE:
		return get_word_of_instance(at, m, e);
	case MSG_DRAIN:
		return get_drain(at, m, e);
	case MSG_DRAINED:
	case MSG_BUSY:
	case MSG_RESUME:
		return get_name(at, "token", &m->u.drained.token, e);
	case MSG_SHARES_HELD:
		return get_shares_held(at, &m->u.shares_held, e);
	case MSG_WANT:
		return get_want(at, &m->u.want, e);
	case MSG_LEAVING:
		return 0;
	case MSG_SCALING:
		return get_scaling(at, &m->u.scaling, e);
	case MSG_COMMAND:
		return get_command(at, m, e);
	case MSG_RESULT:
		return get_result(at, m, e);
	}
	return -1;
}

int
msg_decode(struct msg *m, const char *line, size_t n, struct err *e)
{
	struct jget root;
	struct json_t *json;
	char *type = NULL;
	int rc = -1;

	*m = (struct msg){.type = MSG_UNKNOWN};
	if (n >= MSG_LINE_MAX)
		return err_set(e, 0, "line longer than %zu bytes", MSG_LINE_MAX - 1);
	json = jget_open(line, n, &root, e);
	if (json == NULL)
		return -1;
	if (jget_string(&root, "type", JGET_MUST, &type, e) == 0) {
		m->type = type_of(type);
		rc = get_members(&root, m, e);
		if (rc < 0)
			err_prefix(e, "%s", msg_type_name(m->type));
	}
	free(type);
	jget_close(&json);
	return rc;
}
