/* access_note - what the access log keeps of a request until it ends, and its line then.
 *
 * The head of a request is gone when its response ends.  So the part of the line that shows it is
 * written when the request is routed, if its revision has an access log; otherwise a request has no
 * note, and costs nothing.  Every request with a note gets one line when it ends (xfer_end(),
 * xfer_cut()), unless sampling leaves it out or the ring is full.
 * Thread: the worker's. */
#ifndef ACTIVATOR_ACCESS_NOTE_H
#define ACTIVATOR_ACCESS_NOTE_H

#include "activator/access/access_span.h"
#include "activator/outcome.h"

struct access_conf;
struct access_log;
struct access_ring;
struct addr;
struct instance;
struct request;
struct xfer;

/* A worker's way to the access log. */
struct access_port {
	struct access_log *log;	  /* NULL: there is none */
	struct access_ring *ring; /* the worker's, in it */
	int pid;
	struct access_clock clock;
	int64_t wall_minus_now_ns, until_ns; /* the wall clock, read once a second */
};

/* Note the head of a request, for its line and, if w->is_traced, for its spans; client: its
 * address, where that is not the other end of the connection.  conf: NULL: it gets no line. */
void access_note_begin(struct xfer *, const struct request *, struct access_conf *,
		       const struct addr *client);
/* What came is no request: note its first line.  By the conf file's activator {}. */
void access_note_raw(struct xfer *, const char *bytes, size_t n);
/* The request has a note, and gets another route: the old one, with its conf, may go. */
void access_note_rerouted(struct xfer *);
/* It goes to that instance. */
void access_note_instance(struct xfer *, struct instance *);
/* The request, which has a note, has taken so long, in the histogram of its revision of that number
 * (exemplars.h). */
void access_note_example(const struct xfer *, unsigned histogram, int64_t took_ns);
/* It is parked while no instance is open, and has a note: if it is recorded, its span and that of
 * the activation are linked. */
void access_note_asks(struct xfer *);
/* The response head of a cold start has come. */
void access_note_answered(struct xfer *);
/* It ends: write its line, and forget the note. */
void access_note_end(struct xfer *, enum outcome);
/* Bytes of memory that the note holds. */
size_t access_note_bytes(const struct xfer *);
/* Forget the note without a line. */
void access_note_drop(struct xfer *);

#endif
