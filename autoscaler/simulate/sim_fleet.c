#include "autoscaler/simulate/sim_fleet.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

struct sim_fleet {
	struct sim_fleet_conf conf;
	int64_t now_ns;
	struct sim_instance **v; /* in the order of their start */
	size_t n, cap;
	struct sim_instance **due; /* a heap, by due_ns, of those that have something due */
	size_t due_n;
	struct sim_instance **open; /* those that take requests */
	size_t open_n;
	struct sim_request *queue; /* a ring of queue_cap, a power of two */
	size_t queue_cap, queue_at;
	uint32_t queue_n, in_flight, peak;
	uint64_t number, changes;
	uint32_t random_state;
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
	f->random_state = 1;
	return f;
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
		sim_instance_free(&f->v[i]);
	free(f->v);
	free(f->due);
	free(f->open);
	free(f->queue);
	free(f);
}

/* --- the instances that have something due --- */

#define NOT_DUE SIZE_MAX

static void
due_put(struct sim_fleet *f, size_t i, struct sim_instance *in)
{
	f->due[i] = in;
	in->due_slot = i;
}

static void
due_sift(struct sim_fleet *f, size_t i)
{
	struct sim_instance *in = f->due[i];
	size_t child;

	while (i > 0 && f->due[(i - 1) / 2]->due_ns > in->due_ns) {
		due_put(f, i, f->due[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	while ((child = 2 * i + 1) < f->due_n) {
		child += child + 1 < f->due_n && f->due[child + 1]->due_ns < f->due[child]->due_ns;
		if (f->due[child]->due_ns >= in->due_ns)
			break;
		due_put(f, i, f->due[child]);
		i = child;
	}
	due_put(f, i, in);
}

static void
set_due(struct sim_fleet *f, struct sim_instance *in, int64_t due_ns)
{
	in->due_ns = due_ns;
	if (in->due_slot == NOT_DUE)
		due_put(f, f->due_n++, in);
	due_sift(f, in->due_slot);
}

static void
clear_due(struct sim_fleet *f, struct sim_instance *in)
{
	size_t i = in->due_slot;

	if (i == NOT_DUE)
		return;
	in->due_slot = NOT_DUE;
	if (i == --f->due_n)
		return;
	due_put(f, i, f->due[f->due_n]);
	due_sift(f, i);
}

static void
look_ahead(struct sim_fleet *f, struct sim_instance *in)
{
	if (in->in_flight == 0)
		clear_due(f, in);
	else
		set_due(f, in, sim_instance_next_ns(in));
}

/* --- the activator: queue and choice --- */

static bool
has_room(const struct sim_fleet *f, const struct sim_instance *in, bool is_queued)
{
	uint32_t limit = f->conf.container_concurrency;

	if (limit > 0)
		return in->in_flight < limit;
	return !is_queued || f->conf.pace == 0 || in->paced < f->conf.pace;
}

static void
send(struct sim_fleet *f, struct sim_instance *in, const struct sim_request *r, bool is_queued)
{
	sim_instance_add(in, r, is_queued, f->now_ns);
	f->in_flight++;
	look_ahead(f, in);
}

static void
release_to(struct sim_fleet *f, struct sim_instance *in)
{
	while (f->queue_n > 0 && has_room(f, in, true)) {
		send(f, in, &f->queue[f->queue_at], true);
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

static struct sim_instance *
first_with_room(const struct sim_fleet *f, size_t from)
{
	size_t i;

	for (i = 0; i < f->open_n; i++)
		if (has_room(f, f->open[(from + i) % f->open_n], false))
			return f->open[(from + i) % f->open_n];
	return NULL;
}

/* The activator's choice (activator/balance.h): with a limit of 1 to 3 the first instance with
 * room, else the less loaded of two random ones. */
static struct sim_instance *
choose(struct sim_fleet *f)
{
	uint32_t limit = f->conf.container_concurrency, random;
	struct sim_instance *a, *b;

	if (f->open_n == 0)
		return NULL;
	if (f->open_n == 1 || (limit >= 1 && limit <= 3))
		return first_with_room(f, 0);
	f->random_state = f->random_state * 1664525 + 1013904223; /* LCG, Numerical Recipes */
	random = f->random_state ^ f->random_state >> 15;
	a = f->open[(random & 0xffff) % f->open_n];
	b = f->open[((random & 0xffff) % f->open_n + 1 + (random >> 16) % (f->open_n - 1)) %
		    f->open_n];
	if (b->in_flight < a->in_flight)
		a = b;
	return has_room(f, a, false) ? a : first_with_room(f, random >> 8);
}

void
sim_fleet_request(struct sim_fleet *f, const struct sim_request *r)
{
	struct sim_instance *in = f->queue_n > 0 ? NULL : choose(f);

	f->totals.requests++;
	if (in != NULL)
		send(f, in, r, false);
	else
		park(f, r);
	f->peak = MAX(f->peak, f->in_flight + f->queue_n);
}

/* --- start and stop --- */

/* An instance has changed: list those that take requests, and give them parked ones. */
static void
list_open(struct sim_fleet *f)
{
	size_t i;

	f->changes++;
	f->open_n = 0;
	for (i = 0; i < f->n; i++)
		if (f->v[i]->state == SIM_READY && !f->v[i]->is_closed)
			f->open[f->open_n++] = f->v[i];
	for (i = 0; i < f->open_n && f->queue_n > 0; i++)
		release_to(f, f->open[i]);
}

static void
start(struct sim_fleet *f)
{
	struct sim_instance *in = sim_instance_new(++f->number, f->conf.capacity, f->now_ns);

	if (f->n == f->cap) {
		f->cap = MAX(f->cap * 2, (size_t)16);
		f->v = xrealloc(f->v, f->cap * sizeof(struct sim_instance *));
		f->due = xrealloc(f->due, f->cap * sizeof(struct sim_instance *));
		f->open = xrealloc(f->open, f->cap * sizeof(struct sim_instance *));
	}
	in->due_slot = NOT_DUE;
	f->v[f->n++] = in;
	f->totals.peak_instances = MAX(f->totals.peak_instances, (uint32_t)f->n);
	set_due(f, in, f->now_ns + f->conf.start_ns);
}

static void
free_if_stopped(struct sim_fleet *f, struct sim_instance *in)
{
	size_t i;

	if (in->state != SIM_STOPPING || in->in_flight > 0)
		return;
	for (i = 0; f->v[i] != in; i++)
		;
	memmove(&f->v[i], &f->v[i + 1], (f->n - i - 1) * sizeof(struct sim_instance *));
	f->n--;
	f->changes++;
	clear_due(f, in);
	sim_instance_free(&in);
}

static struct sim_instance *
find(const struct sim_fleet *f, const char *id)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->v[i]->id, id) == 0)
			return f->v[i];
	return NULL;
}

/* The instance to stop if no victim was named: the newest that does not answer yet, else the
 * newest. */
static struct sim_instance *
youngest(const struct sim_fleet *f)
{
	struct sim_instance *in = NULL;
	size_t i;

	for (i = f->n; i-- > 0;) {
		if (f->v[i]->state == SIM_STARTING)
			return f->v[i];
		if (f->v[i]->state == SIM_READY && in == NULL)
			in = f->v[i];
	}
	return in;
}

static void
stop(struct sim_fleet *f, struct sim_instance *in)
{
	in->state = SIM_STOPPING;
	if (in->in_flight == 0)
		clear_due(f, in);
	free_if_stopped(f, in);
}

void
sim_fleet_scale(struct sim_fleet *f, uint32_t n, const char *const *victims, size_t victims_n)
{
	uint32_t live = 0;
	size_t i;

	for (i = 0; i < f->n; i++)
		live += f->v[i]->state != SIM_STOPPING;
	if (live == n)
		return;
	for (; live < n; live++)
		start(f);
	for (i = 0; live > n && i < victims_n; i++) {
		struct sim_instance *in = find(f, victims[i]);

		if (in == NULL || in->state == SIM_STOPPING)
			continue;
		stop(f, in);
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
		if (id == NULL || strcmp(f->v[i]->id, id) == 0)
			f->v[i]->is_closed = is_closed;
	list_open(f);
}

/* --- time --- */

static void
complete(struct sim_fleet *f, const struct sim_job *job)
{
	struct sim_totals *t = &f->totals;

	f->in_flight--;
	t->completed++;
	t->latency_s += (double)(f->now_ns - job->sent_ns) / CLK_S;
	t->last_answer_ns = f->now_ns;
	t->last_answer_instance_s = t->instance_s;
	sim_wait_add(&f->waits, f->now_ns - job->request.at_ns - job->request.work_ns);
}

static void
handle_due(struct sim_fleet *f, struct sim_instance *in)
{
	struct sim_job job;

	if (in->state == SIM_STARTING) {
		sim_instance_ready(in, f->now_ns);
		clear_due(f, in);
		list_open(f);
		return;
	}
	while (sim_instance_take_ended(in, f->now_ns, &job))
		complete(f, &job);
	look_ahead(f, in);
	if (f->queue_n > 0 && in->state == SIM_READY && !in->is_closed)
		release_to(f, in);
	free_if_stopped(f, in);
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
		handle_due(f, f->due[0]);
}

/* --- queries --- */

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
		n += f->v[i]->state == SIM_READY;
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
	return f->v[i];
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
