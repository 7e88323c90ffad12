/* share_view - which activator holds which slots of a revision with container_concurrency, as a
 * member `shares` of a JSON object: at /status, and for activatorctl.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_SHARE_VIEW_H
#define AUTOSCALER_SHARE_VIEW_H

struct jput;
struct reconcile;

/* Writes nothing where the revision has no container_concurrency. */
void share_view_put(struct jput *, const struct reconcile *, const char *revision);

#endif
