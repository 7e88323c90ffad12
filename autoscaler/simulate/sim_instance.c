#include "autoscaler/simulate/sim_instance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct sim_instance *
sim_instance_new(uint64_t number, double capacity, int64_t now_ns)
{
	struct sim_instance *in = xcalloc(1, sizeof *in);

	snprintf(in->id, sizeof in->id, "i%llu", (unsigned long long)number);
	in->capacity = capacity;
	in->started_ns = in->at_ns = now_ns;
	return in;
}

void
sim_instance_free(struct sim_instance **inp)
{
	struct sim_instance *in = *inp;

	*inp = NULL;
	free(in->jobs);
	free(in);
}

void
sim_instance_ready(struct sim_instance *in, int64_t now_ns)
{
	CHECK(in->state == SIM_STARTING && in->in_flight == 0);
	in->state = SIM_READY;
	in->at_ns = now_ns;
}

/* --- its own time --- */

static double
speed(const struct sim_instance *in)
{
	return in->in_flight <= in->capacity ? 1 : in->capacity / in->in_flight;
}

static void
catch_up(struct sim_instance *in, int64_t now_ns)
{
	in->own_ns += (double)(now_ns - in->at_ns) * speed(in);
	in->at_ns = now_ns;
}

int64_t
sim_instance_next_ns(const struct sim_instance *in)
{
	if (in->in_flight == 0)
		return INT64_MAX;
	return in->at_ns + (int64_t)ceil(MAX(in->jobs[0].end - in->own_ns, 0) / speed(in));
}

/* --- the heap --- */

static void
push(struct sim_instance *in, const struct sim_job *job)
{
	size_t i = in->in_flight++;

	if (i == in->cap) {
		in->cap = MAX(in->cap * 2, (size_t)16);
		in->jobs = xrealloc(in->jobs, in->cap * sizeof *in->jobs);
	}
	for (; i > 0 && in->jobs[(i - 1) / 2].end > job->end; i = (i - 1) / 2)
		in->jobs[i] = in->jobs[(i - 1) / 2];
	in->jobs[i] = *job;
}

static struct sim_job
pop(struct sim_instance *in)
{
	struct sim_job first = in->jobs[0], last;
	size_t i = 0, child, n = --in->in_flight;

	last = in->jobs[n];
	while ((child = 2 * i + 1) < n) {
		child += child + 1 < n && in->jobs[child + 1].end < in->jobs[child].end;
		if (in->jobs[child].end >= last.end)
			break;
		in->jobs[i] = in->jobs[child];
		i = child;
	}
	in->jobs[i] = last;
	return first;
}

void
sim_instance_add(struct sim_instance *in, const struct sim_request *r, bool is_paced,
		 int64_t now_ns)
{
	struct sim_job job = {.request = *r, .sent_ns = now_ns, .is_paced = is_paced};

	catch_up(in, now_ns);
	job.end = in->own_ns + (double)r->work_ns;
	push(in, &job);
	in->paced += is_paced;
}

bool
sim_instance_take_ended(struct sim_instance *in, int64_t now_ns, struct sim_job *job)
{
	catch_up(in, now_ns);
	if (in->in_flight == 0 || in->jobs[0].end > in->own_ns + 0.5) /* less than a ns is now */
		return false;
	*job = pop(in);
	in->paced -= job->is_paced;
	return true;
}
