#include "autoscaler/simulate/sim_fleet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

struct job {
	double end; /* of the instance's own time */
	struct sim_request request;
	int64_t sent_ns;
	bool is_paced;
};

/* An instance has a time of its own, which runs slower than ours while it has more to do
 * than its capacity: what is in flight ends in the order of `end`, whatever comes. */
struct instance {
	struct sim_instance seen;
	struct job *jobs; /* a heap, by end */
	size_t cap;
	uint32_t paced;
	double own_ns;	/* its own time … */
	int64_t at_ns;	/* … at this time of ours */
	int64_t due_ns; /* when it answers for the first time, or the next request ends */
	size_t heap_at;
};

struct sim_fleet {
	struct sim_fleet_conf conf;
	int64_t now_ns;
	struct instance **v; /* in the order of their start */
	size_t n, cap;
	struct instance **due; /* a heap of those that have something due, by due_ns */
	size_t due_n;
	struct instance **open; /* those that take requests */
	size_t open_n;
	struct sim_request *queue; /* a ring of queue_cap, a power of two */
	size_t queue_cap, queue_at;
	uint32_t queue_n, in_flight, peak;
	uint64_t number, changes;
	uint32_t rotor;
	struct sim_totals totals;
	struct sim_wait waits;
};

struct sim_fleet *
sim_fleet_new(const struct sim_fleet_conf *conf)
{
	struct sim_fleet *f = xcalloc(1, sizeof *f);

	f->conf = *conf;
	f->conf.capacity = MAX(conf->capacity, 1);
	f->queue_cap = 1024;
	f->queue = xcalloc(f->queue_cap, sizeof *f->queue);
	f->rotor = 1;
	return f;
}

static void
instance_free(struct instance *at)
{
	free(at->jobs);
	free(at);
}

void
sim_fleet_free(struct sim_fleet **fp)
{
	struct sim_fleet *f = *fp;
	size_t i;

	*fp = NULL;
	if (f == NULL)
		return;
	for (i = 0; i < f->n; i++)
		instance_free(f->v[i]);
	free(f->v);
	free(f->due);
	free(f->open);
	free(f->queue);
	free(f);
}

/* --- who has something due --- */

#define NOT_DUE SIZE_MAX

static void
due_put(struct sim_fleet *f, size_t i, struct instance *at)
{
	f->due[i] = at;
	at->heap_at = i;
}

static void
due_sift(struct sim_fleet *f, size_t i)
{
	struct instance *at = f->due[i];
	size_t child;

	while (i > 0 && f->due[(i - 1) / 2]->due_ns > at->due_ns) {
		due_put(f, i, f->due[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	while ((child = 2 * i + 1) < f->due_n) {
		child += child + 1 < f->due_n && f->due[child + 1]->due_ns < f->due[child]->due_ns;
		if (f->due[child]->due_ns >= at->due_ns)
			break;
		due_put(f, i, f->due[child]);
		i = child;
	}
	due_put(f, i, at);
}

static void
set_due(struct sim_fleet *f, struct instance *at, int64_t due_ns)
{
	at->due_ns = due_ns;
	if (at->heap_at == NOT_DUE)
		due_put(f, f->due_n++, at);
	due_sift(f, at->heap_at);
}

static void
clear_due(struct sim_fleet *f, struct instance *at)
{
	size_t i = at->heap_at;

	if (i == NOT_DUE)
		return;
	at->heap_at = NOT_DUE;
	if (i == --f->due_n)
		return;
	due_put(f, i, f->due[f->due_n]);
	due_sift(f, i);
}

/* --- what an instance works on --- */

static double
speed(const struct sim_fleet *f, const struct instance *at)
{
	return at->seen.in_flight <= f->conf.capacity ? 1 : f->conf.capacity / at->seen.in_flight;
}

/* Its own time, up to ours. */
static void
catch_up(const struct sim_fleet *f, struct instance *at)
{
	at->own_ns += (double)(f->now_ns - at->at_ns) * speed(f, at);
	at->at_ns = f->now_ns;
}

static void
look_ahead(struct sim_fleet *f, struct instance *at)
{
	if (at->seen.in_flight == 0) {
		clear_due(f, at);
		return;
	}
	set_due(f, at,
		f->now_ns + (int64_t)ceil(MAX((at->jobs[0].end - at->own_ns), 0) / speed(f, at)));
}

static void
jobs_push(struct instance *at, const struct job *job)
{
	size_t i = at->seen.in_flight++;

	if (i == at->cap) {
		at->cap = MAX(at->cap * 2, (size_t)16);
		at->jobs = xrealloc(at->jobs, at->cap * sizeof *at->jobs);
	}
	for (; i > 0 && at->jobs[(i - 1) / 2].end > job->end; i = (i - 1) / 2)
		at->jobs[i] = at->jobs[(i - 1) / 2];
	at->jobs[i] = *job;
}

static struct job
jobs_pop(struct instance *at)
{
	struct job first = at->jobs[0], last;
	size_t i = 0, child, n = --at->seen.in_flight;

	last = at->jobs[n];
	while ((child = 2 * i + 1) < n) {
		child += child + 1 < n && at->jobs[child + 1].end < at->jobs[child].end;
		if (at->jobs[child].end >= last.end)
			break;
		at->jobs[i] = at->jobs[child];
		i = child;
	}
	at->jobs[i] = last;
	return first;
}

/* --- the activator: queue and choice --- */

static bool
has_room(const struct sim_fleet *f, const struct instance *at, bool is_queued)
{
	uint32_t limit = f->conf.container_concurrency;

	if (limit > 0)
		return at->seen.in_flight < limit;
	return !is_queued || f->conf.pace == 0 || at->paced < f->conf.pace;
}

static void
send(struct sim_fleet *f, struct instance *at, const struct sim_request *r, bool is_queued)
{
	struct job job = {.request = *r, .sent_ns = f->now_ns, .is_paced = is_queued};

	catch_up(f, at);
	job.end = at->own_ns + (double)r->work_ns;
	jobs_push(at, &job);
	at->paced += is_queued;
	f->in_flight++;
	look_ahead(f, at);
}

static void
release_to(struct sim_fleet *f, struct instance *at)
{
	while (f->queue_n > 0 && has_room(f, at, true)) {
		send(f, at, &f->queue[f->queue_at], true);
		f->queue_at = (f->queue_at + 1) & (f->queue_cap - 1);
		f->queue_n--;
	}
}

static void
park(struct sim_fleet *f, const struct sim_request *r)
{
	if (f->queue_n == f->queue_cap) {
		size_t head = f->queue_cap - f->queue_at;
		struct sim_request *wider = xcalloc(f->queue_cap * 2, sizeof *wider);

		memcpy(wider, f->queue + f->queue_at, head * sizeof *wider);
		memcpy(wider + head, f->queue, f->queue_at * sizeof *wider);
		free(f->queue);
		f->queue = wider;
		f->queue_at = 0;
		f->queue_cap *= 2;
	}
	f->queue[(f->queue_at + f->queue_n++) & (f->queue_cap - 1)] = *r;
	f->totals.cold_starts += f->open_n == 0;
}

static struct instance *
first_with_room(const struct sim_fleet *f, size_t from)
{
	size_t i;

	for (i = 0; i < f->open_n; i++)
		if (has_room(f, f->open[(from + i) % f->open_n], false))
			return f->open[(from + i) % f->open_n];
	return NULL;
}

/* As the activator chooses: up to a limit of 3 the first with room, else the less loaded
 * of two at random. */
static struct instance *
choose(struct sim_fleet *f)
{
	uint32_t limit = f->conf.container_concurrency, random;
	struct instance *a, *b;

	if (f->open_n == 0)
		return NULL;
	if (f->open_n == 1 || (limit >= 1 && limit <= 3))
		return first_with_room(f, 0);
	f->rotor = f->rotor * 1664525 + 1013904223; /* LCG, Numerical Recipes */
	random = f->rotor ^ f->rotor >> 15;
	a = f->open[(random & 0xffff) % f->open_n];
	b = f->open[((random & 0xffff) % f->open_n + 1 + (random >> 16) % (f->open_n - 1)) %
		    f->open_n];
	if (b->seen.in_flight < a->seen.in_flight)
		a = b;
	return has_room(f, a, false) ? a : first_with_room(f, random >> 8);
}

void
sim_fleet_request(struct sim_fleet *f, const struct sim_request *r)
{
	struct instance *at = f->queue_n > 0 ? NULL : choose(f);

	f->totals.requests++;
	if (at != NULL)
		send(f, at, r, false);
	else
		park(f, r);
	f->peak = MAX(f->peak, f->in_flight + f->queue_n);
}

/* --- instances come and go --- */

/* Those that take requests have changed. */
static void
list_open(struct sim_fleet *f)
{
	size_t i;

	f->changes++;
	f->open_n = 0;
	for (i = 0; i < f->n; i++)
		if (f->v[i]->seen.state == SIM_READY && !f->v[i]->seen.is_closed)
			f->open[f->open_n++] = f->v[i];
	for (i = 0; i < f->open_n && f->queue_n > 0; i++)
		release_to(f, f->open[i]);
}

static void
start(struct sim_fleet *f)
{
	struct instance *at = xcalloc(1, sizeof *at);

	if (f->n == f->cap) {
		f->cap = MAX(f->cap * 2, (size_t)16);
		f->v = xrealloc(f->v, f->cap * sizeof(struct instance *));
		f->due = xrealloc(f->due, f->cap * sizeof(struct instance *));
		f->open = xrealloc(f->open, f->cap * sizeof(struct instance *));
	}
	snprintf(at->seen.id, sizeof at->seen.id, "i%llu", (unsigned long long)++f->number);
	at->seen.started_ns = at->at_ns = f->now_ns;
	at->heap_at = NOT_DUE;
	f->v[f->n++] = at;
	f->totals.peak_instances = MAX(f->totals.peak_instances, (uint32_t)f->n);
	set_due(f, at, f->now_ns + f->conf.start_ns);
}

/* It goes if it is empty. */
static void
go_if_empty(struct sim_fleet *f, struct instance *at)
{
	size_t i;

	if (at->seen.state != SIM_STOPPING || at->seen.in_flight > 0)
		return;
	for (i = 0; f->v[i] != at; i++)
		;
	memmove(&f->v[i], &f->v[i + 1], (f->n - i - 1) * sizeof(struct instance *));
	f->n--;
	f->changes++;
	clear_due(f, at);
	instance_free(at);
}

static struct instance *
find(const struct sim_fleet *f, const char *id)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->v[i]->seen.id, id) == 0)
			return f->v[i];
	return NULL;
}

/* Whom to stop where nobody was named: who does not answer yet, else the newest. */
static struct instance *
youngest(const struct sim_fleet *f)
{
	struct instance *at = NULL;
	size_t i;

	for (i = f->n; i-- > 0;) {
		if (f->v[i]->seen.state == SIM_STARTING)
			return f->v[i];
		if (f->v[i]->seen.state == SIM_READY && at == NULL)
			at = f->v[i];
	}
	return at;
}

static void
stop(struct sim_fleet *f, struct instance *at)
{
	at->seen.state = SIM_STOPPING;
	if (at->seen.in_flight == 0)
		clear_due(f, at);
	go_if_empty(f, at);
}

void
sim_fleet_scale(struct sim_fleet *f, uint32_t n, const char *const *victims, size_t victims_n)
{
	uint32_t live = 0;
	size_t i;

	for (i = 0; i < f->n; i++)
		live += f->v[i]->seen.state != SIM_STOPPING;
	if (live == n)
		return;
	for (; live < n; live++)
		start(f);
	for (i = 0; live > n && i < victims_n; i++) {
		struct instance *at = find(f, victims[i]);

		if (at == NULL || at->seen.state == SIM_STOPPING)
			continue;
		stop(f, at);
		live--;
	}
	for (; live > n; live--)
		stop(f, youngest(f));
	list_open(f);
}

void
sim_fleet_close(struct sim_fleet *f, const char *id, bool is_closed)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (id == NULL || strcmp(f->v[i]->seen.id, id) == 0)
			f->v[i]->seen.is_closed = is_closed;
	list_open(f);
}

/* --- time --- */

static void
complete(struct sim_fleet *f, struct instance *at)
{
	struct job job = jobs_pop(at);
	struct sim_totals *t = &f->totals;

	at->paced -= job.is_paced;
	f->in_flight--;
	t->completed++;
	t->latency_s += (double)(f->now_ns - job.sent_ns) / CLK_S;
	t->last_answer_ns = f->now_ns;
	t->last_answer_instance_s = t->instance_s;
	sim_wait_add(&f->waits, f->now_ns - job.request.at_ns - job.request.work_ns);
}

static void
happen(struct sim_fleet *f, struct instance *at)
{
	if (at->seen.state == SIM_STARTING) {
		at->seen.state = SIM_READY;
		at->at_ns = f->now_ns;
		clear_due(f, at);
		list_open(f);
		return;
	}
	catch_up(f, at);
	while (at->seen.in_flight > 0 && at->jobs[0].end <= at->own_ns + 0.5)
		complete(f, at);
	look_ahead(f, at);
	if (f->queue_n > 0 && at->seen.state == SIM_READY && !at->seen.is_closed)
		release_to(f, at);
	go_if_empty(f, at);
}

int64_t
sim_fleet_next_ns(const struct sim_fleet *f)
{
	return f->due_n == 0 ? INT64_MAX : f->due[0]->due_ns;
}

void
sim_fleet_advance(struct sim_fleet *f, int64_t now_ns)
{
	double passed_s = (double)(now_ns - f->now_ns) / CLK_S;

	CHECK(now_ns >= f->now_ns && now_ns <= sim_fleet_next_ns(f));
	f->totals.flight_s += f->in_flight * passed_s;
	f->totals.parked_s += f->queue_n * passed_s;
	f->totals.instance_s += (double)f->n * passed_s;
	f->now_ns = now_ns;
	while (sim_fleet_next_ns(f) == now_ns)
		happen(f, f->due[0]);
}

/* --- to be looked at --- */

uint32_t
sim_fleet_parked(const struct sim_fleet *f)
{
	return f->queue_n;
}

uint32_t
sim_fleet_in_flight(const struct sim_fleet *f)
{
	return f->in_flight;
}

uint32_t
sim_fleet_open(const struct sim_fleet *f)
{
	return (uint32_t)f->open_n;
}

uint32_t
sim_fleet_ready(const struct sim_fleet *f)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < f->n; i++)
		n += f->v[i]->seen.state == SIM_READY;
	return n;
}

size_t
sim_fleet_n(const struct sim_fleet *f)
{
	return f->n;
}

const struct sim_instance *
sim_fleet_at(const struct sim_fleet *f, size_t i)
{
	CHECK(i < f->n);
	return &f->v[i]->seen;
}

uint32_t
sim_fleet_take_peak(struct sim_fleet *f)
{
	uint32_t peak = f->peak;

	f->peak = f->in_flight + f->queue_n;
	return peak;
}

uint64_t
sim_fleet_changes(const struct sim_fleet *f)
{
	return f->changes;
}

const struct sim_totals *
sim_fleet_totals(const struct sim_fleet *f)
{
	return &f->totals;
}

const struct sim_wait *
sim_fleet_waits(const struct sim_fleet *f)
{
	return &f->waits;
}
