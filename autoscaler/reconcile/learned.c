#include "autoscaler/reconcile/learned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/brain/gradient.h"
#include "autoscaler/brain/idleness.h"
#include "autoscaler/brain/surplus.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/log.h"
#include "common/strbuf.h"

#define PLACE_MOST 1e12 /* of a value in a list of pairs */
#define FILE_NAME "learned.json"
#define FILE_MAX ((size_t)256 << 20)
#define SAVE_AT_ONCE 8 /* revisions: up to a millisecond of work */
#define KEEP_MS (INT64_C(7) * 86400 * 1000)
#define GAP_MS 60000 /* after a longer absence it is unknown whether a revision was idle */
#define LATENCY_MAX_MS 1e9
#define KNEE_AGE_MAX_MS (INT64_C(365) * 86400 * 1000)

/* What the file has of one revision. */
struct record {
	char *line; /* as it was read */
	int64_t saved_ms;
	struct idleness_data idle;
	struct gradient_data target;
	double latency_s, start_s; /* < 0: unknown */
	float starts[STARTS_NUMBERS];
	float *surplus; /* SURPLUS_NUMBERS; NULL: none */
	bool was_initial;
};

/* A file that is being written, step by step. */
struct saving {
	bool is_on;
	int fd;
	char **names; /* revisions to be written, … */
	size_t n, at; /* … from `at` on */
	size_t bytes; /* written */
};

struct learned {
	char *path, *path_new;
	struct hmap records; /* of revisions that have not appeared: name → struct record */
	struct saving saving;
	bool is_failure_logged;
};

/* --- reading --- */

static void
record_free(struct record **rp)
{
	free((*rp)->line);
	free((*rp)->surplus);
	free(*rp);
	*rp = NULL;
}

/* A list of pairs of numbers: "12:0.5 3:7".  At most `most` of them are put into v. */
static int
read_pairs(const char *text, double (*v)[2], size_t most, size_t *n)
{
	for (*n = 0; *text != '\0'; ++*n) {
		char *end;
		double first = strtod(text, &end), second;

		if (end == text || *end != ':' || *n == most)
			return -1;
		text = end + 1;
		second = strtod(text, &end);
		if (end == text || (*end != ' ' && *end != '\0') ||
		    !(first >= 0 && first <= UINT32_MAX) || !(second >= 0 && second <= PLACE_MOST))
			return -1;
		v[*n][0] = first;
		v[*n][1] = second;
		text = end + (*end == ' ');
	}
	return 0;
}

/* Idle times, each by how many there have been since, the oldest first: "3:298.5 1:300.2". */
static int
read_samples(const char *text, struct idleness_data *d)
{
	double v[IDLENESS_SAMPLES][2];
	size_t i;

	if (read_pairs(text, v, ARRAY_LEN(v), &d->n) < 0)
		return -1;
	for (i = 0; i < d->n; i++) {
		if (v[i][0] >= d->number || (i > 0 && v[i][0] >= v[i - 1][0]))
			return -1;
		d->v[i] = (struct idleness_sample){.idle_s = (float)v[i][1],
						   .number = d->number - (uint32_t)v[i][0]};
	}
	return 0;
}

/* A number for each of n things, by its place: "0:12.5 4:1". */
static int
read_places(const char *text, float *out, size_t most)
{
	double v[SURPLUS_NUMBERS][2];
	size_t i, n;

	CHECK(most <= ARRAY_LEN(v));
	if (read_pairs(text, v, most, &n) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		if (v[i][0] >= (double)most)
			return -1;
		out[(size_t)v[i][0]] = (float)v[i][1];
	}
	return 0;
}

static int
read_idle(const struct jget *j, struct idleness_data *d, struct err *e)
{
	char *times = NULL, *strata = NULL, *costs = NULL;
	int64_t idle_ms = -1;
	double followers = 0;
	int rc = -1;

	if (jget_u32(j, "idle_count", JGET_MAY, &d->number, e) == 0 &&
	    jget_string(j, "idle_times", JGET_MAY, &times, e) == 0 &&
	    jget_string(j, "idle_strata", JGET_MAY, &strata, e) == 0 &&
	    jget_string(j, "idle_costs", JGET_MAY, &costs, e) == 0 &&
	    jget_double(j, "idle_followers", JGET_MAY, 0, 1e9, &followers, e) == 0 &&
	    jget_i64(j, "idle_ms", JGET_MAY, -1, KNEE_AGE_MAX_MS, &idle_ms, e) == 0)
		rc = 0;
	if (rc == 0 && times != NULL && read_samples(times, d) < 0)
		rc = err_set(e, 0, "$.idle_times: expected \"AGE:SECONDS …\", the oldest first");
	if (rc == 0 && strata != NULL && read_places(strata, d->strata, IDLENESS_STRATA) < 0)
		rc = err_set(e, 0, "$.idle_strata: expected \"STRATUM:COUNT …\"");
	if (rc == 0 && costs != NULL && read_places(costs, d->costs, IDLENESS_EXPERTS) < 0)
		rc = err_set(e, 0, "$.idle_costs: expected \"EXPERT:COST …\"");
	if (d->n == 0)
		d->number = 0;
	d->followers = (float)followers;
	d->idle_ns = idle_ms < 0 ? -1 : idle_ms * CLK_MS;
	free(times);
	free(strata);
	free(costs);
	return rc;
}

static int
get_ms(const struct jget *j, const char *key, double *s, struct err *e)
{
	double ms = *s < 0 ? -1 : *s * 1000;

	if (jget_double(j, key, JGET_MAY, -1, LATENCY_MAX_MS, &ms, e) < 0)
		return -1;
	*s = ms < 0 ? -1 : ms / 1000;
	return 0;
}

static int
read_record(const struct jget *j, struct record *r, struct err *e)
{
	char *starts = NULL, *surplus = NULL;
	int64_t age_ms = 0;
	int rc = -1;

	r->latency_s = r->start_s = -1;
	if (jget_i64(j, "saved_ms", JGET_MUST, 0, INT64_MAX, &r->saved_ms, e) == 0 &&
	    read_idle(j, &r->idle, e) == 0 &&
	    jget_double(j, "target", JGET_MAY, 0, 1e9, &r->target.target, e) == 0 &&
	    jget_double(j, "knee", JGET_MAY, 0, 1e9, &r->target.knee, e) == 0 &&
	    jget_i64(j, "knee_age_ms", JGET_MAY, 0, KNEE_AGE_MAX_MS, &age_ms, e) == 0 &&
	    get_ms(j, "unloaded_ms", &r->target.unloaded_s, e) == 0 &&
	    get_ms(j, "latency_ms", &r->latency_s, e) == 0 &&
	    get_ms(j, "start_ms", &r->start_s, e) == 0 &&
	    jget_string(j, "starts", JGET_MAY, &starts, e) == 0 &&
	    jget_string(j, "surplus", JGET_MAY, &surplus, e) == 0 &&
	    jget_bool(j, "was_initial", JGET_MAY, &r->was_initial, e) == 0)
		rc = 0;
	if (rc == 0 && starts != NULL && read_places(starts, r->starts, STARTS_NUMBERS) < 0)
		rc = err_set(e, 0, "$.starts: expected \"PLACE:NUMBER …\"");
	if (rc == 0 && surplus != NULL) {
		r->surplus = xcalloc(SURPLUS_NUMBERS, sizeof *r->surplus);
		if (read_places(surplus, r->surplus, SURPLUS_NUMBERS) < 0)
			rc = err_set(e, 0, "$.surplus: expected \"PLACE:NUMBER …\"");
	}
	free(starts);
	free(surplus);
	r->target.unloaded_s = MAX(r->target.unloaded_s, 0);
	r->target.age_ns = age_ms * CLK_MS;
	return rc;
}

static int
take_line(struct learned *l, const char *line, size_t n, struct err *e)
{
	struct record *r = xcalloc(1, sizeof *r), *old;
	struct jget root;
	struct json_t *json = jget_open(line, n, &root, e);
	char *name = NULL;
	int rc = -1;

	if (json != NULL && jget_string(&root, "revision", JGET_MUST, &name, e) == 0 &&
	    read_record(&root, r, e) == 0) {
		r->line = xstrndup(line, n);
		old = hmap_put(&l->records, name, r);
		if (old != NULL)
			record_free(&old);
		r = NULL;
		rc = 0;
	}
	jget_close(&json);
	free(name);
	if (r != NULL)
		record_free(&r);
	return rc;
}

static void
take_file(struct learned *l, const char *text, size_t n)
{
	const char *at = text, *end;
	unsigned number = 0, bad = 0;
	struct err e, first = {.code = 0};

	for (; at < text + n; at = end + 1) {
		end = memchr(at, '\n', (size_t)(text + n - at));
		end = end == NULL ? text + n : end;
		number++;
		if (end == at || take_line(l, at, (size_t)(end - at), &e) == 0)
			continue;
		if (bad++ == 0)
			err_set(&first, 0, "line %u: %s", number, e.text);
	}
	if (bad > 0)
		log_warn(NULL, "cannot read all that was learned, using the rest",
			 "file=%s lines=%u err=%s", l->path, bad, first.text);
}

struct learned *
learned_open(const char *state_dir)
{
	struct learned *l = xcalloc(1, sizeof *l);
	struct strbuf text;
	ssize_t got = 0;
	int fd;

	l->path = xasprintf("%s/" FILE_NAME, state_dir);
	l->path_new = xasprintf("%s/" FILE_NAME ".new", state_dir);
	hmap_init(&l->records);
	strbuf_init(&text, FILE_MAX);
	fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	while (fd >= 0 && text.len < FILE_MAX - 65536 &&
	       (got = read(fd, strbuf_reserve(&text, 65536), 65536)) > 0)
		text.len += (size_t)got;
	if ((fd < 0 && errno != ENOENT) || got < 0)
		log_warn(NULL, "cannot read what was learned", "file=%s err=%s", l->path,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
	if (text.len > 0)
		take_file(l, text.data, text.len);
	strbuf_fini(&text);
	return l;
}

static void
free_saving(struct saving *s)
{
	while (s->n > 0)
		free(s->names[--s->n]);
	free(s->names);
	if (s->is_on)
		close(s->fd);
	*s = (struct saving){.is_on = false};
}

void
learned_close(struct learned **lp)
{
	struct learned *l = *lp;
	size_t at = 0;
	void *value;

	*lp = NULL;
	if (l == NULL)
		return;
	while (hmap_next(&l->records, &at, NULL, &value)) {
		struct record *r = value;

		record_free(&r);
	}
	hmap_fini(&l->records);
	free_saving(&l->saving);
	free(l->path_new);
	free(l->path);
	free(l);
}

/* --- to the revisions --- */

static void
teach(struct scaled_revision *rev, struct record *r)
{
	int64_t gap_ms = clk_wall() / CLK_MS - r->saved_ms, now = clk_now();

	if (r->idle.idle_ns >= 0)
		r->idle.idle_ns = gap_ms >= 0 && gap_ms <= GAP_MS
					  ? r->idle.idle_ns + gap_ms * CLK_MS
					  : -1;
	r->target.age_ns += MIN(MAX(gap_ms, 0), KNEE_AGE_MAX_MS) * CLK_MS;
	brain_import_idleness(rev->brain, &r->idle, now);
	brain_import_target(rev->brain, &r->target, now);
	if (r->surplus != NULL)
		brain_import_surplus(rev->brain, r->surplus);
	timing_import(&rev->timing, r->latency_s, r->start_s);
	if (rev->starts.n <= 0)
		starts_import(&rev->starts, r->starts);
	if (r->was_initial)
		decide_set_initial(rev->decide);
}

void
learned_teach(struct learned *l, const struct reconcile *reconcile)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(reconcile, &at)) != NULL) {
		struct record *r;

		if (rev->is_taught)
			continue;
		rev->is_taught = true;
		r = hmap_remove(&l->records, scaled_name(rev));
		if (r == NULL)
			continue;
		teach(rev, r);
		record_free(&r);
	}
}

/* --- writing --- */

static void
put_places(struct jput *j, const char *key, const float *v, size_t n)
{
	struct strbuf text;
	size_t i;

	strbuf_init(&text, 0);
	for (i = 0; i < n; i++)
		if (v[i] > 0)
			strbuf_addf(&text, "%s%zu:%.6g", text.len > 0 ? " " : "", i,
				    MIN((double)v[i], PLACE_MOST));
	jput_string(j, key, strbuf_str(&text));
	strbuf_fini(&text);
}

static void
put_idle(struct jput *j, const struct idleness_data *d)
{
	struct strbuf times;
	size_t i;

	strbuf_init(&times, 0);
	for (i = 0; i < d->n; i++)
		strbuf_addf(&times, "%s%u:%.7g", i > 0 ? " " : "", d->number - d->v[i].number,
			    d->v[i].idle_s);
	jput_u64(j, "idle_count", d->number);
	jput_string(j, "idle_times", strbuf_str(&times));
	put_places(j, "idle_strata", d->strata, IDLENESS_STRATA);
	put_places(j, "idle_costs", d->costs, IDLENESS_EXPERTS);
	jput_double(j, "idle_followers", d->followers);
	if (d->idle_ns >= 0)
		jput_i64(j, "idle_ms", d->idle_ns / CLK_MS);
	strbuf_fini(&times);
}

static void
put_revision(struct strbuf *out, const struct scaled_revision *rev, int64_t wall_ms)
{
	struct idleness_data idle;
	struct gradient_data target;
	float starts[STARTS_NUMBERS], surplus[SURPLUS_NUMBERS];
	int64_t now = clk_now();
	struct jput j;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_string(&j, "revision", scaled_name(rev));
	jput_i64(&j, "saved_ms", wall_ms);
	if (brain_export_idleness(rev->brain, &idle, now))
		put_idle(&j, &idle);
	if (brain_export_surplus(rev->brain, surplus))
		put_places(&j, "surplus", surplus, SURPLUS_NUMBERS);
	if (brain_export_target(rev->brain, &target, now)) {
		jput_double(&j, "target", target.target);
		jput_double(&j, "knee", target.knee);
		jput_i64(&j, "knee_age_ms", MIN(target.age_ns / CLK_MS, KNEE_AGE_MAX_MS));
		jput_double(&j, "unloaded_ms", target.unloaded_s * 1000);
	}
	if (timing_latency_s(&rev->timing) >= 0)
		jput_double(&j, "latency_ms", timing_latency_s(&rev->timing) * 1000);
	if (timing_start_s(&rev->timing) >= 0)
		jput_double(&j, "start_ms", timing_start_s(&rev->timing) * 1000);
	if (rev->starts.n > 0) {
		starts_export(&rev->starts, starts);
		put_places(&j, "starts", starts, STARTS_NUMBERS);
	}
	if (decide_was_initial(rev->decide))
		jput_bool(&j, "was_initial", true);
	jput_object_end(&j);
	strbuf_adds(out, "\n");
}

/* Is there anything to write of it? */
static bool
has_learned(const struct scaled_revision *rev)
{
	return rev->conf->scaling.keep_warm == KEEP_WARM_LEARNED ||
	       rev->conf->scaling.slow_brain != SLOW_OFF || timing_latency_s(&rev->timing) >= 0 ||
	       timing_start_s(&rev->timing) >= 0 || decide_was_initial(rev->decide);
}

/* 0, or -1 with errno. */
static int
write_text(struct learned *l, const struct strbuf *text)
{
	const char *at = text->data;
	size_t n = text->len;
	ssize_t put = 0;

	while (n > 0 && (put = write(l->saving.fd, at, n)) > 0) {
		at += put;
		n -= (size_t)put;
	}
	l->saving.bytes += text->len;
	return n > 0 ? -1 : 0;
}

static void
fail_saving(struct learned *l)
{
	if (!l->is_failure_logged)
		log_warn(NULL, "cannot write what was learned", "file=%s err=%s", l->path,
			 strerror(errno));
	l->is_failure_logged = true;
	free_saving(&l->saving);
}

static void
finish_saving(struct learned *l)
{
	free_saving(&l->saving);
	if (rename(l->path_new, l->path) < 0)
		fail_saving(l);
	else
		l->is_failure_logged = false;
}

/* The revisions that there are now, by name: some may go while they are written. */
static void
list_names(struct saving *s, const struct reconcile *reconcile)
{
	const struct scaled_revision *rev;
	size_t at = 0, cap = 0;

	while ((rev = reconcile_next(reconcile, &at)) != NULL) {
		if (!has_learned(rev))
			continue;
		if (s->n == cap) {
			cap = MAX(2 * cap, (size_t)64);
			s->names = xrealloc(s->names, cap * sizeof *s->names);
		}
		s->names[s->n++] = xstrdup(scaled_name(rev));
	}
}

static void
put_records(const struct learned *l, struct strbuf *out)
{
	int64_t wall_ms = clk_wall() / CLK_MS;
	size_t at = 0;
	void *value;

	while (hmap_next(&l->records, &at, NULL, &value)) {
		const struct record *r = value;

		if (wall_ms - r->saved_ms < KEEP_MS)
			strbuf_addf(out, "%s\n", r->line);
	}
}

void
learned_save_begin(struct learned *l, const struct reconcile *reconcile)
{
	struct strbuf text;

	free_saving(&l->saving);
	list_names(&l->saving, reconcile);
	strbuf_init(&text, FILE_MAX);
	put_records(l, &text);
	if (l->saving.n > 0 || text.len > 0) {
		l->saving.fd = open(l->path_new,
				    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
		l->saving.is_on = l->saving.fd >= 0;
		if (!l->saving.is_on || write_text(l, &text) < 0)
			fail_saving(l);
	}
	strbuf_fini(&text);
}

bool
learned_save_some(struct learned *l, const struct reconcile *reconcile)
{
	size_t upto = MIN(l->saving.at + SAVE_AT_ONCE, l->saving.n);
	int64_t wall_ms = clk_wall() / CLK_MS;
	struct strbuf text;

	if (!l->saving.is_on)
		return false;
	strbuf_init(&text, FILE_MAX);
	for (; l->saving.at < upto && l->saving.bytes < FILE_MAX / 2; l->saving.at++) {
		const struct scaled_revision *rev = reconcile_find(reconcile,
								   l->saving.names[l->saving.at]);

		if (rev != NULL)
			put_revision(&text, rev, wall_ms);
	}
	if (write_text(l, &text) < 0)
		fail_saving(l);
	else if (l->saving.at == l->saving.n || l->saving.bytes >= FILE_MAX / 2)
		finish_saving(l);
	strbuf_fini(&text);
	return l->saving.is_on;
}

void
learned_save(struct learned *l, const struct reconcile *reconcile)
{
	learned_save_begin(l, reconcile);
	while (learned_save_some(l, reconcile))
		;
}
