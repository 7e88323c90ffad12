/* status - /status: what the activator knows and holds, as one JSON object.
 * Thread: main. */
#ifndef ACTIVATOR_STATUS_H
#define ACTIVATOR_STATUS_H

struct metrics_source;
struct strbuf;

/* revision: this one alone; NULL: all. */
void status_render(struct strbuf *, const struct metrics_source *, const char *revision);

#endif
