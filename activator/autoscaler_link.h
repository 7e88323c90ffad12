/* autoscaler_link - the activator's end of the link to the autoscaler.  What comes becomes
 * the registry and drains; what goes is `activate` while requests wait, `stats`, `instance`,
 * the answers to drains, and what shares have to report (share_link.h).
 *
 * While the link is down, requests to running instances go on, and all else is sent anew when
 * it is back (promise 5, README).
 * Thread: main. */
#ifndef ACTIVATOR_AUTOSCALER_LINK_H
#define ACTIVATOR_AUTOSCALER_LINK_H

#include "common/audit_record.h"
#include "common/msg.h"

struct autoscaler_link; /* opaque */
struct access_log;
struct instance;
struct loop;
struct registry;
struct revision;
struct worker;

struct autoscaler_link_ops {
	/* The first `end` has come; the workers have their first route table. */
	void (*on_described)(void *arg);
	/* An operator asks for something ("reload", …): autoscaler_link_result() answers, now or
	 * later.  Borrowed for the call. */
	void (*on_command)(const char *token, const struct audit_by *, void *arg);
};

/* Connects to the socket at path, again and again.  registry, workers, ops are borrowed. */
NODISCARD struct autoscaler_link *autoscaler_link_new(
	struct loop *, const char *path, struct registry *, struct worker *const *workers,
	unsigned workers_n, const struct autoscaler_link_ops *, void *arg);
void autoscaler_link_free(struct autoscaler_link **);

/* The spans of activations and decisions go there, into the ring of that number, which is main's.
 * Borrowed. */
void autoscaler_link_set_spans(struct autoscaler_link *, struct access_log *, unsigned ring);

/* revision_new()'s on_demand. */
void autoscaler_link_on_demand(struct autoscaler_link *, struct revision *rev);
/* A probe or a request has learned whether the instance answers. */
void autoscaler_link_on_instance(struct autoscaler_link *, struct instance *, enum instance_health);
/* The first response of the instance has begun. */
void autoscaler_link_on_served(struct autoscaler_link *, struct instance *);

/* This activator accepts no new requests from now on. */
void autoscaler_link_leave(struct autoscaler_link *);
/* All its requests have ended, and it is about to end, too: give up all slots, report the last
 * figures, and then call done. */
void autoscaler_link_finish(struct autoscaler_link *, void (*done)(void *arg), void *arg);
/* The workers are about to end: ask them for figures no more. */
void autoscaler_link_stop(struct autoscaler_link *);

/* Answer the command of that token: what was done, or (!is_done) why not. */
void autoscaler_link_result(struct autoscaler_link *, const char *token, bool is_done,
			    const char *text);

bool autoscaler_link_is_up(const struct autoscaler_link *);

#endif
