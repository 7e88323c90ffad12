/* port_cursor - where the search for the next instance's port begins: behind the port that was
 * given last, also by the autoscaler before.  So a port is given again only when all others of the
 * range have had their turn.  An activator that has not heard yet that an instance has ended (it
 * was stopped for a moment, or its autoscaler has ended, too) goes on trying its address: the
 * program that listens there next would get requests of another service.
 *
 * The place is kept in a file, a little ahead of what was given, so that it need not be written for
 * each start.  It is not synced: what it protects from does not outlive the machine's crash.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_PROCESS_PORT_CURSOR_H
#define AUTOSCALER_PROCESS_PORT_CURSOR_H

#include "common/base.h"

struct port_cursor {
	char *path;
	uint32_t at;   /* the place, modulo the number of ports; see ports_pick() */
	uint32_t kept; /* the file has this place: it is not before `at` */
	bool is_kept;  /* else the file was not written yet */
};

/* Without a file that can be read: a random place. */
void port_cursor_init(struct port_cursor *, const char *state_dir);
/* The file has the very place from then on. */
void port_cursor_fini(struct port_cursor *);
/* The search that began at c->at has found a port `steps` further.  ports_n: of the range. */
void port_cursor_advance(struct port_cursor *, uint32_t steps, uint32_t ports_n);

#endif
