/* share_link - sends to the autoscaler what the shares of revisions have to report and want
 * (share.h).
 *
 * A complete report of a revision with container_concurrency follows each `end` that describes the
 * revision for the first time on a link, or for the first time after one that did not.  Only then
 * does the autoscaler offer slots.  Later reports and wants follow as share.h says.
 * Thread: main. */
#ifndef ACTIVATOR_SHARE_LINK_H
#define ACTIVATOR_SHARE_LINK_H

#include "common/base.h"

struct registry;
struct revision;

struct share_link {
	struct registry *registry;
	void (*send_line)(const char *line, size_t n, void *arg);
	void *arg;
	uint64_t term; /* of the autoscaler; 0: no link, or it counts no shares */
};

/* registry and arg are borrowed.  No link is up. */
void share_link_init(struct share_link *, struct registry *,
		     void (*send_line)(const char *line, size_t n, void *arg), void *arg);
/* The autoscaler has said hello.  term 0: it counts no shares. */
void share_link_up(struct share_link *, uint64_t term);
void share_link_down(struct share_link *);

/* This activator is about to end: give up all slots but those in use. */
void share_link_release(struct share_link *);

/* An `end` has come. */
void share_link_described(struct share_link *);
/* The revision may have something to send: an offer has come, or is_share_news is set. */
void share_link_step(struct share_link *, struct revision *);
/* A probe or a request has learned whether the instance can be used. */
struct instance;
void share_link_instance(struct share_link *, struct instance *);

#endif
