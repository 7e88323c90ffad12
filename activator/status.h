/* status - the admin page /status: what the activator knows and what it holds, as one JSON
 * object.
 * Thread: main. */
#ifndef ACTIVATOR_STATUS_H
#define ACTIVATOR_STATUS_H

struct metrics_source;
struct strbuf;

/* revision: only this one; NULL: all. */
void status_render(struct strbuf *, const struct metrics_source *, const char *revision);

#endif
