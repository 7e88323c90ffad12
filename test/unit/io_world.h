/* io_world - sockets of a round of io, whose other ends the test plays. */
#ifndef TEST_UNIT_IO_WORLD_H
#define TEST_UNIT_IO_WORLD_H

#include "test/unit/unit.h"

#include "activator/net/io.h"
#include "activator/net/io_round.h"

#define SIDES 12
#define ROOM (2 * IO_AHEAD + 1) /* more than is read ahead of a turn */

struct side {
	struct io io;
	int peer;
	int turns;
	int other_at; /* turns of the other side when this one had its first */
	struct side *other;
	bool is_greedy, is_deaf, closes_other, is_waiting;
	char got[4 * IO_AHEAD];
	size_t got_n;
	ssize_t end; /* the result of the last read, if it was no byte */
	int unsent_n, unsent_error;
	uint32_t unsent; /* the token */
};

struct world {
	struct loop *loop;
	struct io_round *round;
	struct side sides[SIDES];
	size_t n;
};

extern const struct io_ops unit_io_ops; /* of its sides */

/* n sides, after the turns that they get for becoming writable. */
struct world *make(size_t n, bool is_plain);
void end(struct world **wp);
/* All that can be read now, into s->got. */
void read_all(struct side *s);
int send_text(struct side *s, const char *text);
void assert_seen(struct side *s, const char *text);

#endif
