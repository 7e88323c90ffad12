/* drains - tokens under which the autoscaler has had slots closed.  A revision's drain is
 * test and close; an instance's closes at once and is done when nothing is in flight
 * there.  A token ends with its resume, with its link, or with what it closed.
 * Thread: main. */
#ifndef ACTIVATOR_DRAINS_H
#define ACTIVATOR_DRAINS_H

#include "common/list.h"

struct instance;
struct revision;

struct drains {
	struct list all; /* of struct drain */
};

void drains_init(struct drains *);
void drains_fini(struct drains *); /* drains_resume_all() */

/* True: drained, and it stays closed.  False: busy, all as before. */
NODISCARD bool drains_revision(struct drains *, const char *token, struct revision *);
/* True: drained.  False: closed, and drains_poll() says when it is done. */
NODISCARD bool drains_instance(struct drains *, const char *token, struct instance *);
/* Unknown tokens are none of ours: nothing happens. */
void drains_resume(struct drains *, const char *token);
void drains_resume_all(struct drains *);

/* fn is called with each token that is done now; it must not call us.  Returns how many
 * are still to be done. */
size_t drains_poll(struct drains *, void (*fn)(const char *token, void *arg), void *arg);

#endif
