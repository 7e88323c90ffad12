#include "autoscaler/reconcile/instances.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/text.h"

#define CPU_SPAN (5 * CLK_S) /* the least time over which cpu_cores is measured */

void
instances_init(struct instances *in)
{
	*in = (struct instances){.cpu_cores = -1};
}

/* --- the driver's view --- */

static void
free_all(struct scaled_instance *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(v[i].id);
		free(v[i].address);
		free(v[i].alternate);
		free(v[i].probe);
	}
	free(v);
}

void
instances_fini(struct instances *in)
{
	free_all(in->v, in->n);
	instances_init(in);
}

bool
instances_waits_for_platform(const struct scaled_instance *i)
{
	return i->state == INSTANCE_STARTING && text_equal(i->probe, "ready");
}

/* Does it still hold that the instance answers?  An activator closes an instance that the driver
 * no longer shows as ready, or shows at another address, until it answers again.  It does not
 * report that. */
static bool
still_answers(const struct scaled_instance *i, const struct scaled_instance *before)
{
	bool was_ready = before->state == INSTANCE_READY;

	return before->is_answering && !(was_ready && i->state == INSTANCE_STARTING) &&
	       !instances_waits_for_platform(i) && i->port == before->port &&
	       text_equal(i->address, before->address);
}

static void
take_one(struct scaled_instance *to, const struct driver_instance *from,
	 const struct scaled_instance *before, int64_t now_ns)
{
	*to = (struct scaled_instance){.id = xstrdup(from->id),
				       .address = text_copy(from->address),
				       .alternate = text_copy(from->alternate),
				       .probe = text_copy(from->probe),
				       .port = from->port,
				       .state = from->state,
				       .is_spare = from->is_spare,
				       .is_retired = from->is_retired,
				       .seen_ns = before != NULL ? before->seen_ns : now_ns,
				       /* ready when first seen: since when is unknown */
				       .is_timed = from->state == INSTANCE_READY,
				       .started_ns = from->started_ns,
				       .removal_order = from->removal_order,
				       .cpu_s = from->cpu_s,
				       .starts_mark_s = -1,
				       .cpu_mark_s = -1,
				       .memory_bytes = from->memory_bytes};
	if (before != NULL) {
		to->is_answering = still_answers(to, before);
		to->is_timed = before->is_timed;
		to->cpu_mark_s = before->cpu_mark_s;
		to->starts_mark_s = before->starts_mark_s;
		to->busy_until_ns = before->busy_until_ns;
		to->is_adopted = before->is_adopted;
		to->is_spent = before->is_spent;
		to->is_nearly_spent = before->is_nearly_spent;
		to->is_due = before->is_due;
		to->ending = before->ending;
		to->is_stop_sent = before->is_stop_sent;
	}
}

void
instances_take(struct instances *in, const struct driver_instance *from, size_t n, int64_t now_ns)
{
	struct scaled_instance *v = n == 0 ? NULL : xcalloc(n, sizeof *v);
	size_t i, at = 0;

	for (i = 0; i < n; i++)
		take_one(&v[i], &from[i], instances_find_from(in, &at, from[i].id), now_ns);
	free_all(in->v, in->n);
	in->v = v;
	in->n = n;
}

static bool
is_same(const struct scaled_instance *a, const struct driver_instance *b)
{
	return strcmp(a->id, b->id) == 0 && a->state == b->state && a->port == b->port &&
	       a->is_spare == b->is_spare && a->is_retired == b->is_retired &&
	       text_equal(a->address, b->address) && text_equal(a->alternate, b->alternate) &&
	       text_equal(a->probe, b->probe);
}

bool
instances_are(const struct instances *in, const struct driver_instance *v, size_t n)
{
	size_t i;

	if (in->n != n)
		return false;
	for (i = 0; i < n; i++)
		if (!is_same(&in->v[i], &v[i]))
			return false;
	return true;
}

/* --- to be asked --- */

struct scaled_instance *
instances_find(const struct instances *in, const char *id)
{
	size_t at = 0;

	return instances_find_from(in, &at, id);
}

struct scaled_instance *
instances_find_from(const struct instances *in, size_t *at, const char *id)
{
	size_t i, n;

	for (n = 0, i = *at; n < in->n; n++, i++) {
		i = i < in->n ? i : 0;
		if (strcmp(in->v[i].id, id) != 0)
			continue;
		*at = i + 1;
		return &in->v[i];
	}
	return NULL;
}

bool
instances_is_ready(const struct scaled_instance *i)
{
	return i->state == INSTANCE_READY || (i->state == INSTANCE_STARTING && i->is_answering);
}

uint32_t
instances_ready(const struct instances *in)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < in->n; i++)
		n += instances_is_ready(&in->v[i]) && !in->v[i].is_retired;
	return n;
}

uint32_t
instances_live(const struct instances *in)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < in->n; i++) {
		const struct scaled_instance *at = &in->v[i];

		if (at->state != INSTANCE_STOPPING && !at->is_retired)
			n += instances_is_ready(at) || !at->is_spare;
	}
	return n;
}

uint32_t
instances_usable(const struct instances *in, bool is_ready)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < in->n; i++) {
		const struct scaled_instance *at = &in->v[i];

		if (at->ending != ENDING_NOT || at->is_retired ||
		    instances_is_ready(at) != is_ready)
			continue;
		n += is_ready || (at->state != INSTANCE_STOPPING && !at->is_spare);
	}
	return n;
}

bool
instances_is_lasting(const struct scaled_instance *i)
{
	return i->state != INSTANCE_STOPPING && !i->is_retired && !i->is_stop_sent;
}

/* --- what they use --- */

/* Is it known what the instance used since the last measurement?  An instance that was not
 * measured then counts with all that it has used, so it must have started at about that time or
 * later. */
static bool
is_measured(const struct scaled_instance *i, int64_t measured_ns)
{
	return i->cpu_s >= 0 && (i->cpu_mark_s >= 0 || i->started_ns >= measured_ns - CPU_SPAN);
}

void
instances_measure_cpu(struct instances *in, int64_t now_ns)
{
	double used_s = 0, passed_s = (double)(now_ns - in->cpu_measured_ns) / CLK_S;
	bool is_known = in->cpu_measured_ns != 0 && in->n > 0;
	size_t i;

	if (now_ns - in->cpu_measured_ns < CPU_SPAN)
		return;
	for (i = 0; i < in->n; i++) {
		struct scaled_instance *at = &in->v[i];

		is_known &= is_measured(at, in->cpu_measured_ns);
		used_s += MAX(at->cpu_s - MAX(at->cpu_mark_s, 0), 0);
		at->cpu_mark_s = at->cpu_s;
	}
	in->cpu_cores = is_known ? used_s / passed_s : -1;
	in->cpu_measured_ns = now_ns;
}

double
instances_memory_bytes(const struct instances *in)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < in->n; i++)
		sum += (double)in->v[i].memory_bytes;
	return sum;
}

/* --- busy leases --- */

bool
instances_is_leased(const struct scaled_instance *i, const struct reports *reports, int64_t now_ns)
{
	return MAX(reports_lease_ns(reports, 0, i->id), i->busy_until_ns) > now_ns;
}

double
instances_lease_s(const struct instances *in, const struct reports *reports, int64_t now_ns)
{
	double longest = reports_busy_s(reports, now_ns);
	size_t i;

	for (i = 0; i < in->n; i++)
		longest = MAX(longest, (double)(in->v[i].busy_until_ns - now_ns) / CLK_S);
	return longest;
}

void
instances_keep_leases(struct instances *in, const struct reports *reports, uint64_t peer)
{
	size_t i;

	for (i = 0; i < in->n; i++) {
		struct scaled_instance *at = &in->v[i];

		at->busy_until_ns = MAX(at->busy_until_ns, reports_lease_ns(reports, peer, at->id));
	}
}
