/* share_steps - the world of the model checker (share_model.h) and its steps: activators with
 * simulated requests, links, leaders, time.  share_model.c checks it.  Tests only.  Thread: one. */
#ifndef TEST_UNIT_SHARE_STEPS_H
#define TEST_UNIT_SHARE_STEPS_H

#include <setjmp.h>
#include <stdio.h>

#include "activator/share.h"
#include "autoscaler/shares/shares.h"
#include "test/unit/share_model.h"

#define INSTANCES 3
#define ACTIVATORS 3
#define ITEMS 24 /* of a message: instances that have been replaced, too */
#define QUEUE 256
#define QUANTUM 10
#define ABORT_TIMEOUT 50
#define RECORDS 64
#define PARKED 12

enum kind { HELLO, OFFER, LIST, REPORT, WANT, LEAVING };

struct packet {
	enum kind kind;
	bool flag; /* HELLO: has_shares; OFFER: is_shared; REPORT: is_complete */
	bool is_asking;
	uint64_t term, epoch;
	uint32_t limit, idle, due; /* recalls; REPORT: owed */
	int64_t oldest_ns;
	uint32_t n;
	struct {
		uint8_t inst;
		bool is_at_most;
		uint32_t slots, uses, used, born;
	} v[ITEMS];
};

struct queue {
	struct packet v[QUEUE];
	uint32_t head, n;
};

struct link {
	int leader;	   /* index */
	uint64_t serial;   /* 0: there is none */
	bool is_open;	   /* on the activator's side */
	bool is_cut;	   /* what comes down after what is on its way is lost */
	struct queue down; /* S→A */
	struct queue up;   /* A→S */
};

struct activator {
	struct model *m;
	char id[16];
	struct share *share; /* NULL: dead, or knows no shares */
	bool is_alive, has_shares, is_leaving;
	bool is_death_known;
	int64_t killed_ns;
	uint64_t term, epoch;	   /* obeyed last */
	uint32_t slots[INSTANCES]; /* its share, as told by set_share() */
	uint32_t requests[INSTANCES], tunnels[INSTANCES], conns[INSTANCES];
	bool is_aside[INSTANCES];
	uint32_t parked;
	int64_t arrived_ns[PARKED]; /* of the parked requests, the oldest first */
	uint64_t served;	    /* requests that got a slot */
	struct link link, old;	    /* the newest; the one before, of which words may come late */
	struct packet again;	    /* an offer that will be read a second time */
	bool has_again;
	/* LIST, for one that knows no shares */
	uint32_t listed_limit, listed_mask;
};

struct leader {
	struct shares *shares; /* NULL: there is none */
	uint64_t term;
	uint32_t limit, mask;	    /* as passed to shares_set() */
	uint64_t heard[ACTIVATORS]; /* serial of the link that shares_up() announced; 0: down */
};

struct model {
	uint64_t random;
	enum share_fault fault;
	FILE *trace;
	struct share_model_result *result;
	jmp_buf out;
	int64_t now_ns;
	uint64_t serial, generation, term;
	uint32_t limit, mask, ready; /* masks of instances that are listed, that answer */
	bool is_changing;	     /* the limit changes in this run */
	bool has_no_tunnels;	     /* none is opened any more */
	bool is_mixed;		     /* some activators know no shares */
	struct leader leaders[2];    /* the leader, and the one before, if it still speaks */
	int now;		     /* index of the leader */
	struct activator v[ACTIVATORS];
	char records[RECORDS][16]; /* stable storage */
	uint32_t records_n;
	uint64_t used[INSTANCES]; /* after the step before */

	/* An instance that is over is replaced by another, whose id is new. */
	char ids[INSTANCES][24];
	uint32_t born[INSTANCES];      /* a number that is part of its id */
	uint64_t born_term[INSTANCES]; /* the leader's then */
	uint32_t max_requests;	       /* 0: not counted */
	uint32_t sent[INSTANCES];      /* requests, in its life */
};

/* Has it had max_requests, or may no activator send it any, as far as is known? */
bool model_is_over(const struct model *m, int i);
/* Replace the instances that are over, and at which no request is in flight. */
void model_renew(struct model *m);

uint32_t model_draw(struct model *m, uint32_t n); /* at random, 0 to n - 1 */
void model_trace(struct model *m, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The interleaving fails: jump to m->out. */
NORETURN void model_fail(struct model *m, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool model_has_bit(uint32_t mask, int i);

/* --- an activator --- */
void model_start_activator(struct model *m, int i);
/* A client comes, and waits. */
void model_park(struct activator *a);
/* Send parked requests to instances with free slots. */
void model_serve(struct activator *a);
/* Send what the activator has to say. */
void model_speak(struct activator *a);
/* A slot of instance i, or a connection to it, is free. */
void model_freed(struct activator *a, int i);
/* A request at instance i ends; is_closing: with its connection. */
void model_end_request(struct activator *a, int i, bool is_closing);
void model_kill_activator(struct activator *a);
/* The leaders learn that the activator is dead, if it is. */
void model_know_death(struct model *m, struct activator *a);

/* --- links --- */
void model_connect(struct activator *a);
/* Read the first message on its way down, or up to the leader `at`. */
void model_read_down(struct activator *a, struct link *link);
void model_read_up(struct model *m, struct activator *a, struct link *link, int at);
/* The leader `at` notices that the link of activator i is down, if it is. */
void model_notice_down(struct model *m, int at, int i);

/* --- leaders --- */
void model_start_leader(struct model *m, int at);
void model_stop_leader(struct model *m, int at);
/* Tell the leader `at` the limit and the instances. */
void model_set_list(struct model *m, int at);
/* Drop from stable storage the activators that the leader knows no more. */
void model_forget_records(struct model *m);

/* --- all of it --- */
/* Requests of dead activators end in time, and leaders send what has become due. */
void model_pass_time(struct model *m, int64_t ns);

/* --- for share_walk.c --- */
void model_restart_leader(struct model *m);
void model_end_lingering(struct activator *a);
void model_set_lists(struct model *m);
/* What is on its way is lost; of what comes down, a part may be read late. */
void model_break_link(struct activator *a);
/* Send a request to an instance with a free slot. */
bool model_take(struct activator *a, bool is_tunnel);
/* The oldest parked request gets a slot, or leaves. */
void model_unpark(struct activator *a);
void model_push(struct queue *q, const struct packet *p);
/* Does an instance still serve requests of this dead activator? */
bool model_lingers(const struct activator *a);
void model_read_again(struct activator *a);

#endif
