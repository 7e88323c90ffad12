/* status - the admin page /status: what the activator knows and what it holds, as one JSON
 * object.
 * Thread: main. */
#ifndef ACTIVATOR_STATUS_H
#define ACTIVATOR_STATUS_H

struct admin_request;
struct metrics_source;

extern const char *const status_params[]; /* for admin_page_params() */
void status_answer(struct admin_request *, const struct metrics_source *);

#endif
