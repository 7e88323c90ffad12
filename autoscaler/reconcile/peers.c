#include "autoscaler/reconcile/peers.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/log.h"

#define VANISHED_MOST 64	 /* bounds memory alone: a single one keeps all instances */
#define SILENT_AFTER (5 * CLK_S) /* as many reports are missing */

struct vanished {
	uint64_t serial;
	char *id;
	int64_t at_ns;
	bool is_over, is_back; /* for peers_take_forgotten() */
};

void
peers_init(struct peers *p)
{
	*p = (struct peers){.n = 0};
}

void
peers_fini(struct peers *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		free(p->v[i].id);
	for (i = 0; i < p->vanished_n; i++)
		free(p->vanished[i].id);
	free(p->v);
	free(p->vanished);
	*p = (struct peers){.n = 0};
}

struct peer *
peers_find(const struct peers *p, uint64_t serial)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->v[i].serial == serial)
			return &p->v[i];
	return NULL;
}

/* --- links --- */

void
peers_up(struct peers *p, uint64_t serial, const char *id, int64_t now_ns)
{
	size_t i;

	CHECK(peers_find(p, serial) == NULL);
	for (i = 0; i < p->vanished_n; i++)
		if (strcmp(p->vanished[i].id, id) == 0)
			p->vanished[i].is_over = p->vanished[i].is_back = true;
	p->v = xrealloc(p->v, (p->n + 1) * sizeof *p->v);
	p->v[p->n++] = (struct peer){
		.serial = serial, .id = xstrdup(id), .report = 1, .since_ns = now_ns};
}

static bool
is_connected(const struct peers *p, const char *id)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (strcmp(p->v[i].id, id) == 0)
			return true;
	return false;
}

bool
peers_down(struct peers *p, uint64_t serial, int64_t now_ns)
{
	struct peer *peer = peers_find(p, serial), gone;

	CHECK(peer != NULL);
	gone = *peer;
	*peer = p->v[--p->n];
	if (is_connected(p, gone.id)) {
		free(gone.id);
		return false;
	}
	if (p->vanished_n >= VANISHED_MOST)
		p->vanished[0].is_over = true; /* the oldest */
	p->vanished = xrealloc(p->vanished, (p->vanished_n + 1) * sizeof *p->vanished);
	p->vanished[p->vanished_n++] = (struct vanished){
		.serial = serial, .id = gone.id, .at_ns = now_ns};
	return true;
}

bool
peers_take_forgotten(struct peers *p, uint64_t *serial, bool *is_back)
{
	size_t i;

	for (i = 0; i < p->vanished_n && !p->vanished[i].is_over; i++)
		;
	if (i == p->vanished_n)
		return false;
	*serial = p->vanished[i].serial;
	*is_back = p->vanished[i].is_back;
	free(p->vanished[i].id);
	memmove(&p->vanished[i], &p->vanished[i + 1],
		(p->vanished_n - i - 1) * sizeof *p->vanished);
	p->vanished_n--;
	return true;
}

/* --- silence --- */

void
peers_reported(struct peer *peer, int64_t now_ns)
{
	peer->report++;
	peer->reported_ns = now_ns;
	peer->is_silence_logged = false;
}

static bool
is_silent(const struct peer *peer, int64_t now_ns)
{
	return now_ns - MAX(peer->reported_ns, peer->since_ns) > SILENT_AFTER;
}

bool
peers_is_silent(const struct peers *p, const char *id, int64_t now_ns)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (strcmp(p->v[i].id, id) == 0 && is_silent(&p->v[i], now_ns))
			return true;
	return false;
}

bool
peers_all_heard(const struct peers *p, int64_t window_ns, int64_t now_ns)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (is_silent(&p->v[i], now_ns))
			return false;
	for (i = 0; i < p->vanished_n; i++)
		if (now_ns - p->vanished[i].at_ns < MAX(window_ns, PEERS_PATIENCE))
			return false;
	return p->n > 0;
}

void
peers_tick(struct peers *p, int64_t window_ns, int64_t now_ns)
{
	size_t i;

	for (i = 0; i < p->vanished_n; i++)
		p->vanished[i].is_over |= now_ns - p->vanished[i].at_ns >=
					  MAX(window_ns, PEERS_PATIENCE);
	for (i = 0; i < p->n; i++) {
		struct peer *peer = &p->v[i];

		if (peer->is_silence_logged || !is_silent(peer, now_ns))
			continue;
		peer->is_silence_logged = true;
		log_warn(NULL, "activator is connected but reports nothing, no scale-down",
			 "activator=%s", peer->id);
	}
}
