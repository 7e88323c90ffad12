#include "activator/cold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activator/access_note.h"
#include "activator/conn.h"
#include "activator/exemplars.h"
#include "activator/revision.h"
#include "activator/shard.h"
#include "common/clk.h"
#include "common/request_counts.h"

/* A phase that was over before the request came (it joined an activation that was under way) took
 * no time. */
void
cold_phases(const struct xfer *x, int64_t ns[COLD_PHASES_N])
{
	const struct activation *a = &x->route->rev->activation;
	int64_t ends[COLD_PHASES_N] = {
		[COLD_SIGNAL] = atomic_load_explicit(&a->signalled_ns, memory_order_relaxed),
		[COLD_ACK] = atomic_load_explicit(&a->acked_ns, memory_order_relaxed),
		[COLD_ADDRESS] = atomic_load_explicit(&a->addressed_ns, memory_order_relaxed),
		[COLD_CONNECT] = atomic_load_explicit(&a->connected_ns, memory_order_relaxed),
		[COLD_SEND] = x->sent_ns,
		[COLD_FIRST_BYTE] = x->w->now,
	};
	int64_t at = x->parked_ns;
	int i;

	for (i = 0; i < COLD_PHASES_N; i++) {
		int64_t end = MIN(MAX(ends[i], at), x->w->now);

		ns[i] = end - at;
		at = end;
	}
}

static const char *const phase_names[] = {
#define X(id, name) [COLD_##id] = name,
	COLD_PHASES(X)
#undef X
};

/* For the next report. */
static void
keep(struct xfer *x, const int64_t ns[COLD_PHASES_N])
{
	struct shard *s = x->shard;

	if (s->cold_start == NULL)
		s->cold_start = xcalloc(1, sizeof *s->cold_start);
	s->cold_start->end_ns = x->w->now;
	memcpy(s->cold_start->phases_ns, ns, sizeof s->cold_start->phases_ns);
}

void
cold_note(struct xfer *x)
{
	struct request_counts *counts = shard_counts(x->shard);
	double waited_s = (double)(x->w->now - x->parked_ns) / CLK_S;
	int64_t ns[COLD_PHASES_N];
	int i;

	cold_phases(x, ns);
	metric_add(&x->shard->cold_starts, 1);
	counts->cold_wait_s += waited_s;
	counts->cold_wait_max_s = MAX(counts->cold_wait_max_s, waited_s);
	for (i = 0; i < COLD_PHASES_N; i++) {
		metric_hist_add(&x->shard->cold[i], ns[i]);
		if (x->note.data != NULL)
			access_note_example(x, EXEMPLAR_COLD + (unsigned)i, ns[i]);
	}
	if (x->is_first) {
		keep(x, ns);
		log_info(&x->route->rev->tag, "cold start",
			 "total_ms=%.1f signal_ms=%.1f ack_ms=%.1f address_ms=%.1f "
			 "connect_ms=%.1f send_ms=%.1f first_byte_ms=%.1f",
			 (double)(x->w->now - x->parked_ns) / 1e6, (double)ns[COLD_SIGNAL] / 1e6,
			 (double)ns[COLD_ACK] / 1e6, (double)ns[COLD_ADDRESS] / 1e6,
			 (double)ns[COLD_CONNECT] / 1e6, (double)ns[COLD_SEND] / 1e6,
			 (double)ns[COLD_FIRST_BYTE] / 1e6);
	}
}

const char *
cold_timing(const struct xfer *x, char text[COLD_TIMING])
{
	int64_t ns[COLD_PHASES_N];
	size_t n = 0;
	int i;

	if (!x->is_cold || !x->route->limits->v.server_timing)
		return NULL;
	cold_phases(x, ns);
	for (i = 0; i < COLD_PHASES_N && n < COLD_TIMING; i++)
		n += (size_t)snprintf(text + n, COLD_TIMING - n, "%s%s;dur=%.1f", i > 0 ? ", " : "",
				      phase_names[i], (double)ns[i] / 1e6);
	return text;
}
