#include "common/msg.h"

#include <stdlib.h>

#include "common/jput.h"
#include "common/msg_impl.h"
#include "common/msg_limits.h"
#include "common/request_counts.h"
#include "common/strbuf.h"
#include "common/tally.h"

const char *const msg_role_words[MSG_ROLES] = {"activator", "autoscaler", "control"};
const char *const msg_state_words[MSG_STATES] = {"starting", "ready", "stopping"};
const char *const msg_health_words[MSG_HEALTHS] = {"answers", "refuses"};
const char *const msg_action_words[MSG_ACTIONS] = {"wake", "serve_only", "answer"};

static const char *const type_names[] = {[MSG_UNKNOWN] = "unknown",
#define X(id, name) [MSG_##id] = #name,
					 MSG_TYPES(X)
#undef X
};

const char *
msg_type_name(enum msg_type type)
{
	CHECK((size_t)type < ARRAY_LEN(type_names));
	return type_names[type];
}

/* --- encode --- */

static void
put_hello(struct jput *j, const struct msg_hello *h)
{
	jput_i64(j, "protocol", h->protocol);
	jput_string(j, "role", msg_role_words[h->role]);
	jput_string(j, "id", h->id);
	jput_string_if(j, "version", h->version);
	if (h->defaults > 0)
		jput_i64(j, "defaults", h->defaults);
	if (!h->has_shares && !h->has_commands && !h->has_spans && !h->has_swaps)
		return;
	jput_array(j, "features");
	if (h->has_shares)
		jput_string(j, NULL, MSG_FEATURE_SHARES);
	if (h->has_commands)
		jput_string(j, NULL, MSG_FEATURE_COMMANDS);
	if (h->has_spans)
		jput_string(j, NULL, MSG_FEATURE_SPANS);
	if (h->has_swaps)
		jput_string(j, NULL, MSG_FEATURE_SWAPS);
	jput_array_end(j);
	if (h->term > 0)
		jput_u64(j, "term", h->term);
}

static void
put_instance(struct jput *j, const struct msg_instance *i, bool has_offer)
{
	jput_object(j, NULL);
	jput_string(j, "id", i->id);
	if (i->address != NULL) {
		jput_string(j, "address", i->address);
		if (i->port != 0)
			jput_u64(j, "port", i->port);
	}
	jput_string_if(j, "alternate", i->alternate);
	jput_string_if(j, "probe", i->probe);
	jput_string(j, "state", msg_state_words[i->state]);
	if (has_offer && i->state != INSTANCE_STOPPING && i->slots != SHARE_KEEP) {
		jput_u64(j, "slots", i->slots);
		if (i->is_at_most)
			jput_bool(j, "at_most", true);
		if (i->uses != SHARE_NO_USES)
			jput_u64(j, "uses", i->uses);
	}
	jput_object_end(j);
}

static void
put_offer(struct jput *j, const struct msg_offer *o)
{
	jput_object(j, "shares");
	jput_u64(j, "term", o->term);
	jput_u64(j, "epoch", o->epoch);
	jput_u64(j, "limit", o->limit);
	if (o->recall_idle > 0)
		jput_u64(j, "recall_idle", o->recall_idle);
	if (o->recall_due > 0)
		jput_u64(j, "recall_due", o->recall_due);
	if (o->is_shared)
		jput_bool(j, "shared", true);
	if (o->is_asking)
		jput_bool(j, "asking", true);
	jput_object_end(j);
}

static void
put_failure(struct jput *j, const struct msg_failure *f)
{
	jput_object(j, "failure");
	jput_string(j, "reason", f->reason);
	jput_string(j, "message", f->message);
	jput_i64(j, "retry_after_ms", f->retry_after_ms);
	if (f->is_parking)
		jput_bool(j, "parking", true);
	jput_object_end(j);
}

/* All members but the name of the revision. */
static void
put_state(struct jput *j, const struct msg_instances *s)
{
	size_t i;

	jput_u64(j, "wanted", s->wanted);
	jput_double(j, "target", s->target);
	if (s->is_external)
		jput_bool(j, "external", true);
	if (s->cold_start_ms > 0)
		jput_i64(j, "cold_start_ms", s->cold_start_ms);
	if (s->is_known) {
		jput_array(j, "instances");
		for (i = 0; i < s->n; i++)
			put_instance(j, &s->v[i], s->offer != NULL);
		jput_array_end(j);
	} else {
		jput_null(j, "instances");
	}
	if (s->offer != NULL)
		put_offer(j, s->offer);
	if (s->failure != NULL)
		put_failure(j, s->failure);
}

static void
put_rule(struct jput *j, const struct rule_conf *r)
{
	jput_object(j, NULL);
	jput_string(j, "action", msg_action_words[r->action]);
	jput_strings_if(j, "methods", &r->methods);
	jput_strings_if(j, "paths", &r->paths);
	jput_string_if(j, "header", r->header);
	jput_string_if(j, "contains", r->contains);
	jput_strings_if(j, "clients", &r->clients);
	if (r->action == RULE_ANSWER)
		jput_u64(j, "status", r->status);
	jput_string_if(j, "body", r->body);
	jput_strings_if(j, "fields", &r->fields);
	jput_object_end(j);
}

static void
put_traffic(struct jput *j, const struct msg_traffic *t)
{
	jput_object(j, NULL);
	jput_string(j, "revision", t->revision);
	jput_u64(j, "percent", t->percent);
	if (t->weight > 0)
		jput_u64(j, "weight", t->weight);
	jput_string_if(j, "tag", t->tag);
	jput_strings_if(j, "hosts", &t->hosts);
	jput_strings_if(j, "local_hosts", &t->local_hosts);
	jput_object_end(j);
}

static void
put_revision(struct jput *j, const struct msg_revision *r, bool is_brief)
{
	jput_object(j, NULL);
	jput_string(j, "name", r->instances.revision);
	jput_object(j, "limits");
	msg_limits_put(j, &r->limits, is_brief);
	jput_object_end(j);
	put_state(j, &r->instances);
	jput_object_end(j);
}

static void
put_service(struct jput *j, const struct msg_service *s)
{
	size_t i;

	jput_string(j, "name", s->name);
	jput_strings_if(j, "hosts", &s->hosts);
	jput_strings_if(j, "local_hosts", &s->local_hosts);
	jput_strings_if(j, "paths", &s->paths);
	jput_string_if(j, "match_header", s->match_header);
	jput_string_if(j, "match_value", s->match_value);
	jput_string_if(j, "sticky", s->sticky);
	jput_string_if(j, "waiting_page", s->waiting_page);
	if (s->redirect_https)
		jput_bool(j, "redirect_https", true);
	if (s->knative_tag_header)
		jput_bool(j, "knative_tag_header", true);
	jput_array(j, "rules");
	for (i = 0; i < s->rules_n; i++)
		put_rule(j, &s->rules[i]);
	jput_array_end(j);
	jput_array(j, "traffic");
	for (i = 0; i < s->traffic_n; i++)
		put_traffic(j, &s->traffic[i]);
	jput_array_end(j);
	jput_array(j, "revisions");
	for (i = 0; i < s->revisions_n; i++)
		put_revision(j, &s->revisions[i], s->is_brief);
	jput_array_end(j);
}

static void
put_stat_instance(struct jput *j, const struct msg_stat_instance *i)
{
	jput_object(j, NULL);
	jput_string(j, "id", i->id);
	jput_u64(j, "in_flight", i->in_flight);
	if (i->busy_s > 0)
		jput_double(j, "busy_s", i->busy_s);
	jput_object_end(j);
}

/* The durations begin with the number of their first bucket, and end with the last one that has
 * any.
 */
static void
put_tally(struct jput *j, const struct tally *t)
{
	unsigned first = 0, end = TALLY_BUCKETS, i;

	while (first < TALLY_BUCKETS && t->durations[first] == 0)
		first++;
	while (end > first && t->durations[end - 1] == 0)
		end--;
	jput_array(j, "ends");
	for (i = 0; i < TALLY_ENDS_N; i++)
		jput_u64(j, NULL, t->ends[i]);
	jput_array_end(j);
	if (first == end)
		return;
	jput_array(j, "durations");
	jput_u64(j, NULL, first);
	for (i = first; i < end; i++)
		jput_u64(j, NULL, t->durations[i]);
	jput_array_end(j);
}

static void
put_count(struct jput *j, const char *name, uint64_t n)
{
	if (n > 0)
		jput_u64(j, name, n);
}

static void
put_counts(struct jput *j, const struct request_counts *c)
{
	size_t i;

	jput_object(j, "counts");
	put_count(j, "requests", c->requests);
	for (i = 0; i < REQUEST_ENDS_N; i++)
		put_count(j, request_end_name((enum request_end)i), c->ends[i]);
	put_count(j, "bytes_in", c->bytes_in);
	put_count(j, "bytes_out", c->bytes_out);
	if (c->cold_starts > 0) {
		jput_u64(j, "cold_starts", c->cold_starts);
		jput_double(j, "cold_wait_s", c->cold_wait_s);
		jput_double(j, "cold_wait_max_s", c->cold_wait_max_s);
	}
	jput_object_end(j);
}

static void
put_cold_start(struct jput *j, const struct msg_cold_start *c)
{
	size_t i;

	jput_object(j, "cold_start");
	jput_i64(j, "ago_ms", c->ago_ms);
	jput_array(j, "phases_us");
	for (i = 0; i < COLD_PHASES_N; i++)
		jput_u64(j, NULL, c->phases_us[i]);
	jput_array_end(j);
	jput_object_end(j);
}

static void
put_stat(struct jput *j, const struct msg_stat *s)
{
	size_t i;

	jput_object(j, NULL);
	jput_string(j, "name", s->name);
	jput_double(j, "concurrency", s->concurrency);
	if (s->waiting > 0)
		jput_double(j, "waiting", s->waiting);
	jput_u64(j, "peak", s->peak);
	jput_u64(j, "requests", s->requests);
	jput_u64(j, "parked", s->parked);
	jput_u64(j, "in_flight", s->in_flight);
	if (s->completed > 0) {
		jput_u64(j, "completed", s->completed);
		jput_double(j, "latency_ms", s->latency_ms);
	}
	if (s->missed_requests > 0)
		jput_u64(j, "missed_requests", s->missed_requests);
	if (s->missed_completed > 0)
		jput_u64(j, "missed_completed", s->missed_completed);
	if (s->tally != NULL)
		put_tally(j, s->tally);
	if (s->counts != NULL)
		put_counts(j, s->counts);
	if (s->cold_start != NULL)
		put_cold_start(j, s->cold_start);
	jput_array(j, "instances");
	for (i = 0; i < s->n; i++)
		put_stat_instance(j, &s->v[i]);
	jput_array_end(j);
	jput_object_end(j);
}

static void
put_stats(struct jput *j, const struct msg_stats *s)
{
	size_t i;

	jput_i64(j, "period_ms", s->period_ms);
	if (s->is_partial)
		jput_bool(j, "partial", true);
	jput_array(j, "revisions");
	for (i = 0; i < s->n; i++)
		put_stat(j, &s->v[i]);
	jput_array_end(j);
}

static void
put_shares_held(struct jput *j, const struct msg_shares_held *s)
{
	size_t i;

	jput_string(j, "revision", s->revision);
	jput_i64(j, "generation", s->generation);
	jput_u64(j, "term", s->term);
	jput_u64(j, "epoch", s->epoch);
	if (s->is_complete)
		jput_bool(j, "complete", true);
	if (s->owed_idle > 0)
		jput_u64(j, "owed_idle", s->owed_idle);
	if (s->owed_due > 0)
		jput_u64(j, "owed_due", s->owed_due);
	jput_array(j, "instances");
	for (i = 0; i < s->n; i++) {
		jput_object(j, NULL);
		jput_string(j, "id", s->v[i].id);
		if (s->v[i].slots != SHARE_ALL)
			jput_u64(j, "slots", s->v[i].slots);
		if (s->v[i].uses != SHARE_NO_USES) {
			jput_u64(j, "uses", s->v[i].uses);
			jput_u64(j, "used", s->v[i].used);
		}
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
put_want(struct jput *j, const struct msg_want *w)
{
	jput_string(j, "revision", w->revision);
	jput_u64(j, "term", w->term);
	jput_u64(j, "epoch", w->epoch);
	jput_u64(j, "slots", w->slots);
	jput_i64(j, "oldest_ms", w->oldest_ms);
}

static void
put_scaling(struct jput *j, const struct msg_scaling *s)
{
	jput_string(j, "revision", s->revision);
	jput_u64(j, "from", s->from);
	jput_u64(j, "to", s->to);
	jput_string(j, "rule", s->rule);
	jput_string(j, "why", s->why);
}

static void
put_members(struct jput *j, const struct msg *m)
{
	switch (m->type) {
	case MSG_UNKNOWN:
		CHECK(!"a message without a type");
	case MSG_HELLO:
		put_hello(j, &m->u.hello);
		break;
	case MSG_BEGIN:
	case MSG_SWAPPED:
		jput_i64(j, "generation", m->u.begin.generation);
		break;
	case MSG_SERVICE:
		put_service(j, &m->u.service);
		break;
	case MSG_END:
		jput_i64(j, "generation", m->u.end.generation);
		jput_u64(j, "services", m->u.end.services);
		break;
	case MSG_INSTANCES:
		jput_string(j, "revision", m->u.instances.revision);
		put_state(j, &m->u.instances);
		break;
	case MSG_ACTIVATE:
		jput_string(j, "revision", m->u.activate.revision);
		jput_u64(j, "parked", m->u.activate.parked);
		jput_u64(j, "seq", m->u.activate.seq);
		break;
	case MSG_ACTIVATING:
		jput_string(j, "revision", m->u.activating.revision);
		jput_u64(j, "seq", m->u.activating.seq);
		jput_u64(j, "wanted", m->u.activating.wanted);
		break;
	case MSG_STATS:
		put_stats(j, &m->u.stats);
		break;
	case MSG_INSTANCE:
		jput_string(j, "id", m->u.instance.id);
		jput_string(j, "state", msg_health_words[m->u.instance.state]);
		if (m->u.instance.uses != SHARE_NO_USES)
			jput_u64(j, "uses", m->u.instance.uses);
		if (m->u.instance.has_served)
			jput_bool(j, "served", true);
		break;
	case MSG_DRAIN:
		jput_string(j, "token", m->u.drain.token);
		jput_string_if(j, "revision", m->u.drain.revision);
		jput_string_if(j, "instance", m->u.drain.instance);
		break;
	case MSG_DRAINED:
	case MSG_BUSY:
	case MSG_RESUME:
		jput_string(j, "token", m->u.drained.token);
		break;
	case MSG_SHARES_HELD:
		put_shares_held(j, &m->u.shares_held);
		break;
	case MSG_WANT:
		put_want(j, &m->u.want);
		break;
	case MSG_LEAVING:
		break;
	case MSG_SCALING:
		put_scaling(j, &m->u.scaling);
		break;
	case MSG_COMMAND:
		jput_string(j, "token", m->u.command.token);
		jput_string(j, "command", m->u.command.command);
		if (m->u.command.pid > 0) {
			jput_i64(j, "pid", m->u.command.pid);
			jput_u64(j, "uid", m->u.command.uid);
		}
		if (m->u.command.login_uid != UINT32_MAX)
			jput_u64(j, "login_uid", m->u.command.login_uid);
		break;
	case MSG_RESULT:
		jput_string(j, "token", m->u.result.token);
		jput_bool(j, "done", m->u.result.is_done);
		jput_string(j, "text", m->u.result.text);
		break;
	}
}

void
msg_encode(const struct msg *m, struct strbuf *out)
{
	struct jput j;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_string(&j, "type", msg_type_name(m->type));
	put_members(&j, m);
	jput_object_end(&j);
}

/* --- fini --- */

static void
state_fini(struct msg_instances *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		free(s->v[i].id);
		free(s->v[i].address);
		free(s->v[i].alternate);
		free(s->v[i].probe);
	}
	free(s->v);
	if (s->failure != NULL) {
		free(s->failure->reason);
		free(s->failure->message);
		free(s->failure);
	}
	free(s->offer);
	free(s->revision);
}

static void
service_fini(struct msg_service *s)
{
	size_t i;

	free(s->name);
	str_list_fini(&s->hosts);
	str_list_fini(&s->local_hosts);
	str_list_fini(&s->paths);
	free(s->match_header);
	free(s->match_value);
	free(s->sticky);
	free(s->waiting_page);
	for (i = 0; i < s->rules_n; i++)
		rule_conf_fini(&s->rules[i]);
	free(s->rules);
	for (i = 0; i < s->traffic_n; i++) {
		free(s->traffic[i].revision);
		free(s->traffic[i].tag);
		str_list_fini(&s->traffic[i].hosts);
		str_list_fini(&s->traffic[i].local_hosts);
	}
	free(s->traffic);
	for (i = 0; i < s->revisions_n; i++) {
		limits_fini(&s->revisions[i].limits);
		state_fini(&s->revisions[i].instances);
	}
	free(s->revisions);
}

static void
stats_fini(struct msg_stats *s)
{
	size_t i, k;

	for (i = 0; i < s->n; i++) {
		for (k = 0; k < s->v[i].n; k++)
			free(s->v[i].v[k].id);
		free(s->v[i].v);
		free(s->v[i].tally);
		free(s->v[i].counts);
		free(s->v[i].cold_start);
		free(s->v[i].name);
	}
	free(s->v);
}

static void
shares_held_fini(struct msg_shares_held *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->v[i].id);
	free(s->v);
	free(s->revision);
}

void
msg_fini(struct msg *m)
{
	switch (m->type) {
	case MSG_UNKNOWN:
	case MSG_BEGIN:
	case MSG_END:
	case MSG_LEAVING:
	case MSG_SWAPPED:
		break;
	case MSG_SHARES_HELD:
		shares_held_fini(&m->u.shares_held);
		break;
	case MSG_WANT:
		free(m->u.want.revision);
		break;
	case MSG_HELLO:
		free(m->u.hello.id);
		free(m->u.hello.version);
		break;
	case MSG_SERVICE:
		service_fini(&m->u.service);
		break;
	case MSG_INSTANCES:
		state_fini(&m->u.instances);
		break;
	case MSG_ACTIVATE:
		free(m->u.activate.revision);
		break;
	case MSG_ACTIVATING:
		free(m->u.activating.revision);
		break;
	case MSG_STATS:
		stats_fini(&m->u.stats);
		break;
	case MSG_INSTANCE:
		free(m->u.instance.id);
		break;
	case MSG_DRAIN:
		free(m->u.drain.token);
		free(m->u.drain.revision);
		free(m->u.drain.instance);
		break;
	case MSG_DRAINED:
	case MSG_BUSY:
	case MSG_RESUME:
		free(m->u.drained.token);
		break;
	case MSG_SCALING:
		free(m->u.scaling.revision);
		free(m->u.scaling.rule);
		free(m->u.scaling.why);
		break;
	case MSG_COMMAND:
		free(m->u.command.token);
		free(m->u.command.command);
		break;
	case MSG_RESULT:
		free(m->u.result.token);
		free(m->u.result.text);
		break;
	}
	*m = (struct msg){.type = MSG_UNKNOWN};
}
