/* drains - the drains that the autoscaler has begun, by their tokens (activator-protocol(7)).
 *
 * The drain of a revision is test and close: it succeeds at once or not at all.  The drain of
 * an instance closes it at once, and is done when no request is in flight there.  A token ends
 * when the autoscaler resumes it, which it also does for what it has stopped, or when the link
 * is lost.  Until then the token keeps what it closed: an instance that leaves the list and
 * returns is still closed.
 * Thread: main. */
#ifndef ACTIVATOR_DRAINS_H
#define ACTIVATOR_DRAINS_H

#include "common/list.h"

struct instance;
struct revision;

struct drains {
	struct list all; /* of struct drain_token */
};

void drains_init(struct drains *);
void drains_fini(struct drains *); /* resumes all */

/* True: drained; it stays closed.  False: busy; nothing has changed. */
NODISCARD bool drains_revision(struct drains *, const char *token, struct revision *);
/* Closes the instance.  True: drained.  False: drains_poll() says when it is. */
NODISCARD bool drains_instance(struct drains *, const char *token, struct instance *);
/* An unknown token is ignored. */
void drains_resume(struct drains *, const char *token);
void drains_resume_all(struct drains *);

/* Calls fn with each token whose instance is drained now; fn must not call drains_*.  Returns
 * how many are not yet. */
size_t drains_poll(struct drains *, void (*fn)(const char *token, void *arg), void *arg);

#endif
