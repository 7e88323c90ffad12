#include "autoscaler/status_feed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/page/assets.h"
#include "autoscaler/page/feed.h"
#include "autoscaler/page/watchers.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/rollouts.h"
#include "autoscaler/services.h"
#include "autoscaler/versions/store.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/hmap.h"
#include "common/jput.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/settings_claims.h"
#include "common/strbuf.h"

#define SLICE CLK_MS		 /* a pass takes so long at a time … */
#define SLICE_EVERY (3 * CLK_MS) /* … with so much between, for other work */
#define PASS_EVERY (CLK_S / 2)	 /* from the begin of a pass to that of the next, at least */
#define PASS_PART 50		 /* … then a pause of so many times the CPU time it used … */
#define PAUSE_MAX (30 * CLK_S)	 /* … but at most this: what is shown must not be too old */
#define BEAT_EVERY (5 * CLK_S)	 /* while nothing changes */
#define CLOCK_STEP CLK_S	 /* of the wall clock, which changes all times that are shown */
#define DECISIONS 100		 /* the last ones over all revisions */
#define COLD_STARTS 100
#define ROUGHLY 3 /* digits of an average */

enum phase { SERVICES, LEAVING, PROCESS, LAST_DECISIONS, LAST_COLD_STARTS, GONE };

struct decision_line {
	char *revision;
	int64_t at_ns; /* wall clock; 0: unused */
	uint32_t from, wanted;
	enum decide_rule rule;
	bool is_first; /* `from` is unknown */
};

struct cold_line {
	char *revision;
	int64_t at_ns; /* wall clock; 0: unused */
	struct msg_cold_start cold;
};

struct status_feed {
	struct loop *loop;
	struct facts (*facts)(void *arg);
	void *arg;
	struct feed *feed;
	struct watchers *watchers;
	struct loop_timer timer; /* set while there are watchers */
	struct loop_timer beat;	 /* the same; apart from `timer`, whose pauses may be longer */
	int64_t beat_ns;	 /* clk_now() when something was sent to all of them */
	int64_t wall_offset_ns;	 /* clk_wall() - clk_now(), kept while it is about right */

	/* the pass */
	bool is_passing;
	int64_t begun_ns, used_ns;
	int64_t generation; /* of the services, when it began */
	enum phase phase;
	size_t at, revision_at; /* the service, and the revision of it, that is put next */
	struct strbuf text;	/* of one item */

	struct hmap noted; /* revision → how many of its decisions were looked at, as a pointer */
	struct decision_line decisions[DECISIONS];
	struct cold_line cold[COLD_STARTS];
	size_t cold_n; /* noted so far */
};

/* --- values --- */

/* A point of clk_now() in milliseconds since the epoch. */
static void
put_time(struct jput *j, const char *key, const struct status_feed *sf, int64_t ns)
{
	jput_i64(j, key, (ns + sf->wall_offset_ns) / CLK_MS);
}

/* In few digits: an average that hardly changes is no news. */
static void
put_rough(struct jput *j, const char *key, double value)
{
	double unit;

	if (value < 0)
		return;
	if (value > 0) {
		unit = pow(10, floor(log10(value)) - (ROUGHLY - 1));
		value = unit > 0 ? round(value / unit) * unit : 0;
	}
	jput_double(j, key, value);
}

static void
begin_item(struct status_feed *sf, struct jput *j, const char *kind, const char *name)
{
	strbuf_clear(&sf->text);
	jput_init(j, &sf->text);
	jput_object(j, NULL);
	jput_string(j, "k", kind);
	jput_string(j, "name", name);
}

static void
end_item(struct status_feed *sf, struct jput *j, const char *kind, const char *name)
{
	char *key = xasprintf("%s %s", kind, name);

	jput_object_end(j);
	feed_put(sf->feed, key, sf->text.data, sf->text.len);
	free(key);
}

/* --- decisions --- */

static struct decision_line *
oldest_decision(struct status_feed *sf)
{
	struct decision_line *oldest = &sf->decisions[0];
	size_t i;

	for (i = 1; i < DECISIONS; i++)
		if (sf->decisions[i].at_ns < oldest->at_ns)
			oldest = &sf->decisions[i];
	return oldest;
}

static bool
has_decision(const struct status_feed *sf, const char *revision, int64_t at_ns)
{
	size_t i;

	for (i = 0; i < DECISIONS; i++)
		if (sf->decisions[i].at_ns == at_ns &&
		    strcmp(sf->decisions[i].revision, revision) == 0)
			return true;
	return false;
}

/* Those that change the number; /why has the others. */
static void
note_decision(struct status_feed *sf, const struct scaled_revision *rev, size_t k)
{
	const struct why_entry *e = why_at(&rev->why, k), *before = why_at(&rev->why, k + 1);
	struct decision_line *d = oldest_decision(sf);

	if (e == NULL || e->wanted == (before == NULL ? 0 : before->wanted))
		return;
	if (e->from_ns <= d->at_ns || has_decision(sf, scaled_name(rev), e->from_ns))
		return;
	free(d->revision);
	*d = (struct decision_line){.revision = xstrdup(scaled_name(rev)),
				    .at_ns = e->from_ns,
				    .from = before == NULL ? 0 : before->wanted,
				    .is_first = before == NULL,
				    .wanted = e->wanted,
				    .rule = e->rule};
}

/* Note those that were made since the last pass. */
static void
note_decisions(struct status_feed *sf, const struct scaled_revision *rev)
{
	uint64_t noted = (uintptr_t)hmap_find(&sf->noted, scaled_name(rev)), k;

	if (rev->why.n == noted)
		return;
	if (rev->why.n < noted) /* the revision was forgotten, and has begun anew */
		noted = 0;
	for (k = MIN(rev->why.n - noted, (uint64_t)WHY_ENTRIES); k > 0; k--)
		note_decision(sf, rev, (size_t)k - 1);
	hmap_put(&sf->noted, scaled_name(rev), (void *)(uintptr_t)rev->why.n);
}

static void
put_decisions(struct status_feed *sf)
{
	size_t i;

	for (i = 0; i < DECISIONS; i++) {
		const struct decision_line *d = &sf->decisions[i];
		char name[16];
		struct jput j;

		if (d->at_ns == 0)
			continue;
		snprintf(name, sizeof name, "%zu", i);
		begin_item(sf, &j, "decision", name);
		jput_string(&j, "revision", d->revision);
		jput_i64(&j, "at_ms", d->at_ns / CLK_MS);
		if (!d->is_first)
			jput_u64(&j, "from", d->from);
		jput_u64(&j, "wanted", d->wanted);
		jput_string(&j, "rule", decide_rule_name(d->rule));
		jput_string(&j, "why", decide_rule_text(d->rule));
		end_item(sf, &j, "decision", name);
	}
}

static void
forget_noted(struct status_feed *sf)
{
	hmap_fini(&sf->noted);
	hmap_init(&sf->noted);
}

static void
forget_decisions(struct status_feed *sf)
{
	size_t i;

	for (i = 0; i < DECISIONS; i++) {
		free(sf->decisions[i].revision);
		sf->decisions[i] = (struct decision_line){.at_ns = 0};
	}
	forget_noted(sf);
}

/* --- cold starts --- */

void
status_feed_report(struct status_feed *sf, const struct msg_stats *s)
{
	int64_t now = clk_wall();
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct cold_line *c = &sf->cold[sf->cold_n % COLD_STARTS];

		if (s->v[i].cold_start == NULL)
			continue;
		sf->cold_n++;
		free(c->revision);
		*c = (struct cold_line){.revision = xstrdup(s->v[i].name),
					.at_ns = now - s->v[i].cold_start->ago_ms * CLK_MS,
					.cold = *s->v[i].cold_start};
	}
}

static const char *const phase_names[] = {
#define X(id, name) [COLD_##id] = name,
	COLD_PHASES(X)
#undef X
};

static void
put_cold_starts(struct status_feed *sf)
{
	size_t i, k;

	for (i = 0; i < COLD_STARTS; i++) {
		const struct cold_line *c = &sf->cold[i];
		char name[16];
		struct jput j;

		if (c->at_ns == 0)
			continue;
		snprintf(name, sizeof name, "%zu", i);
		begin_item(sf, &j, "cold", name);
		jput_string(&j, "revision", c->revision);
		jput_i64(&j, "at_ms", c->at_ns / CLK_MS);
		jput_object(&j, "phases_ms");
		for (k = 0; k < COLD_PHASES_N; k++)
			jput_double(&j, phase_names[k], (double)c->cold.phases_us[k] / 1000);
		jput_object_end(&j);
		end_item(sf, &j, "cold", name);
	}
}

/* --- a revision --- */

static void
put_traffic(struct jput *j, const struct service_conf *service, const char *revision)
{
	uint64_t percent = 0, latest = 0;
	size_t i, tags = 0;

	for (i = 0; i < service->traffic_n; i++)
		if (strcmp(service->traffic[i].revision, revision) == 0) {
			percent += service->traffic[i].percent;
			latest += service->traffic[i].latest;
			tags += service->traffic[i].tag != NULL;
		}
	jput_u64(j, "percent", percent);
	if (latest > 0)
		jput_u64(j, "latest_percent", latest);
	if (tags == 0)
		return;
	jput_array(j, "tags");
	for (i = 0; i < service->traffic_n; i++)
		if (strcmp(service->traffic[i].revision, revision) == 0 &&
		    service->traffic[i].tag != NULL)
			jput_string(j, NULL, service->traffic[i].tag);
	jput_array_end(j);
}

static void
put_instances(struct jput *j, const struct scaled_revision *rev)
{
	uint32_t ready = instances_ready(&rev->instances);
	uint32_t live = instances_live(&rev->instances);

	jput_u64(j, "ready", ready);
	jput_u64(j, "starting", live > ready ? live - ready : 0);
	jput_u64(j, "stopping", rev->instances.n > live ? rev->instances.n - live : 0);
}

static void
put_load(struct status_feed *sf, struct jput *j, const struct scaled_revision *rev)
{
	jput_u64(j, "parked", reports_parked(&rev->reports));
	jput_u64(j, "in_flight", reports_in_flight(&rev->reports));
	/* An early report covers too short a time for a rate to be shown. */
	put_rough(j, "requests_per_second", reports_steady_arrivals(&rev->reports));
	put_rough(j, "latency_ms", timing_latency_s(&rev->timing) * 1000);
	if (rev->is_woken)
		put_time(j, "woken_ms", sf, rev->woken_ns);
}

/* Of a revision that is asleep since the autoscaler has started the first decision, which had no
 * report yet, is the last one. */
static const char *
why_text(const struct scaled_revision *rev)
{
	if (rev->wanted.rule == DECIDE_NO_DATA && rev->wanted.n == 0 && rev->instances.n == 0 &&
	    !scaled_is_active(rev))
		return "no request has come yet";
	return decide_rule_text(rev->wanted.rule);
}

static void
put_decision(struct jput *j, const struct scaled_revision *rev)
{
	const struct why_entry *e = why_at(&rev->why, 0);

	if (!scaled_is_decided(rev))
		return;
	jput_u64(j, "wanted", scaled_wanted(rev));
	if (e != NULL) {
		jput_string(j, "rule", decide_rule_name(rev->wanted.rule));
		jput_string(j, "why", why_text(rev));
		jput_i64(j, "since_ms", e->from_ns / CLK_MS);
	}
	if (rev->decided.is_panicking)
		jput_bool(j, "panicking", true);
	if (scaled_is_dry(rev))
		jput_bool(j, "dry_run", true);
}

static void
put_trouble(struct status_feed *sf, struct jput *j, const struct scaled_revision *rev)
{
	jput_string_if(j, "held_back", rev->held_back);
	jput_string_if(j, "held_by", scaled_holder(rev));
	if (rev->hold.is_on)
		jput_u64(j, "held", rev->hold.n);
	if (rev->failure == NULL)
		return;
	jput_object(j, "failure");
	jput_string(j, "reason", rev->failure->reason);
	jput_string(j, "message", rev->failure->message);
	jput_bool(j, "parking", rev->failure->is_parking);
	put_time(j, "since_ms", sf, rev->failed_ns);
	jput_object_end(j);
}

/* service, conf NULL: the revision is leaving. */
static void
put_revision(struct status_feed *sf, const struct service_conf *service,
	     const struct revision_conf *conf, const struct scaled_revision *rev)
{
	const char *name = rev != NULL ? scaled_name(rev) : conf->full_name;
	struct jput j;

	begin_item(sf, &j, "revision", name);
	if (service != NULL)
		put_traffic(&j, service, conf->name);
	if (rev != NULL) {
		note_decisions(sf, rev);
		jput_string(&j, "state", scaled_state_name(rev));
		if (rev->is_external)
			jput_bool(&j, "external", true);
		if (rev->is_leaving)
			jput_bool(&j, "leaving", true);
		put_instances(&j, rev);
		put_load(sf, &j, rev);
		put_decision(&j, rev);
		put_trouble(sf, &j, rev);
	}
	end_item(sf, &j, "revision", name);
}

/* --- a service --- */

static const struct stored_service *
stored_of(const struct facts *f, const struct service_conf *service)
{
	return services_source_of(f->services, service) == SERVICES_OF_STORE
		       ? version_store_find(f->store, service->name)
		       : NULL;
}

static void
put_service(struct status_feed *sf, const struct facts *f, const struct service_conf *service)
{
	static const char *const sources[] = {[SERVICES_OF_FILE] = "conf",
					      [SERVICES_OF_STORE] = "store",
					      [SERVICES_OF_KNATIVE] = "knative",
					      [SERVICES_FOUND] = "annotations"};
	const struct stored_service *stored = stored_of(f, service);
	struct jput j;

	begin_item(sf, &j, "service", service->name);
	jput_strings(&j, "hosts", settings_hosts_shown(service));
	jput_strings_if(&j, "paths", &service->paths);
	jput_string(&j, "source", sources[services_source_of(f->services, service)]);
	jput_string_if(&j, "owner", service->owner);
	jput_string_if(&j, "cost_center", service->cost_center);
	if (stored != NULL && stored->rollout != NULL) {
		jput_object(&j, "rollout");
		rollouts_put(f->rollouts, stored, &j);
		jput_object_end(&j);
	}
	end_item(sf, &j, "service", service->name);
}

/* --- the process --- */

static void
put_activators(struct status_feed *sf, struct jput *j, const struct facts *f)
{
	struct hub_peer *p = NULL;

	jput_array(j, "activators");
	while (f->hub != NULL && (p = hub_next_activator(f->hub, p)) != NULL) {
		jput_object(j, NULL);
		jput_string(j, "id", p->id);
		jput_string_if(j, "version", p->version);
		put_time(j, "since_ms", sf, p->since_ns);
		jput_bool(j, "silent", reconcile_is_silent(f->reconcile, p->id));
		jput_bool(j, "leaving", p->is_leaving);
		jput_object_end(j);
	}
	jput_array_end(j);
}

/* Those with a bound. */
static void
put_owners(struct jput *j, const struct facts *f)
{
	struct reconcile_owner o;
	size_t at = 0;

	jput_array(j, "owners");
	while (reconcile_next_owner(f->reconcile, &at, &o)) {
		jput_object(j, NULL);
		jput_string(j, "name", o.name);
		jput_u64(j, "max_instances", o.max_instances);
		jput_u64(j, "instances", o.instances);
		jput_u64(j, "wanted", o.wanted);
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
put_process(struct status_feed *sf, const struct facts *f)
{
	struct jput j;

	begin_item(sf, &j, "process", f->id);
	jput_string(&j, "version", daemon_version);
	jput_string(&j, "driver", f->driver);
	put_time(&j, "since_ms", sf, f->started_ns);
	jput_i64(&j, "generation", f->generation);
	jput_u64(&j, "services", services_n(f->services));
	jput_u64(&j, "max_instances", f->max_instances);
	jput_u64(&j, "reload_failures", f->reloads.failed);
	jput_bool(&j, "conf_differs", f->reloads.is_file_other);
	jput_bool(&j, "stopping", f->is_stopping);
	put_activators(sf, &j, f);
	put_owners(&j, f);
	end_item(sf, &j, "process", f->id);
}

/* --- a pass --- */

static void
begin_pass(struct status_feed *sf, const struct facts *f)
{
	int64_t offset = clk_wall() - clk_now();

	if (llabs((long long)(offset - sf->wall_offset_ns)) > CLOCK_STEP)
		sf->wall_offset_ns = offset;
	if (sf->noted.n > 2 * feed_n(sf->feed) + DECISIONS) /* most of these revisions are gone */
		forget_noted(sf);
	sf->is_passing = true;
	sf->begun_ns = clk_now();
	sf->used_ns = 0;
	sf->generation = f->generation;
	sf->phase = SERVICES;
	sf->at = sf->revision_at = 0;
	feed_begin(sf->feed);
}

/* One revision, so that a service of many does not exceed the slice. */
static void
put_next_of_service(struct status_feed *sf, const struct facts *f)
{
	const struct service_conf *service;
	const struct revision_conf *conf;

	if (sf->at >= services_n(f->services)) {
		sf->phase = LEAVING;
		sf->at = 0;
		return;
	}
	service = services_at(f->services, sf->at);
	if (sf->revision_at == 0)
		put_service(sf, f, service);
	if (sf->revision_at < service->revisions_n) {
		conf = &service->revisions[sf->revision_at++];
		put_revision(sf, service, conf, reconcile_find(f->reconcile, conf->full_name));
	}
	if (sf->revision_at < service->revisions_n)
		return;
	sf->at++;
	sf->revision_at = 0;
}

static void
put_next_leaving(struct status_feed *sf, const struct facts *f)
{
	const struct scaled_revision *rev = reconcile_next(f->reconcile, &sf->at);

	if (rev == NULL)
		sf->phase = PROCESS;
	else if (rev->is_leaving)
		put_revision(sf, NULL, NULL, rev);
}

/* True: the pass is over. */
static bool
put_next(struct status_feed *sf, const struct facts *f)
{
	switch (sf->phase) {
	case SERVICES:
		put_next_of_service(sf, f);
		return false;
	case LEAVING:
		put_next_leaving(sf, f);
		return false;
	case PROCESS:
		put_process(sf, f);
		sf->phase = LAST_DECISIONS;
		return false;
	case LAST_DECISIONS:
		put_decisions(sf);
		sf->phase = LAST_COLD_STARTS;
		return false;
	case LAST_COLD_STARTS:
		put_cold_starts(sf);
		sf->phase = GONE;
		return false;
	case GONE:
		break;
	}
	/* Services that have changed within the pass may have been skipped: they are not gone.  The
	 * next pass puts them.  To begin anew at each change could go on for ever. */
	if (f->generation == sf->generation)
		feed_end(sf->feed);
	return true;
}

static void
send_changes(struct status_feed *sf, uint64_t before)
{
	if (feed_serial(sf->feed) == before)
		return;
	watchers_send(sf->watchers);
	sf->beat_ns = clk_now();
}

static void
on_beat(void *arg)
{
	struct status_feed *sf = arg;
	int64_t now = clk_now();

	if (watchers_n(sf->watchers) == 0)
		return;
	if (now - sf->beat_ns >= BEAT_EVERY) {
		watchers_beat(sf->watchers);
		sf->beat_ns = now;
	}
	loop_timer_set(&sf->beat, sf->beat_ns + BEAT_EVERY - now);
}

/* Nobody watches any more. */
static void
rest(struct status_feed *sf)
{
	sf->is_passing = false;
	feed_clear(sf->feed);
	forget_decisions(sf);
}

/* From the end of a pass to the begin of the next. */
static int64_t
pause_of(const struct status_feed *sf)
{
	int64_t pause = MIN(PASS_PART * sf->used_ns, PAUSE_MAX);

	return MAX(PASS_EVERY - (clk_now() - sf->begun_ns), pause);
}

static void
on_timer(void *arg)
{
	struct status_feed *sf = arg;
	const struct facts f = sf->facts(sf->arg);
	uint64_t before = feed_serial(sf->feed);
	int64_t begin = clk_now(), cpu = clk_cpu();
	bool is_over = false;

	if (watchers_n(sf->watchers) == 0) {
		rest(sf);
		return;
	}
	if (!sf->is_passing)
		begin_pass(sf, &f);
	while (!is_over && clk_now() - begin < SLICE)
		is_over = put_next(sf, &f);
	send_changes(sf, before);
	sf->used_ns += clk_cpu() - cpu;
	sf->is_passing = !is_over;
	loop_timer_set(&sf->timer, is_over ? pause_of(sf) : SLICE_EVERY);
}

/* --- the endpoint --- */

static char *
hello_text(const struct status_feed *sf)
{
	const struct facts f = sf->facts(sf->arg);
	struct strbuf b;
	struct jput j;

	strbuf_init(&b, 0);
	jput_init(&j, &b);
	jput_object(&j, NULL);
	jput_string(&j, "id", f.id);
	jput_string(&j, "version", daemon_version);
	jput_i64(&j, "now_ms", clk_wall() / CLK_MS);
	jput_object_end(&j);
	return strbuf_take(&b);
}

static void
on_events(struct admin_request *req, void *arg)
{
	struct status_feed *sf = arg;
	char *hello;

	if (req->is_head) {
		req->content_type = "text/event-stream";
		return;
	}
	hello = hello_text(sf);
	if (watchers_add(sf->watchers, req, hello)) {
		if (!loop_timer_pending(&sf->timer))
			loop_timer_set(&sf->timer, 0);
		if (!loop_timer_pending(&sf->beat))
			loop_timer_set(&sf->beat, BEAT_EVERY);
	} else {
		req->status = 503;
		req->add_field(req, "Retry-After", "10");
		strbuf_addf(req->body, "%d clients watch already\n", WATCHERS_MAX);
	}
	free(hello);
}

static void
on_asset(struct admin_request *req, void *arg)
{
	(void)arg;
	assets_answer(req);
}

void
status_feed_add_pages(struct status_feed *sf, struct admin *a)
{
	static const char *const none[] = {NULL};
	size_t i;

	for (i = 0; assets_paths[i] != NULL; i++)
		admin_add_page(a, assets_paths[i], on_asset, sf);
	admin_add_page(a, "/events", on_events, sf);
	admin_page_params(a, "/events", none);
	admin_set_home(a, assets_paths[0]);
}

size_t
status_feed_watchers(const struct status_feed *sf)
{
	return watchers_n(sf->watchers);
}

/* --- life --- */

struct status_feed *
status_feed_new(struct loop *loop, struct facts (*facts)(void *arg), void *arg)
{
	struct status_feed *sf = xcalloc(1, sizeof *sf);

	sf->loop = loop;
	sf->facts = facts;
	sf->arg = arg;
	sf->feed = feed_new();
	sf->watchers = watchers_new(sf->feed);
	hmap_init(&sf->noted);
	strbuf_init(&sf->text, 0);
	loop_timer_init(&sf->timer, loop, on_timer, sf);
	loop_timer_init(&sf->beat, loop, on_beat, sf);
	return sf;
}

void
status_feed_free(struct status_feed **sfp)
{
	struct status_feed *sf = *sfp;
	size_t i;

	*sfp = NULL;
	if (sf == NULL)
		return;
	loop_timer_fini(&sf->timer);
	loop_timer_fini(&sf->beat);
	forget_decisions(sf);
	hmap_fini(&sf->noted);
	for (i = 0; i < COLD_STARTS; i++)
		free(sf->cold[i].revision);
	strbuf_fini(&sf->text);
	watchers_free(&sf->watchers);
	feed_free(&sf->feed);
	free(sf);
}
