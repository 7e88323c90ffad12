#include "autoscaler/ctl_logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_server.h"
#include "autoscaler/ctl_target.h"
#include "autoscaler/facts.h"
#include "autoscaler/services.h"
#include "autoscaler/versions/store.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/list.h"
#include "common/settings.h"
#include "common/text.h"

#define QUEUE_MAX ((size_t)4 << 20) /* bytes towards the peer; beyond that lines are lost */
#define SINCE_S_MAX (366 * 86400)

/* A request under way. */
struct log_job {
	struct list_node node;
	struct ctl_request *request;
	uint64_t token;		   /* of its read_output() */
	bool is_reading;	   /* what is kept, or waits until it can */
	struct str_list revisions; /* that it reads … */
	uint64_t epoch, after; /* … behind this line, which was the last one that was sent … */
	int64_t since_ms;      /* … and not before this time */
	bool is_following;     /* what comes after that, too */
	char *name;	       /* of the revision; of a service: "shop/" */
	uint64_t lost;	       /* lines, since the last one that was sent */
};

struct ctl_logs {
	struct list jobs; /* struct log_job */
	uint64_t tokens;
};

struct ctl_logs *
ctl_logs_new(void)
{
	struct ctl_logs *l = xcalloc(1, sizeof *l);

	list_init(&l->jobs);
	return l;
}

void
ctl_logs_free(struct ctl_logs **lp)
{
	struct ctl_logs *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	CHECK(list_empty(&l->jobs));
	free(l);
}

static void
job_free(struct ctl_logs *l, struct log_job *job)
{
	list_remove(&l->jobs, &job->node);
	str_list_fini(&job->revisions);
	free(job->name);
	free(job);
}

/* --- lines --- */

static bool
is_asked_for(const struct log_job *job, const char *revision)
{
	size_t n = strlen(job->name);

	return job->name[n - 1] == '/' ? strncmp(revision, job->name, n) == 0
				       : strcmp(revision, job->name) == 0;
}

static void
put_lost(struct log_job *job, const char *id, uint64_t lost)
{
	struct jput *j = ctl_line(job->request, "log");

	jput_string_if(j, "instance", id);
	jput_u64(j, "lost", lost);
	ctl_line_end(job->request);
}

static void
put_line(struct log_job *job, const struct driver_output *o)
{
	struct jput *j;
	char cursor[48];

	if (ctl_queued(job->request) > QUEUE_MAX) {
		job->lost += o->text == NULL ? o->lost : 1;
		return;
	}
	if (job->lost > 0)
		put_lost(job, NULL, job->lost);
	job->lost = 0;
	if (o->text == NULL) {
		put_lost(job, o->id, o->lost);
		return;
	}
	j = ctl_line(job->request, "log");
	jput_string(j, "revision", o->revision);
	jput_string(j, "instance", o->id);
	if (o->wall_ms > 0)
		jput_i64(j, "time_ms", o->wall_ms);
	if (o->seq > 0) {
		job->epoch = o->epoch;
		job->after = o->seq;
		snprintf(cursor, sizeof cursor, "%" PRIu64 ".%" PRIu64, o->epoch, o->seq);
		jput_string(j, "cursor", cursor);
	}
	jput_string(j, "text", o->text);
	ctl_line_end(job->request);
}

void
ctl_logs_output(struct ctl_logs *l, const struct driver_output *o)
{
	struct list_node *node, *tmp;

	if (o->revision == NULL)
		return;
	LIST_FOREACH(&l->jobs, node, tmp) {
		struct log_job *job = container_of(node, struct log_job, node);
		bool is_new = o->token == 0 && !job->is_reading && is_asked_for(job, o->revision);

		if (is_new || (job->is_reading && o->token == job->token))
			put_line(job, o);
	}
}

/* What was kept is sent. */
static void
end_reading(struct ctl_logs *l, struct log_job *job)
{
	struct ctl_request *r = job->request;

	job->is_reading = false;
	if (job->lost > 0)
		put_lost(job, NULL, job->lost);
	job->lost = 0;
	if (job->is_following) {
		(void)ctl_line(r, "live");
		ctl_line_end(r);
	} else {
		job_free(l, job);
		ctl_done(r, CTL_OK, NULL, "%s", "");
	}
}

/* Read what is kept; later, if the driver cannot now. */
static void
read_kept(struct ctl_logs *l, struct driver *d, struct log_job *job)
{
	struct ctl_request *r = job->request;
	struct err e = {0};

	job->token = ++l->tokens;
	job->is_reading = true;
	if (d->class->read_output(d, &job->revisions, job->token, job->epoch, job->after,
				  job->since_ms, &e) == 0 ||
	    e.code == EAGAIN)
		return;
	if (job->is_following) {
		end_reading(l, job); /* what comes from now on can be had */
		return;
	}
	job_free(l, job);
	ctl_done(r, CTL_FAILED, NULL, "%s", e.text);
}

void
ctl_logs_end(struct ctl_logs *l, struct driver *d, uint64_t token)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->jobs, node, tmp) {
		struct log_job *job = container_of(node, struct log_job, node);

		if (token != 0 && job->is_reading && token == job->token)
			end_reading(l, job);
		else if (token == 0 && d != NULL)
			read_kept(l, d, job);
	}
}

/* --- requests --- */

/* Those of the store that have neither traffic nor a tag have written, too. */
static void
list_all(const struct facts *f, const struct ctl_target *t, struct str_list *out)
{
	const struct service_conf *service = t->service;
	const struct stored_service *stored = f->store == NULL
						      ? NULL
						      : version_store_find(f->store, service->name);
	char **names = xcalloc(1 + service->revisions_n + (stored == NULL ? 0 : stored->n),
			       sizeof *names);
	size_t n = 0, i;

	if (t->revision != NULL)
		names[n++] = xasprintf("%s/%s", service->name, t->revision);
	for (i = 0; t->revision == NULL && i < service->revisions_n; i++)
		names[n++] = xstrdup(service->revisions[i].full_name);
	for (i = 0; t->revision == NULL && stored != NULL && i < stored->n; i++)
		if (!stored_revision_is_active(&stored->v[i]))
			names[n++] = xasprintf("%s/%s", service->name, stored->v[i].name);
	str_list_set(out, names, n);
	while (n > 0)
		free(names[--n]);
	free(names);
}

/* Where the output of instances is that this driver does not start.  True: the request is done. */
static bool
is_elsewhere(struct ctl_request *r, const struct facts *f, const struct ctl_target *t)
{
	const struct revision_conf *rev = &t->service->revisions[0];
	const char *deployment, *slash;
	char *next;
	size_t i;

	for (i = 0; t->revision != NULL && i < t->service->revisions_n; i++)
		if (strcmp(t->service->revisions[i].name, t->revision) == 0)
			rev = &t->service->revisions[i];
	deployment = rev->launch.deployment;
	if (rev->launch.addresses.n > 0) {
		ctl_done(r, CTL_FAILED, "look where they run",
			 "the instances of \"%s\" are started by something else", rev->full_name);
		return true;
	}
	if (f->platform != NULL && f->platform->class->read_output != NULL)
		return false;
	slash = deployment == NULL ? NULL : strchr(deployment, '/');
	next = slash == NULL ? xstrdup("kubectl logs shows it")
			     : xasprintf("kubectl -n %.*s logs deployment/%s --all-containers%s",
					 (int)(slash - deployment), deployment, slash + 1,
					 ctl_option(r, "follow", 0) == NULL ? "" : " -f");
	ctl_done(r, CTL_FAILED, next, "the cluster keeps the output of pods");
	free(next);
	return true;
}

/* Read digits up to INT64_MAX, as the keeper has no larger numbers.  Returns what is behind them;
 * NULL: there is no such number. */
static const char *
read_number(const char *s, uint64_t *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return NULL;
	errno = 0;
	*out = (uint64_t)strtoll(s, &end, 10);
	return errno == 0 ? end : NULL;
}

static bool
read_cursor(const char *s, uint64_t *epoch, uint64_t *after)
{
	const char *at = read_number(s, epoch);

	at = at == NULL || *at != '.' ? NULL : read_number(at + 1, after);
	return at != NULL && *at == '\0';
}

/* "EPOCH.SEQ", and how long ago.  -1: the request is done. */
static int
read_options(struct ctl_request *r, uint64_t *epoch, uint64_t *after, int64_t *since_ms)
{
	const char *cursor = ctl_option(r, "after", 0), *since = ctl_option(r, "since_s", 0);
	uint32_t s = 0;

	if (cursor != NULL && !read_cursor(cursor, epoch, after)) {
		ctl_done(r, CTL_USAGE, NULL, "after: expected a cursor, got \"%s\"", cursor);
		return -1;
	}
	if (since != NULL && !text_number(since, strlen(since), SINCE_S_MAX, &s)) {
		ctl_done(r, CTL_USAGE, NULL, "since_s: expected seconds, got \"%s\"", since);
		return -1;
	}
	*since_ms = since == NULL ? 0 : clk_wall() / CLK_MS - (int64_t)s * 1000;
	return 0;
}

void
ctl_logs_begin(struct ctl_logs *l, struct ctl_request *r, const struct facts *f)
{
	uint64_t epoch = 0, after = 0;
	int64_t since_ms = 0;
	struct ctl_target t;
	struct log_job *job;

	if (ctl_target_find_any(r, f, &t) < 0 || is_elsewhere(r, f, &t) ||
	    read_options(r, &epoch, &after, &since_ms) < 0)
		return;
	job = xcalloc(1, sizeof *job);
	*job = (struct log_job){.request = r,
				.epoch = epoch,
				.after = after,
				.since_ms = MAX(since_ms, 0),
				.is_following = ctl_option(r, "follow", 0) != NULL};
	list_all(f, &t, &job->revisions);
	job->name = xasprintf("%s/%s", t.service->name, t.revision == NULL ? "" : t.revision);
	list_push(&l->jobs, &job->node);
	read_kept(l, f->platform, job);
}

bool
ctl_logs_gone(struct ctl_logs *l, const struct ctl_request *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->jobs, node, tmp) {
		struct log_job *job = container_of(node, struct log_job, node);

		if (job->request == r) {
			job_free(l, job);
			return true;
		}
	}
	return false;
}
