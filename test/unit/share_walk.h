/* share_walk - the model's steps at random (share_steps.h): requests, links, processes, and the
 * world around them.  Tests only.  Thread: one. */
#ifndef TEST_UNIT_SHARE_WALK_H
#define TEST_UNIT_SHARE_WALK_H

struct model;

/* One step, drawn at random. */
void model_step(struct model *m);

#endif
