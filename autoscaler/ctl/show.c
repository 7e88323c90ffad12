#include "autoscaler/ctl/show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/out.h"
#include "common/daemon.h"
#include "common/jput.h"
#include "common/strbuf.h"

#define NUMBER_TEXT 32

struct show {
	enum show_kind kind;
	enum ctl_format format;
	const char *revision;
	size_t most;
	struct out_table *table; /* NULL: a page, or CTL_NAME, CTL_JSON */
	struct strbuf json;	 /* the lines, with commas between them */
	size_t lines;
	struct strbuf names;
};

/* --- values --- */

static const char *
seconds_text(double s, char out[NUMBER_TEXT])
{
	if (s < 0)
		snprintf(out, NUMBER_TEXT, "-");
	else if (s < 120)
		snprintf(out, NUMBER_TEXT, "%.0fs", s);
	else if (s < 7200)
		snprintf(out, NUMBER_TEXT, "%.0fm", floor(s / 60));
	else if (s < 172800)
		snprintf(out, NUMBER_TEXT, "%.0fh", floor(s / 3600));
	else
		snprintf(out, NUMBER_TEXT, "%.0fd", floor(s / 86400));
	return out;
}

static const char *
bytes_text(double bytes, char out[NUMBER_TEXT])
{
	if (bytes < 0)
		snprintf(out, NUMBER_TEXT, "-");
	else if (bytes < 1024.0 * 1024)
		snprintf(out, NUMBER_TEXT, "%.0fKiB", bytes / 1024);
	else if (bytes < 1024.0 * 1024 * 1024)
		snprintf(out, NUMBER_TEXT, "%.0fMiB", bytes / (1024.0 * 1024));
	else
		snprintf(out, NUMBER_TEXT, "%.1fGiB", bytes / (1024.0 * 1024 * 1024));
	return out;
}

/* "-" where it is unknown. */
static const char *
known_text(double value, const char *unit, char out[NUMBER_TEXT])
{
	if (value < 0)
		snprintf(out, NUMBER_TEXT, "-");
	else
		snprintf(out, NUMBER_TEXT, value < 100 ? "%.1f%s" : "%.0f%s", value, unit);
	return out;
}

#define SECONDS(s) seconds_text(s, (char[NUMBER_TEXT]){0})
#define BYTES(n) bytes_text(n, (char[NUMBER_TEXT]){0})
#define KNOWN(value, unit) known_text(value, unit, (char[NUMBER_TEXT]){0})

static unsigned long
whole(const struct jget *at, const char *key)
{
	return (unsigned long)session_number(at, key, 0);
}

static enum out_colour
colour_of(const char *state)
{
	if (strcmp(state, "awake") == 0 || strcmp(state, "ready") == 0)
		return OUT_GREEN;
	if (strcmp(state, "failing") == 0)
		return OUT_RED;
	if (strcmp(state, "starting") == 0 || strcmp(state, "stopping") == 0)
		return OUT_YELLOW;
	return OUT_DIM;
}

/* Call fn for each object of an array. */
static void
each(const struct jget *at, const char *key, void (*fn)(const struct jget *, void *), void *arg)
{
	struct jget array, element;
	struct err e;
	size_t n = 0, i;

	if (jget_array(at, key, JGET_MAY, &array, &n, &e) < 0)
		return;
	for (i = 0; i < n; i++)
		if (jget_element(&array, i, &element, &e) == 0)
			fn(&element, arg);
}

/* --- a service in one row --- */

struct service_sums {
	unsigned long ready, wanted, parked, in_flight;
	double rate, latency_ms;
	const char *state; /* the one that an operator wants to see first */
	struct strbuf traffic;
};

static const char *
worse(const char *a, const char *b)
{
	static const char *const order[] = {"failing",	"starting", "awake",
					    "stopping", "unknown",  "external"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(order); i++)
		if (strcmp(a, order[i]) == 0 || strcmp(b, order[i]) == 0)
			return order[i];
	return "asleep";
}

/* Its tags, and "@latest" if it has traffic that moves to the next revision; the caller's. */
static char *
tags_of(const struct jget *rev, const char *between)
{
	char *tags = session_list(rev, "tags", between), *all;

	if (whole(rev, "latest_percent") == 0)
		return tags;
	all = xasprintf("@latest%s%s", tags[0] == '\0' ? "" : between, tags);
	free(tags);
	return all;
}

static void
add_traffic(const struct jget *rev, struct strbuf *out)
{
	char *name = session_text(rev, "revision"), *tags = tags_of(rev, ",");

	if (whole(rev, "percent") > 0)
		strbuf_addf(out, "%s%s %lu%%", out->len > 0 ? ", " : "", name,
			    whole(rev, "percent"));
	if (tags[0] != '\0')
		strbuf_addf(out, "%s%s",
			    whole(rev, "percent") > 0 ? " "
			    : out->len > 0	      ? ", "
						      : "",
			    whole(rev, "percent") > 0 ? "" : name);
	if (tags[0] != '\0')
		strbuf_addf(out, "%s(%s)", whole(rev, "percent") > 0 ? "" : " ", tags);
	free(name);
	free(tags);
}

static void
add_revision(const struct jget *rev, void *arg)
{
	struct service_sums *s = arg;
	char *state = session_text(rev, "state");
	double rate = session_number(rev, "requests_per_second", -1);

	s->ready += whole(rev, "ready");
	s->wanted += whole(rev, "wanted");
	s->parked += whole(rev, "parked");
	s->in_flight += whole(rev, "in_flight");
	if (rate >= 0)
		s->rate = MAX(s->rate, 0) + rate;
	s->latency_ms = MAX(s->latency_ms, session_number(rev, "latency_ms", -1));
	s->state = worse(s->state, state == NULL ? "unknown" : state);
	add_traffic(rev, &s->traffic);
	free(state);
}

/* ", rollout paused", if one is under way. */
static void
add_rollout(const struct jget *service, struct strbuf *out)
{
	struct jget rollout;
	struct err e;
	char *state;

	if (jget_object(service, "rollout", JGET_MAY, &rollout, &e) < 0 || rollout.json == NULL)
		return;
	state = session_text(&rollout, "state");
	if (state != NULL && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0))
		strbuf_addf(out, ", rollout %s", state);
	free(state);
}

static void
show_service_row(struct show *show, const struct jget *service)
{
	struct service_sums s = {.rate = -1, .latency_ms = -1, .state = "asleep"};
	char *name = session_text(service, "name"), *hosts = session_list(service, "hosts", ",");
	char *source = session_text(service, "source");

	strbuf_init(&s.traffic, 0);
	each(service, "revisions", add_revision, &s);
	add_rollout(service, &s.traffic);
	out_cell(show->table, OUT_PLAIN, "%s", name);
	out_cell(show->table, colour_of(s.state), "%s", s.state);
	out_cell(show->table, OUT_PLAIN, "%lu/%lu", s.ready, s.wanted);
	out_cell(show->table, s.parked > 0 ? OUT_YELLOW : OUT_PLAIN, "%lu", s.parked);
	out_cell(show->table, OUT_PLAIN, "%lu", s.in_flight);
	if (show->format == CTL_WIDE) {
		out_cell(show->table, OUT_PLAIN, "%s", KNOWN(s.rate, ""));
		out_cell(show->table, OUT_PLAIN, "%s", KNOWN(s.latency_ms, "ms"));
		out_cell(show->table, OUT_PLAIN, "%s", source);
	}
	out_cell(show->table, OUT_PLAIN, "%s", strbuf_str(&s.traffic));
	out_cell(show->table, OUT_PLAIN, "%s", hosts);
	strbuf_fini(&s.traffic);
	free(name);
	free(hosts);
	free(source);
}

/* --- a revision in one row --- */

/* What runs it: the program, the Deployment, the addresses. */
static char *
runs_of(const struct jget *rev)
{
	char *command = session_list(rev, "command", " ");
	char *addresses = session_list(rev, "addresses", ","), *deployment, *workload, *text;

	deployment = session_text(rev, "deployment");
	workload = session_text(rev, "workload");
	if (command[0] != '\0')
		text = xstrdup(command);
	else if (addresses[0] != '\0')
		text = xstrdup(addresses);
	else
		text = xstrdup(deployment != NULL ? deployment : workload != NULL ? workload : "-");
	free(command);
	free(addresses);
	free(deployment);
	free(workload);
	return text;
}

static void
put_traffic_cells(struct show *show, const struct jget *rev)
{
	char *tags = tags_of(rev, ",");

	out_cell(show->table, OUT_PLAIN, "%lu%%", whole(rev, "percent"));
	out_cell(show->table, OUT_PLAIN, "%s", tags[0] == '\0' ? "-" : tags);
	free(tags);
}

static void
show_revision_row(struct show *show, const struct jget *rev)
{
	char *name = session_text(rev, "name"), *state = session_text(rev, "state");
	char *why = session_text(rev, "why"), *failure = session_text(rev, "failure");
	char *runs = runs_of(rev);
	const char *shown = state == NULL ? "unknown" : state;

	if (show->kind == SHOW_LOAD) /* what waits first, then what works, then what runs */
		out_row_weight(show->table, 1e6 * (double)whole(rev, "parked") +
						    1e3 * (double)whole(rev, "in_flight") +
						    (double)whole(rev, "ready"));
	out_cell(show->table, OUT_PLAIN, "%s", name);
	if (show->kind == SHOW_REVISIONS)
		put_traffic_cells(show, rev);
	out_cell(show->table, colour_of(shown), "%s", shown);
	out_cell(show->table, OUT_PLAIN, "%lu/%lu", whole(rev, "ready"), whole(rev, "wanted"));
	out_cell(show->table, whole(rev, "parked") > 0 ? OUT_YELLOW : OUT_PLAIN, "%lu",
		 whole(rev, "parked"));
	out_cell(show->table, OUT_PLAIN, "%lu", whole(rev, "in_flight"));
	if (show->kind == SHOW_LOAD || show->format == CTL_WIDE) {
		out_cell(show->table, OUT_PLAIN, "%s",
			 KNOWN(session_number(rev, "requests_per_second", -1), ""));
		out_cell(show->table, OUT_PLAIN, "%s",
			 KNOWN(session_number(rev, "latency_ms", -1), "ms"));
	}
	if (show->kind == SHOW_LOAD || show->format == CTL_WIDE)
		out_cell(show->table, failure != NULL ? OUT_RED : OUT_PLAIN, "%s",
			 failure != NULL ? failure
			 : why != NULL	 ? why
					 : "-");
	if (show->kind == SHOW_REVISIONS)
		out_cell(show->table, OUT_PLAIN, "%s", runs);
	free(name);
	free(state);
	free(why);
	free(failure);
	free(runs);
}

/* Is the revision one that was asked for? */
static bool
is_shown(const struct show *show, const struct jget *rev)
{
	char *name = session_text(rev, "revision");
	bool is = show->revision == NULL || (name != NULL && strcmp(name, show->revision) == 0);

	free(name);
	return is;
}

static void
on_revision(const struct jget *rev, void *arg)
{
	struct show *show = arg;
	char *name;

	if (!is_shown(show, rev))
		return;
	if (show->format == CTL_NAME) {
		name = session_text(rev, "name");
		strbuf_addf(&show->names, "%s\n", name);
		free(name);
	} else {
		show_revision_row(show, rev);
	}
}

/* --- a page of a service --- */

static void
put_row(const char *label, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	out_coloured(OUT_BOLD, "%-12s", label);
	out_printf("%s\n", value);
}

static void
put_instance_row(const struct jget *instance, void *arg)
{
	struct out_table *t = arg;
	char *id = session_text(instance, "id"), *state = session_text(instance, "state");
	char *address = session_text(instance, "address");
	unsigned long port = whole(instance, "port");

	out_cell(t, OUT_PLAIN, "%s", id);
	out_cell(t, colour_of(state), "%s", state);
	if (address == NULL)
		out_cell(t, OUT_PLAIN, "-");
	else if (port == 0)
		out_cell(t, OUT_PLAIN, "%s", address);
	else
		out_cell(t, OUT_PLAIN, strchr(address, ':') == NULL ? "%s:%lu" : "[%s]:%lu",
			 address, port);
	out_cell(t, OUT_PLAIN, "%lu", whole(instance, "in_flight"));
	out_cell(t, OUT_PLAIN, "%s", SECONDS(session_number(instance, "age_s", -1)));
	out_cell(t, OUT_PLAIN, "%s", KNOWN(session_number(instance, "cpu_s", -1), "s"));
	out_cell(t, OUT_PLAIN, "%s", BYTES(session_number(instance, "memory_bytes", -1)));
	free(id);
	free(state);
	free(address);
}

static void
put_instances(const struct jget *rev)
{
	static const char *const columns[] = {"INSTANCE", "STATE", "ADDRESS", ">IN FLIGHT",
					      ">AGE",	  ">CPU",  ">MEMORY"};
	struct out_table *t = out_table_new(columns, ARRAY_LEN(columns));

	each(rev, "instances", put_instance_row, t);
	out_table_end(&t, 2, 0);
}

static bool
has_instances(const struct jget *rev)
{
	struct jget array;
	struct err e;
	size_t n = 0;

	return jget_array(rev, "instances", JGET_MAY, &array, &n, &e) == 0 && n > 0;
}

static void
put_share_row(const struct jget *activator, void *arg)
{
	struct out_table *t = arg;
	char *id = session_text(activator, "id"), *state = session_text(activator, "state");
	double share = session_number(activator, "share", -1);
	double held = session_number(activator, "held", -1);

	out_cell(t, OUT_PLAIN, "%s", id);
	out_cell(t, strcmp(state, "connected") == 0 ? OUT_PLAIN : OUT_YELLOW, "%s", state);
	if (share < 0)
		out_cell(t, OUT_PLAIN, "all");
	else
		out_cell(t, OUT_PLAIN, "%.0f", share);
	if (held < 0)
		out_cell(t, OUT_YELLOW, "unknown");
	else
		out_cell(t, OUT_PLAIN, "%.0f", held);
	out_cell(t, OUT_PLAIN, "%lu", whole(activator, "recalled"));
	out_cell(t, OUT_PLAIN, "%lu", whole(activator, "wants"));
	free(id);
	free(state);
}

/* Which activator holds which part of the slots, where there are several. */
static void
put_shares(const struct jget *rev)
{
	static const char *const columns[] = {"ACTIVATOR", "STATE",	">SHARE",
					      ">HELD",	   ">RECALLED", ">WANTS"};
	struct jget shares, array;
	struct out_table *t;
	struct err e;
	size_t n = 0;

	if (jget_object(rev, "shares", JGET_MAY, &shares, &e) < 0 || shares.json == NULL ||
	    jget_array(&shares, "activators", JGET_MAY, &array, &n, &e) < 0 || n < 2)
		return;
	t = out_table_new(columns, ARRAY_LEN(columns));
	each(&shares, "activators", put_share_row, t);
	out_table_end(&t, 2, 0);
}

static void
put_limits(const struct jget *rev)
{
	unsigned long most = whole(rev, "max_scale"), cc = whole(rev, "container_concurrency");

	out_printf("  scale       %lu to ", whole(rev, "min_scale"));
	if (most > 0)
		out_printf("%lu", most);
	else
		out_text("any number");
	if (cc > 0)
		out_printf(", at most %lu requests in flight at an instance", cc);
	out_text("\n");
}

static void
put_member(const struct jget *rev, const char *label, const char *key, enum out_colour colour)
{
	char *text = session_text(rev, key);

	if (text != NULL && text[0] != '\0') {
		out_printf("  %-12s", label);
		out_coloured(colour, "%s", text);
		out_text("\n");
	}
	free(text);
}

/* --- a page of a rollout --- */

static const char *
ms_text(double ms, char out[NUMBER_TEXT])
{
	return ms < 0	     ? "-"
	       : ms < 120000 ? known_text(ms / 1000, "s", out)
			     : seconds_text(ms / 1000, out);
}
#define MS(ms) ms_text(ms, (char[NUMBER_TEXT]){0})

/* "123 requests, 4 errors, p50 12.0ms, p99 80.1ms" */
static void
put_side(const struct jget *rollout, const char *label, const char *key)
{
	struct jget side;
	struct err e;

	if (jget_object(rollout, key, JGET_MAY, &side, &e) < 0 || side.json == NULL)
		return;
	out_printf("  %-12s%lu requests, %lu errors", label, whole(&side, "requests"),
		   whole(&side, "errors"));
	if (whole(&side, "requests") > 0)
		out_printf(", p50 %s, p99 %s", KNOWN(session_number(&side, "p50_ms", -1), "ms"),
			   KNOWN(session_number(&side, "p99_ms", -1), "ms"));
	out_text("\n");
}

static void
put_step(const struct jget *rollout)
{
	unsigned long step = whole(rollout, "step"), next = whole(rollout, "next_percent");
	char *steps = session_list(rollout, "abort_if", ", ");
	struct jget array;
	struct err e;
	size_t n = 0;

	if (jget_array(rollout, "steps", JGET_MAY, &array, &n, &e) < 0)
		n = 0;
	out_printf("  %-12s%lu of %zu, %s of %s", "step", step, n,
		   MS(session_number(rollout, "step_spent_ms", -1)),
		   MS(session_number(rollout, "step_ms", -1)));
	if (next > 0)
		out_printf(", then %lu%%", next);
	out_text("\n");
	if (steps[0] != '\0')
		out_printf("  %-12s%s\n", "abort if", steps);
	free(steps);
}

static enum out_colour
colour_of_rollout(const char *state)
{
	if (strcmp(state, "done") == 0)
		return OUT_GREEN;
	if (strcmp(state, "aborted") == 0)
		return OUT_RED;
	return strcmp(state, "running") == 0 ? OUT_PLAIN : OUT_YELLOW;
}

static void
put_rollout(const struct jget *rollout)
{
	char *to = session_text(rollout, "to"), *state = session_text(rollout, "state");
	const char *shown = state == NULL ? "unknown" : state;
	bool is_held = session_bool(rollout, "held");

	out_coloured(OUT_BOLD, "rollout     ");
	out_printf("%s %lu%%, ", to == NULL ? "unknown" : to, whole(rollout, "percent"));
	out_coloured(colour_of_rollout(shown), "%s", shown);
	out_text("\n");
	put_member(rollout, "why", "reason", OUT_RED);
	if (strcmp(shown, "running") == 0 || strcmp(shown, "paused") == 0)
		put_step(rollout);
	put_member(rollout, is_held ? "held" : "waits for", "waits_for",
		   is_held ? OUT_YELLOW : OUT_PLAIN);
	put_side(rollout, "new", "new");
	put_side(rollout, "old", "old");
	free(to);
	free(state);
}

static void
put_rollout_of(const struct jget *service)
{
	struct jget rollout;
	struct err e;

	if (jget_object(service, "rollout", JGET_MAY, &rollout, &e) == 0 && rollout.json != NULL)
		put_rollout(&rollout);
}

static void
put_revision_page(const struct jget *rev, void *arg)
{
	const struct show *show = arg;
	char *name = session_text(rev, "name"), *state = session_text(rev, "state");
	char *tags = tags_of(rev, ", "), *runs = runs_of(rev);

	if (is_shown(show, rev)) {
		out_text("\n");
		out_coloured(OUT_BOLD, "%s", name);
		out_printf("  %lu%%%s%s  ", whole(rev, "percent"),
			   tags[0] == '\0' ? "" : ", tags: ", tags);
		out_coloured(colour_of(state == NULL ? "" : state), "%s",
			     state == NULL ? "unknown" : state);
		out_printf("  %lu of %lu ready, %lu parked, %lu in flight\n", whole(rev, "ready"),
			   whole(rev, "wanted"), whole(rev, "parked"), whole(rev, "in_flight"));
		out_printf("  runs        %s\n", runs);
		put_limits(rev);
		put_member(rev, "why", "why", OUT_PLAIN);
		put_member(rev, "failure", "failure", OUT_RED);
		put_member(rev, "rejected", "rejected", OUT_RED);
		put_member(rev, "held back", "held_back", OUT_YELLOW);
		put_member(rev, "held by", "held_by", OUT_PLAIN);
		if (has_instances(rev))
			put_instances(rev);
		put_shares(rev);
	}
	free(name);
	free(state);
	free(tags);
	free(runs);
}

static void
put_service_page(struct show *show, const struct jget *service)
{
	char *name = session_text(service, "name"), *hosts = session_list(service, "hosts", ", ");
	char *local_hosts = session_list(service, "local_hosts", ", ");
	char *paths = session_list(service, "paths", ", "), *file = session_text(service, "file");
	char *owner = session_text(service, "owner");
	char *source = session_text(service, "source");
	char *changed_by = session_text(service, "changed_by");
	char *from = source != NULL && strcmp(source, "store") == 0
			     ? xasprintf(
				       "activatorctl, generation %lu: deploy and traffic change it",
				       whole(service, "generation"))
		     : changed_by != NULL ? xstrdup(changed_by)
		     : file == NULL
			     ? xstrdup("annotations of the workload: change them there")
			     : xasprintf("%s:%lu: change it there, then: activatorctl reload", file,
					 whole(service, "line"));

	put_row("service", name);
	put_row("hosts", hosts);
	put_row("local hosts", local_hosts);
	put_row("paths", paths);
	put_row("owner", owner);
	put_row("from", from);
	put_rollout_of(service);
	each(service, "revisions", put_revision_page, show);
	free(name);
	free(hosts);
	free(local_hosts);
	free(paths);
	free(file);
	free(owner);
	free(source);
	free(changed_by);
	free(from);
}

/* --- pages of the autoscaler --- */

static void
put_activator_row(const struct jget *activator, void *arg)
{
	char *version = session_text(activator, "version"), *id = session_text(activator, "id");

	if (arg != NULL)
		out_printf("activator     %s  (%s)\n", version == NULL ? "unknown" : version, id);
	else
		out_printf("activator   %s, version %s, connected for %s\n", id,
			   version == NULL ? "unknown" : version,
			   SECONDS(session_number(activator, "connected_s", -1)));
	free(version);
	free(id);
}

static void
put_status(const struct jget *s)
{
	char *version = session_text(s, "version"), *file = session_text(s, "file");
	char *driver = session_text(s, "driver");

	out_printf("autoscaler  %s, process %lu, up for %s, driver %s%s\n", version,
		   whole(s, "pid"), SECONDS(session_number(s, "uptime_s", -1)), driver,
		   session_bool(s, "stopping") ? ", stopping" : "");
	out_printf("conf file   %s, %lu reloads, %lu refused\n", file, whole(s, "reloads"),
		   whole(s, "reload_failures"));
	out_printf("services    %lu with %lu revisions", whole(s, "services"),
		   whole(s, "revisions"));
	if (whole(s, "failing") > 0)
		out_coloured(OUT_RED, ", %lu failing", whole(s, "failing"));
	out_printf("\ninstances   %lu ready, %lu starting\n", whole(s, "ready"),
		   whole(s, "starting"));
	out_printf("requests    %lu in flight, %lu parked\n", whole(s, "in_flight"),
		   whole(s, "parked"));
	each(s, "activators", put_activator_row, NULL);
	free(version);
	free(file);
	free(driver);
}

static void
put_versions(const struct jget *s)
{
	char *version = session_text(s, "version"), yes = 0;

	out_printf("autoscaler    %s\n", version);
	each(s, "activators", put_activator_row, &yes);
	free(version);
}

static void
put_result(const struct jget *result)
{
	char *program = session_text(result, "program"), *text = session_text(result, "text");

	if (session_bool(result, "done"))
		out_note("%s: %s", program, text);
	else
		out_error("%s: %s", program, text);
	free(program);
	free(text);
}

static void
put_why(const struct show *show, const struct jget *why)
{
	char *text = session_text(why, "text"), *name = session_text(why, "revision");
	const char *slash = name == NULL ? NULL : strchr(name, '/');

	if (show->revision == NULL || slash == NULL || strcmp(slash + 1, show->revision) == 0)
		out_printf("%s%s", show->lines > 1 ? "\n" : "", text == NULL ? "" : text);
	free(text);
	free(name);
}

static void
put_export(struct show *show, const struct jget *service)
{
	char *text = session_text(service, "text"), *name = session_text(service, "name");

	if (show->format == CTL_NAME)
		strbuf_addf(&show->names, "%s\n", name);
	else
		out_printf("%s%s", show->lines > 1 ? "\n" : "", text == NULL ? "" : text);
	free(text);
	free(name);
}

/* --- the whole --- */

static const char *const service_columns[] = {"NAME",	    "STATE",   "INSTANCES", ">PARKED",
					      ">IN FLIGHT", "TRAFFIC", "HOSTS"};
static const char *const service_columns_wide[] = {"NAME",	 "STATE",  "INSTANCES", ">PARKED",
						   ">IN FLIGHT", ">REQ/S", ">LATENCY",	"SOURCE",
						   "TRAFFIC",	 "HOSTS"};
static const char *const revision_columns[] = {"REVISION",  ">PERCENT", "TAGS",	      "STATE",
					       "INSTANCES", ">PARKED",	">IN FLIGHT", "RUNS"};
static const char *const revision_columns_wide[] = {"REVISION",	 ">PERCENT", "TAGS",	   "STATE",
						    "INSTANCES", ">PARKED",  ">IN FLIGHT", ">REQ/S",
						    ">LATENCY",	 "WHY",	     "RUNS"};
static const char *const load_columns[] = {"REVISION",	 "STATE",  "INSTANCES", ">PARKED",
					   ">IN FLIGHT", ">REQ/S", ">LATENCY",	"WHY"};

#define TABLE(columns) out_table_new(columns, ARRAY_LEN(columns))

static struct out_table *
table_of(enum show_kind kind, enum ctl_format format)
{
	if (kind == SHOW_SERVICES)
		return format == CTL_WIDE ? TABLE(service_columns_wide) : TABLE(service_columns);
	if (kind == SHOW_REVISIONS)
		return format == CTL_WIDE ? TABLE(revision_columns_wide) : TABLE(revision_columns);
	return kind == SHOW_LOAD ? TABLE(load_columns) : NULL;
}

struct show *
show_new(enum show_kind kind, enum ctl_format format, const char *revision, size_t most)
{
	struct show *show = xcalloc(1, sizeof *show);

	*show = (struct show){.kind = kind, .format = format, .revision = revision, .most = most};
	strbuf_init(&show->json, 0);
	strbuf_init(&show->names, 0);
	if (format == CTL_TABLE || format == CTL_WIDE)
		show->table = table_of(kind, format);
	return show;
}

static void
add_name(struct show *show, const struct jget *root)
{
	char *name = session_text(root, "name");

	if (name != NULL)
		strbuf_addf(&show->names, "%s\n", name);
	free(name);
}

static void
show_service(struct show *show, const struct jget *root)
{
	switch (show->kind) {
	case SHOW_SERVICES:
		if (show->format == CTL_NAME)
			add_name(show, root);
		else
			show_service_row(show, root);
		break;
	case SHOW_SERVICE:
		if (show->format == CTL_NAME)
			add_name(show, root);
		else
			put_service_page(show, root);
		break;
	default:
		each(root, "revisions", on_revision, show);
	}
}

void
show_line(const struct session_line *line, void *arg)
{
	struct show *show = arg;

	show->lines++;
	if (show->format == CTL_JSON)
		strbuf_addf(&show->json, "%s%s", show->json.len > 0 ? "," : "", line->text);
	else if (strcmp(line->type, "service") == 0)
		show_service(show, line->root);
	else if (strcmp(line->type, "export") == 0)
		put_export(show, line->root);
	else if (strcmp(line->type, "why") == 0)
		put_why(show, line->root);
	else if (strcmp(line->type, "status") == 0 && show->kind == SHOW_VERSION)
		put_versions(line->root);
	else if (strcmp(line->type, "status") == 0)
		put_status(line->root);
	else if (strcmp(line->type, "rollout") == 0)
		put_rollout(line->root);
	else if (strcmp(line->type, "result") == 0)
		put_result(line->root);
}

/* How it ended, with what each program has done. */
static void
put_json_end(const struct show *show, const struct session_end *end)
{
	struct strbuf text;
	struct jput j;

	strbuf_init(&text, 0);
	jput_init(&j, &text);
	jput_object(&j, NULL);
	jput_bool(&j, "done", end->status == CTL_EXIT_OK);
	jput_string(&j, "message", end->message);
	jput_string_if(&j, "next", end->next);
	jput_object_end(&j);
	strbuf_consume(&text, 1);
	out_printf("{\"results\":[%s],%s\n", strbuf_str(&show->json), strbuf_str(&text));
	strbuf_fini(&text);
}

static void
put_json(const struct show *show, const struct session_end *end)
{
	const char *json = strbuf_str(&show->json);

	bool is_ok = end->status == CTL_EXIT_OK;

	if (show->kind == SHOW_RESULTS || (show->kind == SHOW_STEP && !is_ok))
		put_json_end(show, end);
	else if (!is_ok || show->kind == SHOW_STEP)
		return;
	else if (show->kind == SHOW_SERVICES || show->kind == SHOW_LOAD ||
		 show->kind == SHOW_EXPORT)
		out_printf("{\"services\":[%s]}\n", json);
	else if (show->kind == SHOW_WHY)
		out_printf("{\"revisions\":[%s]}\n", json);
	else
		out_printf("%s\n", json);
}

void
show_end(struct show **sp, const struct session_end *end)
{
	struct show *show = *sp;

	*sp = NULL;
	if (show->format == CTL_JSON)
		put_json(show, end);
	if (show->table != NULL && end->status == CTL_EXIT_OK)
		out_table_end(&show->table, 0, show->most);
	else if (show->table != NULL)
		out_table_drop(&show->table);
	out_text(strbuf_str(&show->names));
	strbuf_fini(&show->json);
	strbuf_fini(&show->names);
	free(show);
}
