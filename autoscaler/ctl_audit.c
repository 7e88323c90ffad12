#include "autoscaler/ctl_audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/auditing.h"
#include "autoscaler/ctl_server.h"
#include "autoscaler/facts.h"
#include "autoscaler/services.h"
#include "common/audit_lines.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/list.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/task.h"
#include "common/text.h"

#define LINES_MAX ((size_t)16 << 20) /* bytes of an answer */
#define SINCE_S_MAX (100 * 366 * 86400U)
#define JOBS_MAX 32	      /* those whose request has gone included */
#define STOP_MOST (1 * CLK_S) /* the threads only read */

/* A request under way. */
struct audit_job {
	struct list_node node;
	struct ctl_audits *all;
	struct ctl_request *request; /* NULL: it has gone */
	struct task *task;
	char *name, *files[2];
	int64_t since_ns;

	/* the thread's, until it has ended */
	struct strbuf lines;
	struct audit_found found;
	struct err e;
	int rc;
};

struct ctl_audits {
	struct loop *loop;
	struct list jobs;
};

static void
job_free(struct audit_job *job)
{
	strbuf_fini(&job->lines);
	free(job->name);
	free(job->files[0]);
	free(job->files[1]);
	free(job);
}

static void
job_end(struct audit_job *job)
{
	list_remove(&job->all->jobs, &job->node);
	job_free(job);
}

struct ctl_audits *
ctl_audits_new(struct loop *loop)
{
	struct ctl_audits *all = xcalloc(1, sizeof *all);

	all->loop = loop;
	list_init(&all->jobs);
	return all;
}

void
ctl_audits_free(struct ctl_audits **ap)
{
	struct ctl_audits *all = *ap;
	int64_t until = clk_now() + STOP_MOST;
	struct list_node *node, *tmp;

	*ap = NULL;
	if (all == NULL)
		return;
	LIST_FOREACH(&all->jobs, node, tmp) {
		struct audit_job *job = container_of(node, struct audit_job, node);

		CHECK(job->request == NULL);
		list_remove(&all->jobs, node);
		if (task_stop(&job->task, until))
			job_free(job);
		/* else the thread still uses it */
	}
	free(all);
}

/* --- the thread --- */

static void
find(void *arg, const _Atomic bool *cancel)
{
	struct audit_job *job = arg;
	const struct audit_search search = {.paths = {job->files[0], job->files[1]},
					    .name = job->name,
					    .since_ns = job->since_ns,
					    .bytes_max = LINES_MAX};

	job->rc = audit_lines_find(&search, cancel, &job->lines, &job->found, &job->e);
}

/* --- the loop --- */

/* Each line is an object: it gets a type, and is sent. */
static void
send_lines(struct ctl_request *r, const struct strbuf *lines)
{
	const char *at = strbuf_str(lines), *stop = at + lines->len, *eol;
	struct strbuf line;

	strbuf_init(&line, 0);
	for (; at < stop && (eol = memchr(at, '\n', (size_t)(stop - at))) != NULL; at = eol + 1) {
		strbuf_clear(&line);
		strbuf_adds(&line, "{\"type\":\"audit\",");
		strbuf_add(&line, at + 1, (size_t)(eol - at) - 1);
		ctl_send_line(r, line.data, line.len);
	}
	strbuf_fini(&line);
}

static void
put_end(struct ctl_request *r, const struct audit_found *found)
{
	struct jput *j = ctl_line(r, "audit_end");

	jput_u64(j, "lines", found->lines);
	jput_u64(j, "left_out", found->left_out);
	jput_u64(j, "broken", found->broken);
	ctl_line_end(r);
}

static void
on_found(void *arg)
{
	struct audit_job *job = arg;
	struct ctl_request *r = job->request;
	struct err e = job->e;
	int rc = job->rc;

	send_lines(r, &job->lines);
	put_end(r, &job->found);
	job_end(job);
	if (rc < 0)
		ctl_done(r, CTL_FAILED, NULL, "%s", e.text);
	else
		ctl_done(r, CTL_OK, NULL, "%s", "");
}

static void
on_cancelled(void *arg)
{
	job_end(arg);
}

static const struct task_ops ops = {.run = find, .done = on_found, .cancelled = on_cancelled};

/* The files of both programs; the activators' once, if they write to the same one. */
static void
name_files(const struct settings *s, char *files[2])
{
	const char *other = s->activator.audit_file;

	files[0] = auditing_file(s);
	if (other != NULL && other[0] != '\0' && !text_equal(files[0], other))
		files[1] = xstrdup(other);
}

void
ctl_audit_begin(struct ctl_audits *all, struct ctl_request *r, const struct facts *f)
{
	const char *since = ctl_option(r, "since_s", 0);
	struct audit_job *job;
	struct err e = {0};
	uint32_t s = 0;

	if (since != NULL && !text_number(since, strlen(since), SINCE_S_MAX, &s)) {
		ctl_done(r, CTL_USAGE, NULL, "since_s: expected seconds, got \"%s\"", since);
		return;
	}
	if (all->jobs.n >= JOBS_MAX) {
		ctl_done(r, CTL_FAILED, "try again in a moment",
			 "%d requests for the audit are under way: the disk is slow", JOBS_MAX);
		return;
	}
	job = xcalloc(1, sizeof *job);
	job->all = all;
	job->request = r;
	job->name = text_copy(ctl_asked(r)->name);
	job->since_ns = since == NULL ? 0 : MAX(clk_wall() - (int64_t)s * CLK_S, 0);
	strbuf_init(&job->lines, 0);
	list_push(&all->jobs, &job->node);
	name_files(services_settings(f->services), job->files);
	if (job->files[0] == NULL && job->files[1] == NULL) {
		job_end(job);
		ctl_done(r, CTL_FAILED, "set audit_file in the section autoscaler",
			 "no audit is kept");
		return;
	}
	job->task = task_start(all->loop, &ops, job, &e);
	if (job->task != NULL)
		return;
	job_end(job);
	ctl_done(r, CTL_FAILED, NULL, "%s", e.text);
}

bool
ctl_audit_gone(struct ctl_audits *all, const struct ctl_request *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&all->jobs, node, tmp) {
		struct audit_job *job = container_of(node, struct audit_job, node);

		if (job->request == r) {
			job->request = NULL;
			task_cancel(job->task);
			return true;
		}
	}
	return false;
}
