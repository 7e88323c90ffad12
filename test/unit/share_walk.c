#include "test/unit/share_walk.h"

#include "test/unit/share_steps.h"

static void
step_request(struct model *m, struct activator *a)
{
	int i = (int)model_draw(m, INSTANCES);

	if (!a->is_alive)
		return;
	switch (model_draw(m, 8)) {
	case 0:
	case 1:
	case 2:
		if (a->is_leaving || a->parked > 8)
			return;
		model_trace(m, "a client of %s", a->id);
		if (a->parked > 0 || !model_take(a, model_draw(m, 12) == 0))
			model_park(a);
		break;
	case 3:
	case 4:
		if (a->requests[i] == a->tunnels[i] && (a->tunnels[i] == 0 || model_draw(m, 8) > 0))
			return;
		model_trace(m, "a request of %s at i%d ends", a->id, i);
		model_end_request(a, i, model_draw(m, 2) == 0);
		break;
	case 5:
		if (a->conns[i] == a->requests[i])
			return;
		model_trace(m, "an idle connection of %s to i%d closes", a->id, i);
		a->conns[i]--;
		model_freed(a, i);
		break;
	case 6:
		if (a->conns[i] >= MIN(a->slots[i], 6))
			return;
		model_trace(m, "%s probes i%d", a->id, i);
		a->conns[i]++;
		break;
	default:
		if (model_draw(m, 4) == 0) {
			model_trace(m, "%s sets i%d aside: %d", a->id, i, !a->is_aside[i]);
			a->is_aside[i] = !a->is_aside[i];
		} else if (a->parked > 0) {
			model_trace(m, "a client of %s leaves", a->id);
			model_unpark(a);
		}
		model_serve(a);
	}
	model_speak(a);
}

static void
step_link(struct model *m, struct activator *a)
{
	int at = (int)model_draw(m, 2);

	switch (model_draw(m, 12)) {
	case 0:
		if (a->link.is_open && model_draw(m, 6) == 0)
			model_break_link(a);
		break;
	case 1:
		if (a->is_alive &&
		    (!a->link.is_open || (a->link.leader != m->now && model_draw(m, 2) == 0)))
			model_connect(a);
		break;
	case 2:
		model_notice_down(m, at, (int)(a - m->v));
		break;
	case 3:
		if (a->is_alive && a->has_again && model_draw(m, 4) == 0)
			model_read_again(a);
		else if (a->is_alive && a->old.down.n > 0)
			model_read_down(a, &a->old);
		break;
	case 4:
		if (a->old.up.n > 0 && m->leaders[a->old.leader].shares != NULL &&
		    m->leaders[a->old.leader].term == a->old.serial >> 32)
			model_read_up(m, a, &a->old, a->old.leader);
		break;
	default:
		if (model_draw(m, 2) == 0) {
			if (a->is_alive && a->link.down.n > 0)
				model_read_down(a, &a->link);
		} else if (a->link.up.n > 0 && m->leaders[a->link.leader].shares != NULL &&
			   m->leaders[a->link.leader].term == a->link.serial >> 32)
			model_read_up(m, a, &a->link, a->link.leader);
	}
}

static void
step_process(struct model *m, struct activator *a)
{
	if (!a->is_alive) {
		if (model_draw(m, 2) == 0)
			model_know_death(m, a);
		else if (model_lingers(a) && model_draw(m, 2) == 0)
			model_end_lingering(a);
		else if (a->id[0] == '\0' || (a->is_death_known && !model_lingers(a)))
			model_start_activator(m, (int)(a - m->v));
		return;
	}
	switch (model_draw(m, 24)) {
	case 0:
		model_kill_activator(a);
		break;
	case 1:
		if (!a->is_leaving && a->link.is_open && a->link.up.n < QUEUE - 8) {
			struct packet p = {.kind = LEAVING};

			model_trace(m, "%s is leaving", a->id);
			a->is_leaving = true;
			model_push(&a->link.up, &p);
		}
		break;
	case 2:
		if (!a->is_leaving || a->parked > 0)
			break;
		if (a->share != NULL && model_draw(m, 2) == 0) {
			model_trace(m, "%s gives up all", a->id);
			share_release(a->share);
			model_speak(a);
		} else {
			model_kill_activator(a);
		}
		break;
	}
}

static void
step_world(struct model *m)
{
	static const uint32_t limits[] = {1, 1, 2, 3, 5, SHARE_ALL};

	switch (model_draw(m, 10)) {
	case 0:
		if (model_draw(m, 3) == 0)
			model_restart_leader(m);
		break;
	case 1:
		if (m->leaders[1 - m->now].shares != NULL && model_draw(m, 3) == 0) {
			model_trace(m, "the old leader stops");
			model_stop_leader(m, 1 - m->now);
		}
		break;
	case 2:
		if (m->is_changing && model_draw(m, 3) == 0)
			m->limit = limits[model_draw(m, ARRAY_LEN(limits))];
		if (m->max_requests > 0)
			m->limit = MIN(m->limit, MIN(m->max_requests, 5));
		/* Without a limit nothing is safe from a leader that still decides. */
		if (m->limit == SHARE_ALL && m->leaders[1 - m->now].shares != NULL)
			model_stop_leader(m, 1 - m->now);
		model_set_lists(m);
		break;
	case 3:
	case 4:
		m->mask ^= 1u << model_draw(m, INSTANCES);
		model_set_lists(m);
		break;
	case 5:
		m->ready ^= 1u << model_draw(m, INSTANCES);
		model_trace(m, "answering: %x", m->ready);
		break;
	case 6:
		model_renew(m);
		break;
	default:
		model_pass_time(m, model_draw(m, QUANTUM * 2));
		model_trace(m, "time passes");
	}
}

void
model_step(struct model *m)
{
	struct activator *a = &m->v[model_draw(m, ACTIVATORS)];
	uint32_t what = model_draw(m, 40);

	if (what < 14)
		step_request(m, a);
	else if (what < 34)
		step_link(m, a);
	else if (what < 36)
		step_process(m, a);
	else
		step_world(m);
}
